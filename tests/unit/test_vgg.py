"""VGG-11 and VGG-16 for small images."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn
from torchvision.models import vgg11, vgg16

from largestep.models import networks
from largestep.models.vgg import DEPTHS, VGG
from tests.settings import as_settings

published = pytest.mark.parametrize(("kind", "theirs"), [("vgg11", vgg11), ("vgg16", vgg16)])


@published
def test_without_normalisation_the_stages_are_those_of_torchvisions_network(
    kind: str, theirs: Callable[..., nn.Module]
) -> None:
    with torch.device("meta"):
        shapes = [p.shape for p in theirs().features.parameters()]
    net = VGG(3, 10, DEPTHS[kind], 64, "none")
    assert [p.shape for p in net.stages.parameters()] == shapes


def test_the_last_block_is_what_torchvisions_features_are_before_their_last_maximum() -> None:
    with torch.device("meta"):
        reference = vgg11().features[:-1]
    net = VGG(3, 10, DEPTHS["vgg11"], 64, "none").eval()
    reference = reference.to_empty(device="cpu")
    reference.load_state_dict(dict(zip(reference.state_dict(), net.stages.state_dict().values(), strict=True)))
    images = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        torch.testing.assert_close(net.blocks(images)[-1], reference(images))


@pytest.mark.parametrize("kind", DEPTHS)
@pytest.mark.parametrize(
    ("channels", "sides"),
    [(1, (8, 4, 2, 1, 1)), (1, (28, 14, 7, 3, 1)), (3, (32, 16, 8, 4, 2)), (3, (64, 32, 16, 8, 4)), (1, (1,) * 5)],
)
def test_blocks_are_the_stages_halved_as_long_as_they_can_be(kind: str, channels: int, sides: tuple[int, ...]) -> None:
    net = networks.draw(
        as_settings({"kind": kind, "width": 2, "normalisation": "batch"}), channels, 10, (sides[0],) * 2, 0
    ).eval()
    blocks = net.blocks(torch.rand(3, channels, sides[0], sides[0]))
    widths = (2, 4, 8, 16, 16)
    assert [tuple(b.shape) for b in blocks] == [(3, w, s, s) for w, s in zip(widths, sides, strict=True)]


@pytest.mark.parametrize(
    ("normalisation", "layer", "biases"),
    [("batch", nn.BatchNorm2d, 0), ("group", nn.GroupNorm, 0), ("none", nn.Identity, 8)],
)
def test_convolutions_have_biases_only_where_nothing_is_normalised(
    normalisation: str, layer: type, biases: int
) -> None:
    net = networks.draw(as_settings({"kind": "vgg11", "width": 4, "normalisation": normalisation}), 3, 10, (8, 8), 0)
    modules = list(net.modules())
    assert sum(isinstance(module, layer) for module in modules) == 8
    assert sum(isinstance(module, nn.Conv2d) and module.bias is not None for module in modules) == biases
