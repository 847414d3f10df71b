"""DenseNet-BC: against torchvision's network with another stem, and where its blocks are."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torchvision.models import DenseNet as Torchvisions

from largestep.models import networks
from largestep.models.densenet import DenseNet
from largestep.store import StoreError
from tests.settings import as_settings


def torchvisions(layers: int, growth: int) -> Torchvisions:
    reference = Torchvisions(growth, (layers,) * 3, num_init_features=2 * growth, num_classes=10)
    reference.features.conv0 = nn.Conv2d(3, 2 * growth, 3, padding=1, bias=False)
    for name in ("norm0", "relu0", "pool0"):
        setattr(reference.features, name, nn.Identity())
    return reference


def with_weights_of(reference: Torchvisions, layers: int, growth: int) -> DenseNet:
    net = DenseNet(3, 10, layers, growth)
    net.load_state_dict(dict(zip(net.state_dict(), reference.state_dict().values(), strict=True)))
    return net


def test_depth_100_and_growth_12_have_the_published_number_of_parameters() -> None:
    net = networks.draw(as_settings({"kind": "densenet", "depth": 100, "growth": 12}), 3, 10, (32, 32), 0)
    assert sum(parameter.numel() for parameter in net.parameters()) == 769162


@pytest.mark.parametrize("training", [False, True])
def test_it_computes_torchvisions_densenet_with_a_stem_for_small_images(training: bool) -> None:
    reference = torchvisions(16, 12).train(training)
    net = with_weights_of(reference, 16, 12).train(training)
    images = torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(net(images), reference(images))
    ours = [tensor for name, tensor in net.state_dict().items() if "running" in name]
    theirs = [tensor for name, tensor in reference.state_dict().items() if "running" in name]
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, other)


def test_blocks_are_what_torchvisions_network_computes_after_those_norms() -> None:
    reference = torchvisions(3, 4).eval()
    net = with_weights_of(reference, 3, 4).eval()
    taken: list[Tensor] = []
    features = reference.features
    for norm in (features.denseblock1.denselayer1.norm1, features.transition1.norm, features.transition2.norm):
        norm.register_forward_hook(lambda module, args, output: taken.append(output.clone().relu()))
    features.norm5.register_forward_hook(lambda module, args, output: taken.append(output.clone().relu()))
    images = torch.rand(2, 3, 16, 16)
    reference(images)
    blocks = net.blocks(images)
    assert [tuple(block.shape[1:]) for block in blocks] == [(8, 16, 16), (20, 16, 16), (22, 8, 8), (23, 4, 4), (23,)]
    for block, expected in zip(blocks, [*taken, taken[-1].mean((2, 3))], strict=True):
        torch.testing.assert_close(block, expected)


@pytest.mark.parametrize(("channels", "side"), [(1, 8), (1, 28), (3, 32), (3, 64), (1, 4)])
def test_the_blocks_halve_in_the_transitions(channels: int, side: int) -> None:
    net = networks.draw(
        as_settings({"kind": "densenet", "depth": 10, "growth": 4}), channels, 10, (side, side), 0
    ).eval()
    blocks = net.blocks(torch.rand(2, channels, side, side))
    assert [block.shape[-1] for block in blocks[:4]] == [side, side, side // 2, side // 4]


def test_nothing_is_computed_twice() -> None:
    net = DenseNet(3, 10, 2, 4)
    calls: list[nn.Module] = []
    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.BatchNorm2d):
            module.register_forward_hook(lambda module, args, output: calls.append(module))
    net.blocks(torch.rand(2, 3, 8, 8))
    assert len(calls) == len(set(calls)) == sum(isinstance(m, nn.Conv2d | nn.BatchNorm2d) for m in net.modules())


def test_images_too_small_to_halve_twice_are_refused_in_one_line() -> None:
    with pytest.raises(StoreError, match=r"^config\.yaml: model\.kind densenet: needs images of 4x4 or more, not 3x8$"):
        networks.draw(as_settings({"kind": "densenet", "depth": 10, "growth": 4}), 1, 10, (3, 8), 0)
