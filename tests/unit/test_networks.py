"""What holds for every image classifier: shapes of blocks, initial weights, flat parameters, ways to compute."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from largestep.models import networks
from largestep.models.networks import Network
from tests import forked
from tests.settings import as_settings

MODELS: dict[str, dict[str, Any]] = {
    "resnet18": {"width": 4, "normalisation": "batch"},
    "resnet34": {"width": 4, "normalisation": "group"},
    "densenet": {"depth": 16, "growth": 4},
    "vgg11": {"width": 4, "normalisation": "batch"},
    "vgg16": {"width": 4, "normalisation": "none"},
    "mlp": {"hidden": [12, 6]},
}
SHAPES = [(1, 8), (1, 28), (3, 32), (3, 64)]
kinds = pytest.mark.parametrize("kind", MODELS)


def draw(kind: str, channels: int = 3, side: int = 16, seed: int = 0, **settings: Any) -> Network:
    return networks.draw(as_settings({"kind": kind, **MODELS[kind], **settings}), channels, 10, (side, side), seed)


def images(channels: int = 3, side: int = 16, count: int = 4) -> Tensor:
    return torch.rand(count, channels, side, side, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def deterministic() -> Iterator[None]:
    """Only deterministic algorithms, for a test."""
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(before)


@kinds
@pytest.mark.parametrize(("channels", "side"), SHAPES)
def test_block_activations_are_not_negative_and_nothing_overwrites_them(kind: str, channels: int, side: int) -> None:
    net, x = draw(kind, channels, side).eval(), images(channels, side)
    blocks = net.blocks(x)
    before = [block.clone() for block in blocks]
    for block in blocks:
        assert len(block) == len(x)
        assert block.dim() in (2, 4)
        assert (block >= 0).all()
        assert (block > 0).any()
    assert net(x).shape == (len(x), 10)
    assert all(map(torch.equal, blocks, before))
    for module in net.modules():
        if isinstance(module, nn.ReLU):
            module.inplace = False
    assert all(map(torch.equal, blocks, net.blocks(x)))


@kinds
def test_logits_follow_from_the_last_block(kind: str) -> None:
    net, x = draw(kind).eval(), images()
    last = net.blocks(x)[-1]
    pooled = last.mean((2, 3)) if last.dim() == 4 else last
    torch.testing.assert_close(net.head(pooled), net(x))  # type: ignore[operator]


@kinds
def test_every_image_is_classified_by_itself_in_evaluation_mode(kind: str) -> None:
    net, x = draw(kind).eval(), images()
    torch.testing.assert_close(net(x)[:1], net(x[:1]), rtol=1e-4, atol=1e-5)


@kinds
def test_weights_are_drawn_by_the_fan_out(kind: str) -> None:
    wide = {"width": 16} if "width" in MODELS[kind] else {"hidden": [64, 128]} if kind == "mlp" else {"growth": 24}
    net, checked = draw(kind, **wide), 0
    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.Linear) and module is not net.head and module.weight.numel() > 4000:
            fan_out = module.weight[:, 0].numel()
            assert module.weight.std().item() == pytest.approx((2 / fan_out) ** 0.5, rel=0.06)
            assert module.weight.mean().item() == pytest.approx(0.0, abs=0.06 * (2 / fan_out) ** 0.5)
            assert module.bias is None or not module.bias.any()
            checked += 1
        elif isinstance(module, nn.BatchNorm2d | nn.GroupNorm):
            assert (module.weight == 1).all()
            assert not module.bias.any()
    assert checked > 1


@kinds
def test_the_head_has_torchs_default_weights_and_no_bias_at_first(kind: str) -> None:
    head = draw(kind).head
    assert isinstance(head, nn.Linear)
    assert not head.bias.any()
    bound = head.in_features**-0.5
    assert 0.9 * bound < head.weight.abs().max() <= bound


@kinds
def test_a_seed_fixes_the_network_and_leaves_torchs_generator_alone(kind: str) -> None:
    before = torch.get_rng_state()
    first, same, other = (networks.flatten(draw(kind, seed=seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, same)
    assert np.any(first != other)
    assert torch.equal(torch.get_rng_state(), before)


@kinds
def test_flat_parameters_bring_back_weights_and_running_statistics(kind: str) -> None:
    net, other = draw(kind, seed=0), draw(kind, seed=1)
    net(images())  # moves the running statistics
    flat = networks.flatten(net)
    assert flat.dtype == np.float32
    statistics = [name for name in net.state_dict() if "running" in name]
    assert bool(statistics) == any(isinstance(module, nn.BatchNorm2d) for module in net.modules())
    assert len(flat) == sum(
        tensor.numel() for name, tensor in net.state_dict().items() if "num_batches_tracked" not in name
    )
    networks.load(other, flat)
    np.testing.assert_array_equal(networks.flatten(other), flat)
    assert torch.equal(net.eval()(images()), other.eval()(images()))


@kinds
def test_parts_hold_every_weight_once_and_in_order(kind: str) -> None:
    net = draw(kind)
    by_part, by_name = networks.parts(net), networks.weights(net)
    assert [tensor.data_ptr() for part in by_part.values() for tensor in part] == [
        tensor.data_ptr() for tensor in by_name.values()
    ]
    assert list(by_part)[-1] == list(by_name)[-1] == "head"
    for name, tensor in by_name.items():
        assert tensor.dim() > 1
        assert torch.equal(tensor, net.state_dict()[f"{name}.weight"])
        assert not tensor.requires_grad
    layers = [module for module in net.modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    assert len(by_name) == len(layers)


@kinds
@pytest.mark.parametrize("channels", [1, 3])
def test_first_filters_have_the_shape_of_images(kind: str, channels: int) -> None:
    net = draw(kind, channels, 8)
    filters, first = networks.first_filters(net), next(iter(networks.weights(net).values()))
    assert filters.shape == ((12, channels, 8, 8) if kind == "mlp" else (len(first), channels, 3, 3))
    torch.testing.assert_close(filters.flatten(1), first.flatten(1), rtol=0, atol=0)


def test_a_filter_of_a_linear_layer_multiplies_the_image_level_by_level() -> None:
    net, x = draw("mlp", 3, 8), images(3, 8)
    first = net.layers[0]  # type: ignore[index]
    expected = torch.einsum("fcij,ncij->nf", networks.first_filters(net), x)
    torch.testing.assert_close(first(x.flatten(1)), expected)


@kinds
@pytest.mark.parametrize("order", [torch.contiguous_format, torch.channels_last], ids=str)
def test_it_trains_deterministically_in_either_order_of_memory(
    kind: str, order: torch.memory_format, deterministic: None
) -> None:
    x = images().to(memory_format=order)
    trained = []
    for _ in range(2):
        net = draw(kind).to(memory_format=order)
        optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
        for _ in range(2):
            optimizer.zero_grad()
            nn.functional.cross_entropy(net(x), torch.arange(len(x))).backward()
            optimizer.step()
        assert all(parameter.grad is not None for parameter in net.parameters())
        trained.append(networks.flatten(net))
    np.testing.assert_array_equal(*trained)
    assert np.isfinite(trained[0]).all()
    assert np.any(trained[0] != networks.flatten(draw(kind)))
    assert all(
        module.weight.is_contiguous(memory_format=order) for module in net.modules() if isinstance(module, nn.Conv2d)
    )


@kinds
def test_it_computes_in_bfloat16_when_asked(kind: str) -> None:
    net, x = draw(kind).eval(), images()
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        logits, blocks = net(x), net.blocks(x)
    assert logits.dtype == blocks[-1].dtype == torch.bfloat16
    with torch.inference_mode():
        exact = net(x)
    assert (logits.float() - exact).abs().max() < 0.1 * exact.abs().max()


@kinds
def test_it_compiles_as_one_graph(kind: str) -> None:
    net, x = draw(kind).eval(), images()
    compiled = torch.compile(net, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(x), net(x))
    torch._dynamo.reset()


@kinds
def test_a_copy_is_a_network_of_its_own(kind: str) -> None:
    net = draw(kind)
    other = copy.deepcopy(net)
    with torch.no_grad():
        next(other.parameters()).zero_()
    assert networks.flatten(net)[0] != 0
    assert torch.equal(draw(kind).eval()(images()), net.eval()(images()))


def test_inputs_lie_between_zero_and_one() -> None:
    levels = torch.tensor([[[[0, 51], [204, 255]]]], dtype=torch.uint8)
    inputs = networks.inputs(levels, 255.0)
    assert inputs.dtype == torch.float32
    torch.testing.assert_close(inputs, torch.tensor([[[[0.0, 0.2], [0.8, 1.0]]]]))


@kinds
def test_images_need_not_be_square(kind: str) -> None:
    net = networks.draw(as_settings({"kind": kind, **MODELS[kind]}), 3, 7, (12, 20), 0).eval()
    assert net(torch.rand(2, 3, 12, 20)).shape == (2, 7)


def test_narrow_shortcuts_compute_what_strided_convolutions_do() -> None:
    plain, x = draw("resnet18"), images()
    sliced = {name for name, module in plain.named_modules() if module._forward_pre_hooks}
    assert sliced == {"stages.1.0.downsample.0", "stages.2.0.downsample.0"}  # 4 and 8 channels; the third has 16
    expected = nn.functional.conv2d(x, torch.ones(1, 3, 1, 1), stride=2)
    convolution = nn.Conv2d(3, 1, 1, 2, bias=False)
    nn.init.ones_(convolution.weight)
    networks._slice_before_narrow_shortcuts(convolution)
    torch.testing.assert_close(convolution(x), expected)


def five_gradients_of_narrow_shortcuts() -> None:
    for _ in range(5):
        net = networks.draw(as_settings({"kind": "resnet18", "width": 4, "normalisation": "batch"}), 3, 10, (64, 64), 0)
        net(torch.rand(4, 3, 64, 64)).sum().backward()


def test_gradients_of_narrow_shortcuts_stay_inside_their_memory() -> None:
    # Without the slicing this process is killed: oneDNN overwrites the heap.
    process = forked.context().Process(target=five_gradients_of_narrow_shortcuts)
    process.start()
    process.join()
    assert process.exitcode == 0
