"""A dense ReLU network of any depth with one output; `largestep.models.flat` has its parameters' layout."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from largestep.models import flat
from largestep.spectra import extremes, singular_values
from largestep.toys import dense_kernels as kernels
from largestep.toys.update import Course, Rule, State, Task

if TYPE_CHECKING:
    import torch

    from largestep.config.models import DenseNet

Array = NDArray[np.float64]
FEATURES = "dense_features"


# torch takes seconds to import and the steps do not need it.
class Net:
    """A `largestep.toys.network.Network`, drawn anew for every seed."""

    random_init = True

    def __init__(self, model: DenseNet, dimension: int) -> None:
        self._dimension, self._layers = dimension, model.layers
        self.layout = flat.layout_of(dimension, self._layers)

    def initial(self, seeds: NDArray[np.int64]) -> Array:
        """By the laws of the layers, (seeds, p)."""
        from largestep.models import dense

        return np.stack([dense.draw(self._dimension, self._layers, int(seed)) for seed in seeds])

    def outputs(self, parameters: Array, inputs: Array, data_set: NDArray[np.int64] | None = None) -> Array:
        """h(x), (runs, n)."""
        which = np.zeros(len(parameters), dtype=np.int64) if data_set is None else data_set
        return np.asarray(flat.predict(parameters, inputs, which, self.layout))

    def advance(self, state: State, task: Task, course: Course, rule: Rule) -> int:
        """Steps of one run; with all examples a step along the examples, unless units are many times as many."""
        arguments = state, task, course, rule, self.layout
        if course.indices.shape[1]:
            return int(kernels.advance_batch(*arguments))
        n = len(task.labels)
        if self.layout.widths.max() < kernels.MANY_UNITS * n:
            return int(kernels.advance_all(*arguments))
        everyone = np.tile(np.arange(n), (len(course.step_sizes), 1))
        return self.advance(state, task, course._replace(indices=everyone), rule)

    def advance_watched(self, state: State, task: Task, course: Course, scales: Array) -> int:
        """Plain steps with the fit on all examples before each."""
        return int(kernels.advance_watched(state, task, course, self.layout, scales))

    def layers(self, parameters: Array) -> dict[str, Array]:
        """The weights of `layer 1` and so on, from the input on."""
        matrices = (weights for weights, _ in flat.layers_of(parameters, self.layout))
        return {f"layer {i}": each.reshape(*parameters.shape[:-1], -1) for i, each in enumerate(matrices, 1)}

    def matrices(self, parameters: Array) -> list[tuple[Array, Array | None]]:
        """Views of the flat parameters."""
        return flat.layers_of(parameters, self.layout)

    def activations(self, parameters: Array, inputs: Array) -> list[Array]:
        """ReLU activations of every hidden layer, each of shape (n, units), for parameters (p,)."""
        blocks, current = [], inputs
        for weights, biases in flat.layers_of(parameters, self.layout)[:-1]:
            current = np.einsum("nk,jk->nj", current, weights)
            current = np.maximum(current if biases is None else current + biases, 0.0)
            blocks.append(current)
        return blocks

    def singular_values(self, parameters: Array, inputs: Array) -> Array:
        """Of phi, (checkpoints, min(n, p)), from fewer columns (see `_folded`)."""
        jacobian = self.jacobian(parameters, inputs)
        values = singular_values(self._folded(jacobian, parameters))
        padding = min(jacobian.shape[1:]) - values.shape[1]
        zeros = np.where(np.isnan(values[:, :1]), np.nan, np.zeros(padding))
        return np.concatenate([values, zeros], axis=1)

    def column_norms(self, parameters: Array, inputs: Array) -> Array:
        """From the whole Jacobian."""
        return np.asarray(np.linalg.norm(self.jacobian(parameters, inputs), axis=1))

    def jacobian(self, parameters: Array, inputs: Array) -> Array:
        """phi = [grad h(x_i)], (checkpoints, n, p); the derivative of ReLU at 0 counts as 0."""
        return np.asarray(kernels.jacobian(parameters, inputs, self.layout))

    def _folded(self, jacobian: Array, parameters: Array) -> Array:
        """phi with the columns of the output weights folded into those of the last hidden layer.

        Unit j of that layer contributes Z [a I, w], where Z holds its inputs (and 1 for a bias) on the
        examples on which it is active, w its weights and a its output weight. As
        [a I, w] [a I, w]^T = (|a| I + w w^T / c)^2 with c = sqrt(a^2 + |w|^2) + |a|, the singular values
        are those of a Z + sign(a) (Z w) w^T / c, which has one column less.
        """
        widths, weights, biases = self.layout
        fan_in, units = int(widths[-3]), int(widths[-2])
        hidden, output = int(weights[-2]), int(weights[-1])
        hidden_bias = biases[-2] != flat.NO_BIAS
        unit = np.concatenate([np.repeat(np.arange(units), fan_in), np.arange(units * hidden_bias)])
        w, a = parameters[:, hidden:output], parameters[:, output : output + units]
        squares = np.einsum("ck,kj->cj", w**2, (unit[:, None] == np.arange(units)).astype(float))
        c = np.sqrt(a**2 + squares) + np.abs(a)
        factor = np.divide(np.copysign(1.0, a), c, out=np.zeros_like(c), where=c > 0)
        folded = jacobian[:, :, output + unit]  # in place from here on: these arrays are large
        folded *= (w * factor[:, unit])[:, None, :]
        folded += jacobian[:, :, hidden:output]
        return np.concatenate([jacobian[:, :, :hidden], folded, jacobian[:, :, output + units :]], axis=2)

    def rescalable_units(self) -> int:
        """Those of all hidden layers."""
        return int(self.layout.widths[1:-1].sum())

    def rescaled(self, parameters: Array, factors: Array) -> Array:
        """Weights and bias into each hidden unit times its factor, and weights out of it over that."""
        changed, hidden = parameters.copy(), self.layout.widths[1:-1]
        layers = flat.layers_of(changed, self.layout)
        for place, of_layer in enumerate(np.split(factors, np.cumsum(hidden)[:-1], axis=-1)):
            (into, biases), (out, _) = layers[place : place + 2]
            into *= of_layer[..., :, None]
            if biases is not None:
                biases *= of_layer
            out /= of_layer[..., None, :]
        return changed

    def hessian_extremes(self, parameters: Array, task: Task) -> Array:
        """From the whole Hessian; the derivative of ReLU at 0 counts as 0."""
        return extremes(kernels.hessian(parameters, task, self.layout))

    def along_gradients(self, parameters: Array, task: Task, batches: NDArray[np.int64]) -> tuple[Array, Array]:
        """From c/b sum_i (h_i'^2 + r_i h_i''), the derivatives of the outputs along the gradient of the batch."""
        residuals = (self.outputs(parameters[None], task.inputs[None])[0] - task.labels)[batches]
        jacobian = self.jacobian(parameters[None], task.inputs)[0]
        scale = task.residual_factor / batches.shape[1]
        gradient = scale * np.einsum("kb,kbp->kp", residuals, jacobian[batches])
        first, second = self._derivatives(parameters, task.inputs[batches], gradient)
        return scale * np.sum(first**2 + residuals * second, axis=1), np.sum(gradient**2, axis=1)

    def _derivatives(self, parameters: Array, inputs: Array, along: Array) -> tuple[Array, Array]:
        """First and second derivative of h at inputs (batches, b, d) along directions (batches, p), (batches, b)."""
        widths, weights, biases = self.layout
        value, first, second = inputs, np.zeros_like(inputs), np.zeros_like(inputs)
        for layer in range(len(widths) - 1):
            rows, columns = int(widths[layer + 1]), int(widths[layer])
            of_layer = slice(int(weights[layer]), int(weights[layer]) + rows * columns)
            weight, turned = parameters[of_layer].reshape(rows, columns), along[:, of_layer].reshape(-1, rows, columns)
            second = np.einsum("jk,abk->abj", weight, second) + 2.0 * np.einsum("ajk,abk->abj", turned, first)
            first = np.einsum("jk,abk->abj", weight, first) + np.einsum("ajk,abk->abj", turned, value)
            value = np.einsum("jk,abk->abj", weight, value)
            if biases[layer] != flat.NO_BIAS:
                of_bias = slice(int(biases[layer]), int(biases[layer]) + rows)
                value, first = value + parameters[of_bias], first + along[:, None, of_bias]
            if layer < len(widths) - 2:
                active = value > 0.0  # the derivative of ReLU at 0 counts as 0
                value, first, second = value * active, first * active, second * active
        return first[..., 0], second[..., 0]

    def module(self, parameters: Array) -> torch.nn.Module:
        """As torch sees it."""
        import torch

        net = self._module()
        torch.nn.utils.vector_to_parameters(torch.tensor(parameters), net.parameters())
        return net

    def _module(self) -> torch.nn.Module:
        from largestep.models import dense

        return dense.network(self._dimension, self._layers)
