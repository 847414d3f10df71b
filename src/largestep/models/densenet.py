"""DenseNet-BC with three dense blocks (Huang et al. 2017; paper, section 4): bottlenecks, compression 1/2."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.functional import relu

from largestep.models.networks import Network, he_fan_out, head
from largestep.store import StoreError

if TYPE_CHECKING:
    from largestep.config import models

DENSE_BLOCKS = 3
SMALLEST = 2 ** (DENSE_BLOCKS - 1)  # rows and columns that halve at every transition
STEM = 2  # channels of the stem, in units of the growth
BOTTLENECK = 4  # channels between the two convolutions of a layer, likewise


def build(model: models.DenseNetBC, channels: int, classes: int, size: tuple[int, int]) -> DenseNet:
    """A DenseNet for a model's settings: `depth` of 6 k + 4, `growth`.

    Raises StoreError for images that two transitions cannot halve.
    """
    if min(size) < SMALLEST:
        raise StoreError(
            f"config.yaml: model.kind densenet: needs images of {SMALLEST}x{SMALLEST} or more, not {size[0]}x{size[1]}"
        )
    return DenseNet(channels, classes, (model.depth - 4) // (2 * DENSE_BLOCKS), model.growth)


class DenseNet(Network):
    """A 3x3 stem, three dense blocks with a transition after each of the first two, and a linear head.

    layers: of each dense block, each of two convolutions. growth: channels that a layer adds.
    """

    def __init__(self, channels: int, classes: int, layers: int, growth: int) -> None:
        super().__init__()
        width = STEM * growth
        self.stem = nn.Conv2d(channels, width, 3, padding=1, bias=False)
        self.stages = nn.ModuleList()
        for number in range(1, DENSE_BLOCKS + 1):
            grown = width + layers * growth
            width = grown // 2 if number < DENSE_BLOCKS else grown
            self.stages.append(_Stage(grown - layers * growth, layers, growth, width))
        self.head = head(width, classes)
        he_fan_out(self.stem, self.stages)

    def blocks(self, images: Tensor) -> list[Tensor]:
        """Activations of blocks 1 to 5, each after BatchNorm and ReLU.

        images: (n, channel, row, column). Block 1 is the stem's output as the first layer takes it, blocks 2 and 3
        are in the transitions and block 4 is at the end, all (n, channel, row, column); block 5 is the mean of
        block 4 over positions, (n, channel). The paper has blocks 3 and 4 there; 1, 2 and 5 continue its rule.
        """
        blocks: list[Tensor] = []
        x = self.stem(images)
        for stage in self.stages:
            first, last, x = stage(x)
            blocks += [last] if blocks else [first, last]
        # Unlike adaptive pooling, a mean is deterministic on a GPU.
        return [*blocks, blocks[-1].mean((2, 3))]


class _Stage(nn.Module):
    """A dense block and, where it does not put out all its channels, the transition after it."""

    def __init__(self, inputs: int, layers: int, growth: int, outputs: int) -> None:
        super().__init__()
        grown = inputs + layers * growth
        self.layers = nn.ModuleList(_Layer(inputs + k * growth, growth) for k in range(layers))
        self.norm = nn.BatchNorm2d(grown)
        transition = (nn.Conv2d(grown, outputs, 1, bias=False), nn.AvgPool2d(2)) if outputs < grown else ()
        self.transition = nn.Sequential(*transition)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Activities of the first layer and after the last, and what comes out, for x (n, channel, row, column)."""
        layers = iter(self.layers)
        first, x = next(layers)(x)
        for layer in layers:
            _, x = layer(x)
        last = relu(self.norm(x))
        return first, last, self.transition(last)


class _Layer(nn.Module):
    """BatchNorm, ReLU, 1x1 convolution, BatchNorm, ReLU, 3x3 convolution."""

    def __init__(self, inputs: int, growth: int) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(inputs)
        self.conv1 = nn.Conv2d(inputs, BOTTLENECK * growth, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(BOTTLENECK * growth)
        self.conv2 = nn.Conv2d(BOTTLENECK * growth, growth, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The positive part of the channels x after BatchNorm, and x with the channels that the layer adds."""
        activity = relu(self.norm1(x))
        return activity, torch.cat([x, self.conv2(relu(self.norm2(self.conv1(activity))))], 1)
