"""VGG-11 and VGG-16 (Simonyan & Zisserman 2015, configurations A and D) for small images: mean pool, linear head."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from torch import Tensor, nn
from torch.nn.functional import max_pool2d

from largestep.models.networks import Network, he_fan_out, head
from largestep.models.normalisation import NORMALISATIONS

if TYPE_CHECKING:
    from largestep.config import models

# Convolutions of each stage.
DEPTHS = {"vgg11": (1, 1, 2, 2, 2), "vgg16": (2, 2, 3, 3, 3)}
# Channels of each stage, in units of the first.
WIDTHS = (1, 2, 4, 8, 8)


def build(model: models.VGG, channels: int, classes: int, size: tuple[int, int]) -> VGG:
    """A VGG network for a model's settings: `kind`, `width` of the first stage, `normalisation`. Any size will do."""
    return VGG(channels, classes, DEPTHS[model.kind], model.width, model.normalisation)


class VGG(Network):
    """Five stages of 3x3 convolutions, the mean over positions, and a linear head.

    depths: convolutions of each stage; they have biases only where nothing is normalised.
    """

    def __init__(
        self, channels: int, classes: int, depths: Sequence[int], width: int, normalisation: str = "batch"
    ) -> None:
        super().__init__()
        norm, inputs = NORMALISATIONS[normalisation], channels
        self.stages = nn.ModuleList()
        for depth, times in zip(depths, WIDTHS, strict=True):
            stage = nn.Sequential()
            for _ in range(depth):
                outputs = times * width
                stage.append(nn.Conv2d(inputs, outputs, 3, padding=1, bias=normalisation == "none"))
                stage.extend([norm(outputs), nn.ReLU(inplace=True)])
                inputs = outputs
            self.stages.append(stage)
        self.head = head(inputs, classes)
        he_fan_out(self.stages)

    def blocks(self, images: Tensor) -> list[Tensor]:
        """Activations of blocks 1 to 5: what the stages put out, each (n, channel, row, column).

        images: (n, channel, row, column). Between two stages rows and columns are halved by a maximum, as long as
        there are two of either.
        """
        blocks: list[Tensor] = []
        x = images
        for stage in self.stages:
            if blocks and min(x.shape[2:]) > 1:
                x = max_pool2d(x, 2)
            x = stage(x)
            blocks.append(x)
        return blocks

    def forward(self, images: Tensor) -> Tensor:
        """Logits (n, classes) of images (n, channel, row, column)."""
        # Unlike adaptive pooling, a mean is deterministic on a GPU.
        logits: Tensor = self.head(self.blocks(images)[-1].mean((2, 3)))
        return logits
