"""Training of the toy networks: all seeds and arms of a cell at once, through the kernels.

A seed fixes the order of the examples and the initial parameters; in the arm `data` it also picks
another data set. Seeds are shared by all cells of an experiment, so that cells can be compared in pairs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import numpy as np
import xarray as xr
from numpy.typing import NDArray
from tqdm import tqdm

from largestep.dynamics import dense, diagonal
from largestep.dynamics.recording import LABEL_NOISE, ORDER, datasets, recorded_steps
from largestep.schedules import step_sizes

Array = NDArray[np.float64]
# A block of steps is drawn and taken at once; its size bounds memory and does not change the draws.
BLOCK = 2000


def train(spec: dict[str, Any], data: xr.Dataset, threads: int) -> tuple[xr.Dataset, xr.Dataset]:
    """Train every seed of a cell.

    Returns the losses, with dimensions (arm, seed, step), and the snapshots of the parameters, with
    dimensions (arm, seed, snapshot_step, parameter). Evaluation comes before the update of a step.
    """
    numba.set_num_threads(min(threads, numba.config.NUMBA_NUM_THREADS))  # type: ignore[attr-defined]
    training, arms, seeds = spec["training"], spec["training"]["arms"], spec["training"]["seeds"]
    steps = training["steps"]
    sizes = step_sizes(spec["schedule"], steps, training["decay_after_update"])
    evaluation_steps, snapshot_steps = recorded_steps(steps, training)

    seed_of_run = np.tile(np.arange(seeds), len(arms))
    arm_of_run = np.repeat(np.arange(len(arms)), seeds)
    data_set = np.where(np.array(arms)[arm_of_run] == "data", seed_of_run + 1, 0)
    net = _network(spec["model"], data, data_set)
    parameters = np.stack([net.initial(seed) for seed in range(seeds)])[seed_of_run]
    state = _State(parameters, data["train_inputs"].values, data["train_labels"].values, data_set, training)
    orders = [np.random.default_rng([ORDER, seed]) for seed in seed_of_run]
    noises = [np.random.default_rng([LABEL_NOISE, seed]) for seed in seed_of_run]

    factor = 0.5 if training["loss"] == "half_mse" else 1.0
    train_loss = np.empty((len(parameters), len(evaluation_steps)))
    test_loss = np.empty_like(train_loss)
    snapshots = np.empty((len(parameters), len(snapshot_steps), parameters.shape[1]))
    with tqdm(total=steps, desc=spec["cell"], unit="step", mininterval=2.0, ascii=True) as bar:
        for index, now in enumerate(evaluation_steps):
            while state.step < now:
                count = min(BLOCK, int(now) - state.step)
                indices = _indices(orders, count, state.examples, training)
                noise = _label_noise(noises, count, indices.shape[2] or state.examples, training["label_noise"])
                net.advance(state, indices, noise, sizes[state.step : state.step + count])
                bar.update(count)
            train_loss[:, index] = factor * net.mean_square(state, data, "train")
            test_loss[:, index] = factor * net.mean_square(state, data, "test") if "test_inputs" in data else np.nan
            if now in snapshot_steps:
                snapshots[:, np.searchsorted(snapshot_steps, now)] = state.parameters
        bar.update(steps - bar.n)

    curves = {"train_loss": (train_loss, "1", "loss on the training set")}
    if "test_inputs" in data:
        curves["test_loss"] = (test_loss, "1", "loss on the test set")
    return datasets(training, sizes, curves, snapshots, state.diverged_step, data_set)


class _State:
    """Where the runs of a cell are: the kernels change it in place."""

    def __init__(
        self, parameters: Array, inputs: Array, labels: Array, data_set: NDArray[np.int64], training: dict[str, Any]
    ) -> None:
        self.parameters = parameters
        self.velocity = np.zeros_like(parameters)
        self.inputs, self.labels, self.data_set = inputs, labels, data_set
        self.examples = inputs.shape[1]
        self.diverged_step = np.full(len(parameters), -1, dtype=np.int64)
        self.step = 0
        self.residual_factor = 1.0 if training["loss"] == "half_mse" else 2.0
        self.momentum, self.weight_decay = training["momentum"], training["weight_decay"]

    def advance(
        self, kernel: Callable[..., None], indices: NDArray[np.int64], noise: Array, sizes: Array, *shape: object
    ) -> None:
        """Take a block of steps with a kernel of `largestep.dynamics`."""
        kernel(
            self.parameters,
            self.velocity,
            self.inputs,
            self.labels,
            self.data_set,
            indices,
            noise,
            sizes,
            self.residual_factor,
            self.momentum,
            self.weight_decay,
            self.step,
            self.diverged_step,
            *shape,
        )
        self.step += indices.shape[1]


class _Diagonal:
    """The diagonal linear network."""

    def __init__(self, model: dict[str, Any], inputs_of_run: Array) -> None:
        self._inputs_of_run = inputs_of_run
        self._start = np.repeat([float(model["u"]), float(model["v"])], inputs_of_run.shape[-1])

    def initial(self, seed: int) -> Array:
        return self._start

    def advance(self, state: _State, indices: NDArray[np.int64], noise: Array, sizes: Array) -> None:
        state.advance(diagonal.advance, indices, noise, sizes)

    def mean_square(self, state: _State, data: xr.Dataset, part: str) -> Array:
        beta = diagonal.predictor(state.parameters)
        labels = data[f"{part}_labels"].values[state.data_set]
        if part == "test":
            outputs = beta @ data["test_inputs"].values.T
        else:
            outputs = np.einsum("rni,ri->rn", self._inputs_of_run, beta)
        return _mean_square(outputs - labels)


class _Dense:
    """A dense ReLU network."""

    def __init__(self, model: dict[str, Any], dimension: int) -> None:
        # torch takes seconds to import and only the weights of dense networks need it.
        from largestep.models import dense as architecture

        self._draw = lambda seed: architecture.draw(dimension, model["layers"], seed)
        self._shape = (architecture.widths(dimension, model["layers"]), architecture.biased(model["layers"]))

    def initial(self, seed: int) -> Array:
        return np.asarray(self._draw(seed))

    def advance(self, state: _State, indices: NDArray[np.int64], noise: Array, sizes: Array) -> None:
        state.advance(dense.advance, indices, noise, sizes, *self._shape)

    def mean_square(self, state: _State, data: xr.Dataset, part: str) -> Array:
        if part == "test":
            inputs, which = data["test_inputs"].values[None], np.zeros_like(state.data_set)
        else:
            inputs, which = state.inputs, state.data_set
        outputs = dense.predict(state.parameters, inputs, which, *self._shape)
        return _mean_square(outputs - data[f"{part}_labels"].values[state.data_set])


def _mean_square(residuals: Array) -> Array:
    with np.errstate(over="ignore"):  # a run about to diverge has an infinite loss
        return np.asarray(np.mean(residuals**2, axis=1))


def _network(model: dict[str, Any], data: xr.Dataset, data_set: NDArray[np.int64]) -> _Diagonal | _Dense:
    if model["kind"] == "diagonal":
        return _Diagonal(model, data["train_inputs"].values[data_set])
    return _Dense(model, data.sizes["input"])


def _indices(
    generators: list[np.random.Generator], count: int, examples: int, training: dict[str, Any]
) -> NDArray[np.int64]:
    batch = training["batch_size"]
    if batch == "full":
        return np.zeros((len(generators), count, 0), dtype=np.int64)  # as the kernels take it
    if training["replacement"] or batch == 1:
        return np.stack([g.integers(examples, size=(count, batch)) for g in generators])
    everyone = np.broadcast_to(np.arange(examples), (count, examples))
    return np.stack([g.permuted(everyone, axis=1)[:, :batch] for g in generators])


def _label_noise(generators: list[np.random.Generator], count: int, examples: int, scale: float) -> Array:
    if scale == 0.0:
        return np.zeros((len(generators), count, 0))
    return np.stack([scale * g.standard_normal((count, examples)) for g in generators])
