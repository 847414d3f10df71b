"""Dense ReLU networks as flat float64 parameter vectors, drawn with torch's generator.

The draws come in the order of the published code (torch's default for every layer, then each layer's
own law), so that the published seeds give the published teachers and the two-layer student.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

if TYPE_CHECKING:
    from largestep.config.models import Law, Layer


def network(inputs: int, layers: Sequence[Layer]) -> torch.nn.Sequential:
    """A float64 network with ReLU after every layer but the last; its weights are not drawn yet."""
    parts = [part for linear in _linears(inputs, layers) for part in (linear, torch.nn.ReLU())]
    return torch.nn.Sequential(*parts[:-1]).double()


def draw(inputs: int, layers: Sequence[Layer], seed: int) -> NDArray[np.float64]:
    """Initial parameters, shape (p,): each layer's weights, row by row, then its biases."""
    with torch.random.fork_rng(devices=[]):
        # torch.manual_seed would also keep the seed, with a stack trace, for GPUs: most of the time of a draw.
        torch.default_generator.manual_seed(seed)
        flat = []
        for linear, layer in zip(_linears(inputs, layers), layers, strict=True):
            flat.append(_drawn(layer.weight, linear.weight))
            if layer.bias is not None:
                flat.append(_drawn(layer.bias, linear.bias))
    return torch.cat([values.detach().flatten() for values in flat]).double().numpy()


def _linears(inputs: int, layers: Sequence[Layer]) -> list[torch.nn.Linear]:
    units = [inputs, *(layer.units for layer in layers)]
    shapes = zip(units[:-1], units[1:], layers, strict=True)
    return [torch.nn.Linear(fan_in, fan_out, bias=layer.bias is not None) for fan_in, fan_out, layer in shapes]


def _drawn(law: Law, default: torch.Tensor) -> torch.Tensor:
    scale = law.scale
    if law.law == "fan_in_uniform":  # torch's own default, U(-1, 1) / sqrt(fan-in)
        return scale * default
    normal = torch.randn_like(default)
    if law.law == "rademacher":
        return scale * torch.sign(normal)
    if law.law == "sphere":
        # torch takes roots by MKL, whose float32 is rounded otherwise on other processors.
        lengths = np.sqrt(np.sum(np.square(normal.numpy()), axis=1, keepdims=True))
        return scale * normal / torch.from_numpy(lengths)
    return scale * normal
