"""ResNet-18 in its CIFAR form (He et al. 2016; paper, section 4): 3x3 stem, no max-pool."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock

STRIDES = (1, 2, 2, 2)
BLOCKS_PER_STAGE = 2
GROUP_CHANNELS = 2  # of GroupNorm: eight groups at width 16


def _group_norm(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(max(channels // GROUP_CHANNELS, 1), channels)


Norm = Callable[[int], nn.Module]
NORMALISATIONS: dict[str, Norm] = {"batch": nn.BatchNorm2d, "group": _group_norm, "none": nn.Identity}


class ResNet18(nn.Module):
    """Stages of width w, 2w, 4w and 8w, the mean over positions, and a linear head."""

    def __init__(self, channels: int, classes: int, width: int, normalisation: str = "batch") -> None:
        super().__init__()
        norm = NORMALISATIONS[normalisation]
        self.stem = nn.Sequential(
            nn.Conv2d(channels, width, 3, padding=1, bias=False), norm(width), nn.ReLU(inplace=True)
        )
        widths = [width * 2**stage for stage in range(len(STRIDES))]
        self.stages = nn.ModuleList(
            _stage(*shape, norm) for shape in zip([width, *widths[:-1]], widths, STRIDES, strict=True)
        )
        self.pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.head = nn.Linear(widths[-1], classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def blocks(self, images: Tensor) -> list[Tensor]:
        """Activations of blocks 1 to 5: what the four stages put out, then the pooled features.

        images: (n, channel, row, column). Blocks 1 to 4 have shape (n, channel, row, column), block 5
        (n, channel).
        """
        found = [self.stem(images)]
        for stage in (*self.stages, self.pool):
            found.append(stage(found[-1]))
        return found[1:]

    def forward(self, images: Tensor) -> Tensor:
        """Logits (n, classes) of images (n, channel, row, column)."""
        logits: Tensor = self.head(self.blocks(images)[-1])
        return logits


def prepare(threads: int) -> None:
    """Have torch compute with a number of threads and give the same result every time."""
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True)
    # Nothing here reads memory that was never written; filling it costs a tenth of the time of a step.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]


def draw(model: Mapping[str, Any], data: xr.Dataset, seed: int) -> ResNet18:
    """A network for the images of a data set, with the initial weights of a seed.

    torch's own generator is left as it was.
    """
    classes = int(data["train_labels"].max()) + 1
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = ResNet18(data.sizes["channel"], classes, model["width"], model["normalisation"])
    # A little faster on a CPU: 22 ms a step against 24 at width 16, with 64 images of 8x8 and one core.
    return net.to(memory_format=torch.channels_last)


def inputs(images: Tensor, white_level: float) -> Tensor:
    """Images of integer levels as the network takes them: float32 between 0 and 1, the same shape."""
    return images.float() / white_level


def flatten(net: nn.Module) -> NDArray[np.float32]:
    """Weights and running statistics, shape (p,), in the order of the state dictionary."""
    return torch.cat([tensor.detach().flatten() for tensor in _state(net)]).cpu().numpy()


def load(net: nn.Module, flat: NDArray[np.float32]) -> None:
    """Put what `flatten` gave, of shape (p,), back into a network of the same shape."""
    state = _state(net)
    parts = torch.from_numpy(flat).split([tensor.numel() for tensor in state])
    with torch.no_grad():
        for tensor, values in zip(state, parts, strict=True):
            tensor.copy_(values.view(tensor.shape))


def _state(net: nn.Module) -> list[Tensor]:
    # BatchNorm counts its batches only for a cumulative mean, which is not in use here.
    return [tensor for name, tensor in net.state_dict().items() if not name.endswith("num_batches_tracked")]


def _stage(inputs: int, outputs: int, stride: int, norm: Norm) -> nn.Sequential:
    shortcut = None
    if stride != 1 or inputs != outputs:
        shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), norm(outputs))
    rest = (BasicBlock(outputs, outputs, norm_layer=norm) for _ in range(BLOCKS_PER_STAGE - 1))
    return nn.Sequential(BasicBlock(inputs, outputs, stride, shortcut, norm_layer=norm), *rest)
