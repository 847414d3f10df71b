"""Singular values and rank of the Jacobian of the network's outputs in its parameters (paper, section 3)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.func import functional_call, grad, vmap

from largestep.models import dense

Array = NDArray[np.float64]


def dense_jacobian(parameters: Array, inputs: Array, layers: Sequence[Mapping[str, Any]]) -> Array:
    """phi = [grad h(x_i)] of dense networks with one output, in float64.

    parameters: (checkpoints, p); inputs: (n, d). Returns (checkpoints, n, p).
    """
    net = dense.network(inputs.shape[1], layers)

    def output(named: dict[str, torch.Tensor], x: torch.Tensor) -> torch.Tensor:
        return functional_call(net, named, (x,)).squeeze()

    shapes = {name: value.shape for name, value in net.named_parameters()}
    pieces = torch.split(torch.from_numpy(parameters), [shape.numel() for shape in shapes.values()], dim=1)
    named = {name: piece.reshape(-1, *shapes[name]) for name, piece in zip(shapes, pieces, strict=True)}
    per_input = vmap(grad(output), in_dims=(None, 0))
    gradients = vmap(per_input, in_dims=(0, None))(named, torch.from_numpy(inputs))
    return np.asarray(torch.cat([gradients[name].flatten(2) for name in shapes], dim=2).numpy())


def singular_values(jacobians: Array) -> Array:
    """Singular values, largest first, of matrices of shape (..., n, p); NaN where one is not finite."""
    finite = np.asarray(np.isfinite(jacobians).all(axis=(-2, -1)))
    found = np.full((*finite.shape, min(jacobians.shape[-2:])), np.nan)
    # torch brings MKL, whose decomposition is faster than that of NumPy's OpenBLAS.
    found[finite] = torch.linalg.svdvals(torch.from_numpy(jacobians[finite])).numpy()
    return found


def dense_singular_values(parameters: Array, inputs: Array, layers: Sequence[Mapping[str, Any]]) -> Array:
    """Singular values of phi of dense networks with one output, from fewer columns (see `_folded`).

    parameters: (checkpoints, p); inputs: (n, d). Returns (checkpoints, min(n, p)).
    """
    jacobian = dense_jacobian(parameters, inputs, layers)
    values = singular_values(_folded(jacobian, parameters, inputs.shape[1], layers))
    padding = min(jacobian.shape[1:]) - values.shape[1]
    zeros = np.where(np.isnan(values[:, :1]), np.nan, np.zeros(padding))
    return np.concatenate([values, zeros], axis=1)


def _folded(jacobian: Array, parameters: Array, inputs: int, layers: Sequence[Mapping[str, Any]]) -> Array:
    """phi with the columns of the output weights folded into those of the last hidden layer.

    Unit j of that layer contributes Z [a I, w], where Z holds its inputs (and 1 for a bias) on the
    examples on which it is active, w its weights and a its output weight. As
    [a I, w] [a I, w]^T = (|a| I + w w^T / c)^2 with c = sqrt(a^2 + |w|^2) + |a|, the singular values
    are those of a Z + sign(a) (Z w) w^T / c, which has one column less.
    """
    fan_in, units = (int(width) for width in dense.widths(inputs, layers)[-3:-1])
    hidden_bias, output_bias = (bool(biased) for biased in dense.biased(layers)[-2:])
    output = parameters.shape[1] - units - output_bias
    hidden = output - units * (fan_in + hidden_bias)
    unit = np.concatenate([np.repeat(np.arange(units), fan_in), np.arange(units * hidden_bias)])
    w, a = parameters[:, hidden:output], parameters[:, output : output + units]
    squares = w**2 @ (unit[:, None] == np.arange(units))
    c = np.sqrt(a**2 + squares) + np.abs(a)
    factor = np.divide(np.copysign(1.0, a), c, out=np.zeros_like(c), where=c > 0)
    folded = jacobian[:, :, output + unit]  # in place from here on: these arrays are large
    folded *= (w * factor[:, unit])[:, None, :]
    folded += jacobian[:, :, hidden:output]
    return np.concatenate([jacobian[:, :, :hidden], folded, jacobian[:, :, output + units :]], axis=2)


def diagonal_singular_values(parameters: Array, inputs: Array) -> Array:
    """Singular values of phi = [X * u, X * v] of diagonal networks.

    They are those of X * sqrt(u^2 + v^2), hence of R * sqrt(u^2 + v^2) with X = Q R, which spares the
    larger part of each decomposition when the inputs are shared.

    parameters: (..., 2 d); inputs: (n, d), n >= d. Returns (..., d).
    """
    u, v = np.split(parameters, 2, axis=-1)
    triangle = np.asarray(np.linalg.qr(inputs, mode="r"))
    return singular_values(triangle * np.sqrt(u**2 + v**2)[..., None, :])
