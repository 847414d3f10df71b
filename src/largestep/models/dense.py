"""Dense ReLU networks as flat float64 parameter vectors, drawn with torch's generator.

The draws come in the order of the published code (torch's default for every layer, then each layer's
own law), so that the published seeds give the published teachers and the two-layer student.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

Layers = Sequence[Mapping[str, Any]]


def widths(inputs: int, layers: Layers) -> NDArray[np.int64]:
    """Units of every layer, the input's first: shape (layers + 1,)."""
    return np.array([inputs, *(layer["units"] for layer in layers)], dtype=np.int64)


def biased(layers: Layers) -> NDArray[np.bool_]:
    """Whether each layer has biases: shape (layers,)."""
    return np.array([layer["bias"] is not None for layer in layers])


def network(inputs: int, layers: Layers) -> torch.nn.Sequential:
    """A float64 network with ReLU after every layer but the last; its weights are not drawn yet."""
    parts: list[torch.nn.Module] = []
    for fan_in, layer in zip(widths(inputs, layers)[:-1], layers, strict=True):
        parts += [torch.nn.Linear(int(fan_in), layer["units"], bias=layer["bias"] is not None), torch.nn.ReLU()]
    return torch.nn.Sequential(*parts[:-1]).double()


def draw(inputs: int, layers: Layers, seed: int) -> NDArray[np.float64]:
    """Initial parameters, shape (p,): each layer's weights, row by row, then its biases."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        linears = [
            torch.nn.Linear(int(fan_in), layer["units"], bias=layer["bias"] is not None)
            for fan_in, layer in zip(widths(inputs, layers)[:-1], layers, strict=True)
        ]
        flat = []
        for linear, layer in zip(linears, layers, strict=True):
            flat.append(_drawn(layer["weight"], linear.weight))
            if layer["bias"] is not None:
                flat.append(_drawn(layer["bias"], linear.bias))
    return torch.cat([values.detach().flatten() for values in flat]).double().numpy()


def _drawn(law: Mapping[str, Any], default: torch.Tensor) -> torch.Tensor:
    scale = law["scale"]
    if law["law"] == "fan_in_uniform":  # torch's own default, U(-1, 1) / sqrt(fan-in)
        return scale * default
    normal = torch.randn_like(default)
    if law["law"] == "rademacher":
        return scale * torch.sign(normal)
    if law["law"] == "sphere":
        # torch takes roots by MKL, whose float32 is rounded otherwise on other processors.
        lengths = np.sqrt(np.sum(np.square(normal.numpy()), axis=1, keepdims=True))
        return scale * normal / torch.from_numpy(lengths)
    return scale * normal
