"""Channels of zeros beside those of the images change nothing but the kernels that a GPU chooses."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from largestep.images.padding import PaddedConv2d, pad_channels
from largestep.models import networks
from tests.settings import as_settings


@pytest.mark.parametrize("channels", [1, 3])
def test_a_padded_network_is_the_same(channels: int) -> None:
    """Logits and gradients in float64, and the state dictionary."""
    plain = networks.draw(
        as_settings({"kind": "resnet18", "width": 2, "normalisation": "batch"}), channels, 10, (8, 8), 0
    ).double()
    padded = copy.deepcopy(plain)
    pad_channels(padded)
    assert sum(isinstance(each, PaddedConv2d) for each in padded.modules()) >= 1
    draws = torch.Generator().manual_seed(0)
    images = torch.rand((6, channels, 8, 8), generator=draws, dtype=torch.float64)
    results = []
    for net in (plain, padded):
        logits = net.train()(images)
        gradients = torch.autograd.grad(logits.square().sum(), list(net.parameters()))
        results.append((logits, *gradients))
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)
    assert {key: value.shape for key, value in plain.state_dict().items()} == {
        key: value.shape for key, value in padded.state_dict().items()
    }


def test_what_may_compute_something_else_is_left_alone() -> None:
    class Own(nn.Conv2d):
        pass

    net = nn.Sequential(Own(3, 4, 3), nn.Conv2d(4, 4, 3, groups=2), nn.Conv2d(8, 4, 3), nn.Conv2d(3, 4, 3))
    pad_channels(net)
    assert [type(each) for each in net] == [Own, nn.Conv2d, nn.Conv2d, PaddedConv2d]
