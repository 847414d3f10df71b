"""Extreme eigenvalues of the Hessian of the training loss: the sharpness, and how far a point is from a minimum.

The loss is that of training, half the mean square error or the mean square error. Its Hessian is
c/n (phi^T phi + sum_i r_i H_i) with phi the Jacobian of the n outputs, r_i the residuals, H_i the Hessians of the
outputs, and c = 1 or 2. The toy networks have few hundred parameters, so the matrix is formed and decomposed as a
whole: Lanczos iterations do not settle on the smallest eigenvalue once it is small beside the largest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.func import functional_call, hessian

from largestep.models import dense

Array = NDArray[np.float64]


def diagonal_extremes(parameters: Array, inputs: Array, labels: Array, residual_factor: float) -> Array:
    """Smallest and largest eigenvalue, (2,), of the Hessian of a diagonal network, in closed form.

    NaN where the Hessian is not finite, as for a run about to diverge. parameters: (2 d,), u then v; inputs: (n, d);
    labels: (n,). residual_factor: the c above, as the kernels take it.
    """
    u, v = np.split(parameters, 2)
    scale = residual_factor / len(labels)
    gram = scale * inputs.T @ inputs
    slope = np.diag(scale * inputs.T @ (inputs @ (u * v) - labels))
    mixed = np.outer(v, u) * gram + slope
    return _extremes(torch.from_numpy(np.block([[np.outer(v, v) * gram, mixed], [mixed.T, np.outer(u, u) * gram]])))


def dense_extremes(
    parameters: Array, inputs: Array, labels: Array, layers: Sequence[Mapping[str, Any]], residual_factor: float
) -> Array:
    """Smallest and largest eigenvalue, (2,), of the Hessian of a dense network with one output, by autograd.

    NaN as above. The derivative of ReLU at 0 counts as 0. parameters: (p,); the other arguments are those of
    `diagonal_extremes`.
    """
    net = dense.network(inputs.shape[1], layers)
    shapes = {name: value.shape for name, value in net.named_parameters()}
    x, y = torch.tensor(inputs), torch.tensor(labels)

    def loss(flat: torch.Tensor) -> torch.Tensor:
        pieces = torch.split(flat, [shape.numel() for shape in shapes.values()])
        named = {name: piece.reshape(shapes[name]) for name, piece in zip(shapes, pieces, strict=True)}
        return 0.5 * residual_factor * (functional_call(net, named, (x,)).squeeze(1) - y).square().mean()

    return _extremes(hessian(loss)(torch.from_numpy(parameters)))


def _extremes(matrix: torch.Tensor) -> Array:
    if not torch.isfinite(matrix).all():
        return np.full(2, np.nan)
    # torch brings MKL, whose decomposition is faster than that of NumPy's OpenBLAS.
    return np.asarray(torch.linalg.eigvalsh(matrix)[[0, -1]].numpy())
