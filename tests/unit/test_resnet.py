"""ResNet-18 and ResNet-34 in their CIFAR form."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn
from torchvision.models import resnet18, resnet34

from largestep.models import networks
from largestep.models.resnet import DEPTHS, ResNet
from tests.settings import as_settings

MODEL = {"kind": "resnet18", "width": 2, "normalisation": "batch"}
published = pytest.mark.parametrize(("kind", "theirs"), [("resnet18", resnet18), ("resnet34", resnet34)])


def torchvisions(theirs: Callable[..., nn.Module]) -> nn.Module:
    net = theirs(num_classes=10).eval()
    net.conv1, net.maxpool = nn.Conv2d(3, 64, 3, padding=1, bias=False), nn.Identity()
    return net


@published
def test_the_published_width_has_the_parameters_of_torchvisions_network(
    kind: str, theirs: Callable[..., nn.Module]
) -> None:
    net = ResNet(3, 10, DEPTHS[kind], 64)
    assert [p.shape for p in net.parameters()] == [p.shape for p in torchvisions(theirs).parameters()]
    assert sum(p.numel() for p in net.parameters()) == {"resnet18": 11173962, "resnet34": 21282122}[kind]


@published
def test_at_the_published_width_it_computes_torchvisions_network_without_max_pool(
    kind: str, theirs: Callable[..., nn.Module]
) -> None:
    reference, net = torchvisions(theirs), ResNet(3, 10, DEPTHS[kind], 64).eval()
    net.load_state_dict(dict(zip(net.state_dict(), reference.state_dict().values(), strict=True)))
    images = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        torch.testing.assert_close(net(images), reference(images))


@pytest.mark.parametrize("kind", DEPTHS)
@pytest.mark.parametrize(("channels", "sides"), [(1, (8, 4, 2, 1)), (1, (28, 14, 7, 4)), (3, (32, 16, 8, 4))])
def test_blocks_are_the_stages_and_the_pooled_features(kind: str, channels: int, sides: tuple[int, ...]) -> None:
    net = ResNet(channels, 10, DEPTHS[kind], 2).eval()
    blocks = net.blocks(torch.rand(3, channels, sides[0], sides[0]))
    assert [tuple(b.shape) for b in blocks] == [*((3, 2 * 2**k, s, s) for k, s in enumerate(sides)), (3, 16)]
    torch.testing.assert_close(blocks[4], blocks[3].mean((2, 3)))


def test_a_seed_has_the_weights_that_it_always_had() -> None:
    flat = networks.flatten(networks.draw(as_settings(MODEL), 1, 10, (8, 8), 0))
    expected = [-0.3757014274597168, 0.04644130915403366, 0.13360783457756042, 0.0]
    assert flat[[0, 1, -11, -1]].tolist() == expected


def test_parts_are_the_stem_the_stages_and_the_head() -> None:
    parts = networks.parts(networks.draw(as_settings(MODEL), 1, 10, (8, 8), 0))
    assert {name: len(tensors) for name, tensors in parts.items()} == {
        "stem": 1,
        "stage 1": 4,
        **{f"stage {number}": 5 for number in (2, 3, 4)},
        "head": 1,
    }


@pytest.mark.parametrize(("normalisation", "kind"), [("group", nn.GroupNorm), ("none", nn.Identity)])
def test_another_normalisation_takes_the_place_of_every_batchnorm(normalisation: str, kind: type) -> None:
    net = networks.draw(as_settings(MODEL | {"normalisation": normalisation}), 1, 10, (8, 8), 0)
    modules = list(net.modules())
    assert not any(isinstance(module, nn.BatchNorm2d) for module in modules)
    assert sum(isinstance(module, kind) for module in modules) == 20
    images = torch.rand(4, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    # Without batch statistics an example's output does not depend on the others.
    torch.testing.assert_close(net(images)[:1], net(images[:1]), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("width", "groups"), [(16, 8), (2, 1), (5, 5), (1, 1)])
def test_a_group_has_two_channels_or_one_where_they_are_odd(width: int, groups: int) -> None:
    net = networks.draw(as_settings(MODEL | {"width": width, "normalisation": "group"}), 1, 10, (8, 8), 0)
    first = next(module for module in net.modules() if isinstance(module, nn.GroupNorm))
    assert first.num_groups == groups
    assert net(torch.rand(2, 1, 8, 8)).isfinite().all()
