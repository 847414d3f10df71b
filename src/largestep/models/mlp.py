"""Dense layers with ReLU on flattened images."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from torch import Tensor, nn
from torch.nn.functional import relu

from largestep.models.networks import Network, he_fan_out, head

if TYPE_CHECKING:
    from largestep.config import models


def build(model: models.MLP, channels: int, classes: int, size: tuple[int, int]) -> MLP:
    """A network for a model's settings: `hidden`, the units of each hidden layer."""
    return MLP(channels * math.prod(size), classes, model.hidden)


class MLP(Network):
    """Hidden layers with ReLU and a linear head. inputs: levels of an image; hidden: units of each hidden layer."""

    def __init__(self, inputs: int, classes: int, hidden: Sequence[int]) -> None:
        super().__init__()
        fans = zip([inputs, *hidden[:-1]], hidden, strict=True)
        self.layers = nn.ModuleList(nn.Linear(fan_in, units) for fan_in, units in fans)
        self.head = head(hidden[-1], classes)
        he_fan_out(self.layers)

    def blocks(self, images: Tensor) -> list[Tensor]:
        """Activations of the hidden layers, each (n, unit), for images (n, channel, row, column)."""
        blocks: list[Tensor] = []
        x = images.flatten(1)
        for layer in self.layers:
            x = relu(layer(x))
            blocks.append(x)
        return blocks
