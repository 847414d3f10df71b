"""ResNet-18 and ResNet-34 in their CIFAR form (He et al. 2016; paper, section 4): 3x3 stem, no max-pool."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock

from largestep.models.networks import Network, he_fan_out, head
from largestep.models.normalisation import NORMALISATIONS, Norm

if TYPE_CHECKING:
    from largestep.config import models

STRIDES = (1, 2, 2, 2)
# Residual blocks of each stage.
DEPTHS = {"resnet18": (2, 2, 2, 2), "resnet34": (3, 4, 6, 3)}


def build(model: models.ResNet, channels: int, classes: int, size: tuple[int, int]) -> ResNet:
    """A ResNet for a model's settings: `kind`, `width` of the first stage, `normalisation`. Any size will do."""
    return ResNet(channels, classes, DEPTHS[model.kind], model.width, model.normalisation)


class ResNet(Network):
    """Stages of width w, 2w, 4w and 8w, the mean over positions, and a linear head.

    depths: residual blocks of each stage.
    """

    def __init__(
        self, channels: int, classes: int, depths: Sequence[int], width: int, normalisation: str = "batch"
    ) -> None:
        super().__init__()
        norm = NORMALISATIONS[normalisation]
        self.stem = nn.Sequential(
            nn.Conv2d(channels, width, 3, padding=1, bias=False), norm(width), nn.ReLU(inplace=True)
        )
        widths = [width * 2**stage for stage in range(len(STRIDES))]
        self.stages = nn.ModuleList(
            _stage(*shape, norm) for shape in zip([width, *widths[:-1]], widths, STRIDES, depths, strict=True)
        )
        self.head = head(widths[-1], classes)
        he_fan_out(self.stem, self.stages)

    def blocks(self, images: Tensor) -> list[Tensor]:
        """Activations of blocks 1 to 5: what the four stages put out, then the pooled features.

        images: (n, channel, row, column). Blocks 1 to 4 have shape (n, channel, row, column), block 5
        (n, channel).
        """
        blocks = [self.stem(images)]
        for stage in self.stages:
            blocks.append(stage(blocks[-1]))
        # Unlike adaptive pooling, a mean is deterministic on a GPU.
        return [*blocks[1:], blocks[-1].mean((2, 3))]


def _stage(inputs: int, outputs: int, stride: int, depth: int, norm: Norm) -> nn.Sequential:
    shortcut = None
    if stride != 1 or inputs != outputs:
        shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), norm(outputs))
    rest = (BasicBlock(outputs, outputs, norm_layer=norm) for _ in range(depth - 1))
    return nn.Sequential(BasicBlock(inputs, outputs, stride, shortcut, norm_layer=norm), *rest)
