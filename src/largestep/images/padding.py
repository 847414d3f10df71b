"""Convolutions of few channels as the tensor cores of a GPU take them."""

from __future__ import annotations

from torch import Tensor, nn

# bfloat16 numbers in the 16 bytes that a tensor core loads at once; with fewer channels cuDNN falls to slow kernels.
CHANNELS = 8


class PaddedConv2d(nn.Conv2d):
    """A convolution that computes with channels of zeros beside its own; weights and results are what they were."""

    def forward(self, images: Tensor) -> Tensor:
        """As `nn.Conv2d`: (n, channel, row, column)."""
        zeros = (0, 0, 0, 0, 0, CHANNELS - self.in_channels)
        weight = nn.functional.pad(self.weight, zeros)
        return self._conv_forward(nn.functional.pad(images, zeros), weight, self.bias)


def pad_channels(net: nn.Module) -> None:
    """Have a network's convolutions of fewer than `CHANNELS` input channels, as the first one, pad them."""
    for module in net.modules():
        # A class of the user's own may compute something else.
        if type(module) is nn.Conv2d and module.groups == 1 and module.in_channels < CHANNELS:
            module.__class__ = PaddedConv2d
