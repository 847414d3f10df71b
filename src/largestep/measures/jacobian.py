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
    shapes = [(name, value.shape, value.numel()) for name, value in net.named_parameters()]

    def output(flat: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        pieces = torch.split(flat, [size for _, _, size in shapes])
        named = {name: piece.view(shape) for (name, shape, _), piece in zip(shapes, pieces, strict=True)}
        return functional_call(net, named, (x,)).squeeze()

    per_input = vmap(grad(output), in_dims=(None, 0))
    per_checkpoint = vmap(per_input, in_dims=(0, None))
    jacobian = per_checkpoint(torch.from_numpy(parameters), torch.from_numpy(inputs))
    return np.asarray(jacobian.detach().numpy())


def singular_values(jacobians: Array) -> Array:
    """Singular values, largest first, of matrices of shape (..., n, p); NaN where one is not finite."""
    finite = np.isfinite(jacobians).all(axis=(-2, -1))
    values = np.linalg.svd(np.where(finite[..., None, None], jacobians, 0.0), compute_uv=False)
    return np.asarray(np.where(finite[..., None], values, np.nan))


def diagonal_singular_values(parameters: Array, inputs: Array) -> Array:
    """Singular values of phi = [X * u, X * v] of diagonal networks.

    They are those of X * sqrt(u^2 + v^2), hence of R * sqrt(u^2 + v^2) with X = Q R, which spares the
    larger part of each decomposition when the inputs are shared.

    parameters: (..., 2 d); inputs: (n, d), n >= d. Returns (..., d).
    """
    u, v = np.split(parameters, 2, axis=-1)
    triangle = np.linalg.qr(inputs, mode="r")
    return singular_values(triangle * np.sqrt(u**2 + v**2)[..., None, :])
