"""The image network: its shape, its blocks and its initial weights."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import xarray as xr
from torchvision.models import resnet18

from largestep.models import resnet

MODEL = {"kind": "resnet18", "width": 2, "normalisation": "batch"}


def data(channels: int = 1, classes: int = 10) -> xr.Dataset:
    return xr.Dataset(
        {
            "train_images": (("example", "channel", "row", "column"), np.zeros((classes, channels, 8, 8), np.uint8)),
            "train_labels": (("example",), np.arange(classes)),
        }
    )


def test_the_published_width_has_the_parameters_of_torchvisions_resnet18() -> None:
    reference = resnet18(num_classes=10)
    reference.conv1 = torch.nn.Conv2d(3, 64, 3, padding=1, bias=False)
    net = resnet.ResNet18(channels=3, classes=10, width=64)
    assert [p.shape for p in net.parameters()] == [p.shape for p in reference.parameters()]


def test_at_the_published_width_it_computes_torchvisions_resnet18_without_max_pool() -> None:
    reference = resnet18(num_classes=10).eval()
    reference.conv1, reference.maxpool = torch.nn.Conv2d(3, 64, 3, padding=1, bias=False), torch.nn.Identity()
    net = resnet.ResNet18(channels=3, classes=10, width=64).eval()
    net.load_state_dict(dict(zip(net.state_dict(), reference.state_dict().values(), strict=True)))
    images = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        torch.testing.assert_close(net(images), reference(images))


@pytest.mark.parametrize(("channels", "side"), [(1, 8), (3, 32)])
def test_blocks_are_the_stages_and_the_pooled_features(channels: int, side: int) -> None:
    net = resnet.ResNet18(channels, 10, width=2).eval()
    images = torch.rand(3, channels, side, side)
    blocks = net.blocks(images)
    sides = [side, side // 2, side // 4, side // 8]
    assert [tuple(b.shape) for b in blocks] == [*((3, 2 * 2**k, s, s) for k, s in enumerate(sides)), (3, 16)]
    assert all((block >= 0).all() for block in blocks)
    torch.testing.assert_close(blocks[4], blocks[3].mean((2, 3)))
    torch.testing.assert_close(net.head(blocks[4]), net(images))


def test_convolutions_are_drawn_by_the_fan_out() -> None:
    net = resnet.draw(MODEL | {"width": 32}, data(), seed=0)
    for module in net.modules():
        if isinstance(module, torch.nn.Conv2d) and module.weight.numel() > 4000:
            fan_out = module.out_channels * module.kernel_size[0] ** 2
            assert module.weight.std().item() == pytest.approx((2 / fan_out) ** 0.5, rel=0.05)


def test_a_seed_fixes_the_network_and_leaves_torchs_generator_alone() -> None:
    before = torch.get_rng_state()
    first, same, other = (resnet.flatten(resnet.draw(MODEL, data(), seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, same)
    assert np.any(first != other)
    assert torch.equal(torch.get_rng_state(), before)


def test_flat_parameters_bring_back_weights_and_running_statistics() -> None:
    net, copy = resnet.draw(MODEL, data(), 0), resnet.draw(MODEL, data(), 1)
    images = torch.rand(16, 1, 8, 8)
    net(images)  # moves the running statistics
    flat = resnet.flatten(net)
    assert flat.dtype == np.float32
    resnet.load(copy, flat)
    np.testing.assert_array_equal(resnet.flatten(copy), flat)
    assert torch.equal(net.eval()(images), copy.eval()(images))


@pytest.mark.parametrize(("normalisation", "kind"), [("group", torch.nn.GroupNorm), ("none", torch.nn.Identity)])
def test_another_normalisation_takes_the_place_of_every_batchnorm(normalisation: str, kind: type) -> None:
    net = resnet.draw(MODEL | {"normalisation": normalisation}, data(), seed=0)
    modules = list(net.modules())
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in modules)
    assert sum(isinstance(module, kind) for module in modules) == 20
    images = torch.rand(4, 1, 8, 8)
    # Without batch statistics an example's output does not depend on the others.
    torch.testing.assert_close(net(images)[:1], net(images[:1]), rtol=1e-4, atol=1e-5)
