"""Normalisation of the channels of a convolutional network, by name."""

from __future__ import annotations

import math
from collections.abc import Callable

from torch import nn

GROUP_CHANNELS = 2  # of GroupNorm: eight groups at width 16

Norm = Callable[[int], nn.Module]


def _group_norm(channels: int) -> nn.GroupNorm:
    """GroupNorm with two channels a group, or one where the channels are odd in number."""
    return nn.GroupNorm(channels // math.gcd(channels, GROUP_CHANNELS), channels)


NORMALISATIONS: dict[str, Norm] = {"batch": nn.BatchNorm2d, "group": _group_norm, "none": nn.Identity}
