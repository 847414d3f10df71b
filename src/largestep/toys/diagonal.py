"""The diagonal linear network h(x) = <u * v, x>; flat parameters are u, then v (paper, Fig. 2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from largestep.spectra import extremes, singular_values, triangle
from largestep.toys import diagonal_kernels as kernels
from largestep.toys.update import Course, Rule, State, Task

if TYPE_CHECKING:
    import torch

    from largestep.config.models import DiagonalNet

Array = NDArray[np.float64]
FEATURES = "linear_features"


class Net:
    """A `largestep.toys.network.Network`, started at constant u and v."""

    random_init = False

    def __init__(self, model: DiagonalNet, dimension: int) -> None:
        self._start = np.repeat([float(model.u), float(model.v)], dimension)

    def initial(self, seeds: NDArray[np.int64]) -> Array:
        """The same parameters for every seed, (seeds, 2 d)."""
        return np.tile(self._start, (len(seeds), 1))

    def predictor(self, parameters: Array) -> Array:
        """u * v, (..., d)."""
        u, v = np.split(parameters, 2, axis=-1)
        return np.asarray(u * v)

    def outputs(self, parameters: Array, inputs: Array, data_set: NDArray[np.int64] | None = None) -> Array:
        """h(x), (runs, n)."""
        which = np.zeros(len(parameters), dtype=np.int64) if data_set is None else data_set
        return np.asarray(kernels.predict(self.predictor(parameters), inputs, which))

    def advance(self, state: State, task: Task, course: Course, rule: Rule) -> int:
        """Steps of one run, in one pass over the parameters each where they are plain."""
        if course.indices.shape[1] == 1 and rule == Rule():
            return int(kernels.advance_plain(state, task, course))
        return int(kernels.advance_general(state, task, course, rule))

    def advance_watched(self, state: State, task: Task, course: Course, scales: Array) -> int:
        """Plain steps with the fit on all examples before each."""
        return int(kernels.advance_watched(state, task, course, scales))

    def layers(self, parameters: Array) -> dict[str, Array]:
        """u and v, each (..., d)."""
        return dict(zip("uv", np.split(parameters, 2, axis=-1), strict=True))

    def singular_values(self, parameters: Array, inputs: Array) -> Array:
        """Of phi = [X * v, X * u], (..., d), from parameters (..., 2 d) and inputs (n, d), n >= d.

        They are those of X * sqrt(u^2 + v^2), hence of R * sqrt(u^2 + v^2) with X = Q R, which spares the
        larger part of each decomposition when the inputs are shared.
        """
        u, v = np.split(parameters, 2, axis=-1)
        scales, factor = np.sqrt(u**2 + v**2), triangle(inputs)
        values = np.empty_like(scales)
        # One by one, because all matrices at once take gigabytes.
        for place in np.ndindex(scales.shape[:-1]):
            values[place] = singular_values(factor * scales[place])
        return values

    def column_norms(self, parameters: Array, inputs: Array) -> Array:
        """Of phi = [X * v, X * u], in the order of the parameters."""
        u, v = np.split(np.abs(parameters), 2, axis=-1)
        return np.asarray(np.tile(np.linalg.norm(inputs, axis=-2), 2) * np.concatenate([v, u], axis=-1))

    def rescalable_units(self) -> int:
        """Every coordinate is one, between u and v."""
        return len(self._start) // 2

    def rescaled(self, parameters: Array, factors: Array) -> Array:
        """u times the factors, and v over them."""
        u, v = np.split(parameters, 2, axis=-1)
        return np.concatenate([u * factors, v / factors], axis=-1)

    def hessian_extremes(self, parameters: Array, task: Task) -> Array:
        """From the Hessian in closed form."""
        u, v = np.split(parameters, 2)
        scale = task.residual_factor / len(task.labels)
        gram = scale * np.einsum("ni,nj->ij", task.inputs, task.inputs)
        residuals = np.einsum("ni,i->n", task.inputs, u * v) - task.labels
        slope = np.diag(scale * np.einsum("ni,n->i", task.inputs, residuals))
        mixed = np.outer(v, u) * gram + slope
        return extremes(np.block([[np.outer(v, v) * gram, mixed], [mixed.T, np.outer(u, u) * gram]]))

    def follow_law(
        self, parameters: Array, log_a: Array, rho: Array, task: Task, indices: NDArray[np.int64], sizes: Array
    ) -> int:
        """Plain steps of one example with the sums of the exact law."""
        return int(kernels.follow_law(parameters, log_a, rho, task, indices, sizes))

    def advance_shaped(self, parameters: Array, task: Task, sizes: Array, normal: Array, shape: int) -> int:
        """Steps on all examples with noise of another shape, or a penalty in its place."""
        return int(kernels.advance_shaped(parameters, task, sizes, normal, shape))

    def along_gradients(self, parameters: Array, task: Task, batches: NDArray[np.int64]) -> tuple[Array, Array]:
        """From H d = c/b (phi^T phi d + r times the mixed second derivatives, which are those of u_i and v_i)."""
        u, v = np.split(parameters, 2)
        scale, inputs = task.residual_factor / batches.shape[1], task.inputs[batches]
        residuals = (np.einsum("ni,i->n", task.inputs, u * v) - task.labels)[batches]
        slope = scale * np.einsum("kbi,kb->ki", inputs, residuals)
        of_u, of_v = slope * v, slope * u
        change = np.einsum("kbi,ki->kb", inputs, v * of_u + u * of_v)
        along = scale * np.sum(change**2, axis=1) + 2.0 * np.sum(slope * of_u * of_v, axis=1)
        return along, np.sum(of_u**2, axis=1) + np.sum(of_v**2, axis=1)

    def module(self, parameters: Array) -> torch.nn.Module:
        """As torch sees it."""
        from largestep.models.diagonal import network

        return network(parameters)
