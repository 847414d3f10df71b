"""Dense ReLU networks of one output as flat float64 parameter vectors: where what lies, and the function h."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from largestep.compiled import kernel

if TYPE_CHECKING:
    from largestep.config.models import Layer

Array = NDArray[np.float64]
NO_BIAS = -1


class Layout(NamedTuple):
    """Units of every layer, the input's first (layers + 1,), and where weights and biases of each start (layers,).

    Weights lie row by row, a row for each unit of the layer; `NO_BIAS` stands for a layer without biases.
    """

    widths: NDArray[np.int64]
    weights: NDArray[np.int64]
    biases: NDArray[np.int64]


def layout_of(inputs: int, layers: Sequence[Layer]) -> Layout:
    """The layout of a network of the configuration: each layer's weights, then its biases."""
    widths = [inputs, *(layer.units for layer in layers)]
    weights, biases, start = [], [], 0
    for rows, columns, layer in zip(widths[1:], widths[:-1], layers, strict=True):
        biased = layer.bias is not None
        weights.append(start)
        biases.append(start + rows * columns if biased else NO_BIAS)
        start += rows * (columns + biased)
    return Layout(*(np.array(each, dtype=np.int64) for each in (widths, weights, biases)))


def layers_of(flat: Array, layout: Layout) -> list[tuple[Array, Array | None]]:
    """Views of the weights (..., rows, columns) and biases (..., rows), None without, of each layer; flat: (..., p)."""
    layers: list[tuple[Array, Array | None]] = []
    for layer, (weights, biases) in enumerate(zip(layout.weights, layout.biases, strict=True)):
        rows, columns = layout.widths[layer + 1], layout.widths[layer]
        matrix = flat[..., weights : weights + rows * columns].reshape(*flat.shape[:-1], rows, columns)
        layers.append((matrix, None if biases == NO_BIAS else flat[..., biases : biases + rows]))
    return layers


# Indices into the flat parameters are unsigned: numba lets signed ones count from the end, and the
# test for that keeps the loops from becoming vector instructions. So does a loop over one column.
@kernel
def forward(parameters: Array, x: Array, layout: Layout, activations: Array) -> float:
    """Fill activations (layers + 1, widest) with the input and each layer's output; return h(x)."""
    widths = layout.widths
    layers = len(widths) - 1
    for k in range(widths[0]):
        activations[0, k] = x[k]
    for layer in range(layers):
        above = layer + 1
        rows, columns = np.uint64(widths[above]), np.uint64(widths[layer])
        start, bias = np.uint64(layout.weights[layer]), np.uint64(layout.biases[layer])
        biased = layout.biases[layer] != NO_BIAS
        if columns == 1:
            below = activations[layer, 0]
            if biased:
                for j in range(rows):
                    activations[above, j] = parameters[bias + j] + parameters[start + j] * below
            else:
                for j in range(rows):
                    activations[above, j] = parameters[start + j] * below
        else:
            for j in range(rows):
                z = parameters[bias + j] if biased else 0.0
                row = start + j * columns
                for k in range(columns):
                    z += parameters[row + k] * activations[layer, k]
                activations[above, j] = z
        if above < layers:
            for j in range(rows):
                # Written so that NaN passes, as in torch: a diverged run must not look inactive.
                z = activations[above, j]
                activations[above, j] = 0.0 if z <= 0.0 else z
    return float(activations[layers, 0])


@kernel
def predict(parameters: Array, inputs: Array, data_set: NDArray[np.int64], layout: Layout) -> Array:
    """h(x) of every run on its own data set.

    parameters: (runs, p); inputs: (data sets, n, d); data_set: (runs,). Returns (runs, n).
    """
    runs, n = len(parameters), inputs.shape[1]
    outputs = np.empty((runs, n))
    activations = np.empty((len(layout.widths), layout.widths.max()))
    for run in range(runs):
        for i in range(n):
            outputs[run, i] = forward(parameters[run], inputs[data_set[run], i], layout, activations)
    return outputs
