"""What all image classifiers have in common: initial weights of a seed, blocks, and parameters as one vector."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from largestep import stages
from largestep.randomness import preserved, seed_host
from largestep.store import StoreError

if TYPE_CHECKING:
    from largestep.config.models import Model

# Channels that oneDNN, which computes convolutions on a CPU, handles at once.
CHANNEL_BLOCK = 16


class Network(nn.Module):
    """An image classifier whose blocks can be looked at.

    image_shape: (channel, row, column) of the images that `draw` made it for. head: makes logits of the last block.
    """

    image_shape: tuple[int, int, int]
    head: nn.Module

    def blocks(self, images: Tensor) -> list[Tensor]:
        """Activations of blocks 1 to K, each (n, channel, row, column) or (n, unit).

        images: (n, channel, row, column). What is returned is not written to afterwards.
        """
        raise NotImplementedError

    def forward(self, images: Tensor) -> Tensor:
        """Logits (n, classes) of images (n, channel, row, column)."""
        logits: Tensor = self.head(self.blocks(images)[-1])
        return logits

    def parts(self) -> dict[str, nn.Module]:
        """Parts whose distances from the init are reported, from the input on; those of `stages` are numbered."""
        parts: dict[str, nn.Module] = {}
        for name, child in self.named_children():
            numbered = enumerate(child, start=1) if isinstance(child, nn.ModuleList) else ()
            parts |= {f"{name.removesuffix('s')} {number}": part for number, part in numbered} or {name: child}
        return parts


def draw(model: Model, channels: int, classes: int, size: tuple[int, int], seed: int) -> Network:
    """A network on the CPU, in float32, with the initial weights of a seed.

    model: `kind` and its settings; channels and size (rows, columns): of the images. The weights are the same
    whatever the network computes on later. The seed is also that of NumPy's and Python's generators, from which a
    user's own network may draw; all are left as they were.
    Raises StoreError for a user's own model that cannot be used.
    """
    with preserved():
        seed_host(seed)
        net: Network = stages.worker("models", model.kind).build(model, channels, classes, size)
    net.image_shape = (channels, *size)
    _slice_before_narrow_shortcuts(net)
    return net.float()


def memory_format(device: torch.device, precision: str) -> torch.memory_format:
    """The order in memory of weights and images that suits a device and a precision, `float32` or `bfloat16`.

    Channels last is that of the tensor cores of a GPU, and the faster one in bfloat16. On a CPU in float32 it costs
    precision: BatchNorm and GroupNorm of torch 2.14 sum one number after the other there, and gradients are up to a
    thousand times farther from those of float64 than in contiguous order.
    """
    exact = device.type == "cpu" and precision == "float32"
    return torch.contiguous_format if exact else torch.channels_last


def he_fan_out(*parts: nn.Module) -> None:
    """Draw the weights of convolutions and linear layers by He's law (2015) with the fan-out; zero their biases."""
    for part in parts:
        for module in part.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)


def head(features: int, classes: int) -> nn.Linear:
    """A linear layer with torch's default weights and no bias at first, as the published code draws it."""
    layer = nn.Linear(features, classes)
    nn.init.zeros_(layer.bias)
    return layer


def inputs(images: Tensor, white_level: float, moments: Tensor | None = None) -> Tensor:
    """Images of integer levels (n, channel, row, column) as a network takes them: float32, the same shape.

    Between 0 and 1, then less the mean and over the standard deviation of every channel, if given: (2, channel, 1, 1).
    """
    scaled = images.float() / white_level
    if moments is None:
        return scaled
    mean, deviation = moments.to(images.device)
    return (scaled - mean) / deviation


def flatten(net: nn.Module) -> NDArray[np.float32]:
    """Weights and running statistics, shape (p,), in the order of the state dictionary."""
    return torch.cat([tensor.detach().flatten() for tensor in _state(net)]).cpu().numpy()


