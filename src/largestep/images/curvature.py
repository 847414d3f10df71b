"""Curvature of an image classifier's loss by products with its Hessian, which is too large to be decomposed.

Products are by double backward, in float64: torch 2.14's functional Hessians are silently wrong for LayerNorm and for
BatchNorm by the statistics of a batch, which is what networks train with.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from functools import partial
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigsh
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, unfold
from torch.nn.modules.batchnorm import _BatchNorm

from largestep.models.networks import Network

Array = NDArray[np.float64]
# Inputs (n, channel, row, column) and labels (n,).
Batch = tuple[Tensor, Tensor]
Pair = tuple[int, int]
# Of the largest eigenvalue, by its residual, which the error of the eigenvalue itself is far below.
TOLERANCE = 1e-4
BASIS = 10  # of Lanczos, before it starts anew
# Pixels of a map up to which its windows are worth their memory.
LARGEST_MAP = 8 * 8


class Curvature:
    """Of the mean cross-entropy of mini-batches of one size, in training mode as the network is; it is left alone."""

    def __init__(self, net: Network, batches: Sequence[Batch]) -> None:
        self._net = copy.deepcopy(net).double().train()
        _multiply(self._net)
        self._parameters = [each for each in self._net.parameters() if each.requires_grad]
        self._batches = [(inputs.double(), labels) for inputs, labels in batches]

    def along_gradients(self) -> tuple[Array, Array]:
        """g'Hg and g'g of every mini-batch, both (batches,), with the gradient and the Hessian of its own loss."""
        products = []
        for batch in self._batches:
            gradient = self._gradient(batch)
            square = gradient.square().sum()
            # Of g'g / 2 the gradient is H g.
            turned = self._flat(torch.autograd.grad(square / 2.0, self._parameters, materialize_grads=True))
            products.append((float((gradient.detach() * turned).sum()), float(square.detach())))
        along, squares = np.array(products).T
        return along, squares

    def sharpness(self) -> float:
        """Largest eigenvalue of the Hessian of the mean loss: NaN where that is not finite, 0 where it is zero.

        NaN too where Lanczos does not converge.
        """
        product = self._product()
        size = sum(each.numel() for each in self._parameters)
        # Fixed, because eigsh draws another one each time, and no seed reaches it.
        start = np.random.default_rng(0).standard_normal(size)
        first = product(start)
        if not np.isfinite(first).all():
            return np.nan
        if not first.any():
            return 0.0
        operator = LinearOperator((size, size), matvec=product, dtype=np.float64)
        wanted = {"k": 1, "which": "LA", "v0": start, "ncv": min(BASIS, size), "tol": TOLERANCE}
        try:
            return float(eigsh(operator, **wanted, return_eigenvectors=False)[0])
        except ArpackNoConvergence:
            return np.nan

    def _product(self) -> Callable[[Array], Array]:
        """What multiplies a vector (p,) by the Hessian of the mean loss.

        Where the images of a batch do not meet in the network all are one batch, whose gradient is kept.
        """
        if any(isinstance(module, _BatchNorm) for module in self._net.modules()):
            return lambda vector: np.mean([self._along(self._gradient(each), vector) for each in self._batches], axis=0)
        inputs, labels = (torch.cat(parts) for parts in zip(*self._batches, strict=True))
        gradient = self._gradient((inputs, labels))
        return lambda vector: self._along(gradient, vector)

    def _along(self, gradient: Tensor, vector: Array) -> Array:
        direction = torch.from_numpy(np.asarray(vector, dtype=np.float64).ravel())
        along = (gradient * direction).sum()
        turned = torch.autograd.grad(along, self._parameters, retain_graph=True, materialize_grads=True)
        return self._flat(turned).numpy()

    def _gradient(self, batch: Batch) -> Tensor:
        """(p,), of which the gradient can be taken once more."""
        inputs, labels = batch
        loss = cross_entropy(self._net(inputs), labels)
        return self._flat(torch.autograd.grad(loss, self._parameters, create_graph=True, materialize_grads=True))

    def _flat(self, parts: Sequence[Tensor]) -> Tensor:
        return torch.cat([part.flatten() for part in parts])


def _multiply(net: nn.Module) -> None:
    """Convolutions of small maps as products of matrices: torch's in float64 go image by image, which takes longer."""
    for module in net.modules():
        if not isinstance(module, nn.Conv2d) or isinstance(module.padding, str):
            continue
        if type(module) is nn.Conv2d and module.padding_mode == "zeros" and module.groups == 1:
            module.forward = partial(_product_of_matrices, module)  # type: ignore[method-assign]


def _product_of_matrices(layer: nn.Conv2d, inputs: Tensor) -> Tensor:
    kernel, padding, stride, dilation = layer.kernel_size, cast("Pair", layer.padding), layer.stride, layer.dilation
    if inputs.shape[2] * inputs.shape[3] > LARGEST_MAP:
        return layer._conv_forward(inputs, layer.weight, layer.bias)
    # (n, inputs of a weight, places).
    windows = unfold(inputs, kernel, dilation=dilation, padding=padding, stride=stride)
    outputs = layer.weight.flatten(1) @ windows
    if layer.bias is not None:
        outputs = outputs + layer.bias[:, None]
    rows = (inputs.shape[2] + 2 * padding[0] - dilation[0] * (kernel[0] - 1) - 1) // stride[0] + 1
    return outputs.unflatten(2, (rows, -1))