def load(net: nn.Module, flat: NDArray[np.float32]) -> None:
    """Put what `flatten` gave, of shape (p,), back into a network of the same shape, on whatever device."""
    state = _state(net)
    values = torch.from_numpy(flat).to(state[0].device).split([tensor.numel() for tensor in state])
    with torch.no_grad():
        for tensor, part in zip(state, values, strict=True):
            tensor.copy_(part.view(tensor.shape))


def counters(net: nn.Module) -> NDArray[np.int64]:
    """The integers of the state dictionary, shape (q,): batches that normalisation has seen."""
    integers = [tensor.flatten().cpu().to(torch.int64) for tensor in _integers(net)]
    return torch.cat(integers).numpy() if integers else np.zeros(0, dtype=np.int64)


def load_counters(net: nn.Module, flat: NDArray[np.int64]) -> None:
    """Put back what `counters` gave."""
    whole = _integers(net)
    for tensor, values in zip(whole, torch.from_numpy(flat).split([each.numel() for each in whole]), strict=True):
        tensor.copy_(values.view(tensor.shape))


def parts(net: Network) -> dict[str, list[Tensor]]:
    """Weights with more than one dimension by part of the network, from the input on.

    Biases and the parameters of normalisation have one dimension. A part without weights is left out.
    """
    tensors_of = {
        name: [weight.detach() for weight in part.parameters() if weight.dim() > 1]
        for name, part in net.parts().items()
    }
    return {name: tensors for name, tensors in tensors_of.items() if tensors}


def weights(net: Network) -> dict[str, Tensor]:
    """Every weight with more than one dimension, from the input on.

    Named as in the state dictionary, without ".weight" at the end.
    """
    state = net.state_dict(keep_vars=True)
    return {
        name.removesuffix(".weight"): tensor.detach()
        for name, tensor in state.items()
        if isinstance(tensor, nn.Parameter) and tensor.dim() > 1
    }


def first_filters(net: Network) -> Tensor:
    """Weights of the first convolution as filters (filter, channel, row, column).

    net: as `draw` gives it. The units of a linear first layer are filters as large as the image; where it does
    not take a whole image, they have one row and one column. Raises StoreError when there is neither layer.
    """
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            return module.weight.detach()
        if isinstance(module, nn.Linear):
            whole = module.in_features == np.prod(net.image_shape)
            shape = net.image_shape if whole else (module.in_features, 1, 1)
            return module.weight.detach().reshape(module.out_features, *shape)
    raise StoreError(
        "model.kind: the network has no two-dimensional convolution and no linear layer to take filters of"
    )


def _slice_before_narrow_shortcuts(net: nn.Module) -> None:
    """Have strided 1x1 convolutions of few channels take every second position of their input, stride 1 after that.

    Their result is the same. With channels last, oneDNN 3 writes outside its memory when it takes the gradient of
    their weights, which ends in crashes (issue 6035 of uxlfoundation/oneDNN, open in torch 2.14).
    """
    for module in net.modules():
        if not isinstance(module, nn.Conv2d) or module.in_channels // module.groups >= CHANNEL_BLOCK:
            continue
        if module.kernel_size == (1, 1) and module.stride != (1, 1) and module.padding == (0, 0):
            module.register_forward_pre_hook(_slicer(*module.stride))
            module.stride = (1, 1)


def _slicer(rows: int, columns: int) -> Callable[[nn.Module, tuple[Tensor, ...]], Tensor]:
    def slice_input(module: nn.Module, args: tuple[Tensor, ...]) -> Tensor:
        return args[0][:, :, ::rows, ::columns]

    return slice_input


def _integers(net: nn.Module) -> list[Tensor]:
    return [tensor for tensor in net.state_dict().values() if not tensor.is_floating_point()]


def _state(net: nn.Module) -> list[Tensor]:
    # Integers have functions of their own: float32 does not hold them.
    return [tensor for tensor in net.state_dict().values() if tensor.is_floating_point()]
