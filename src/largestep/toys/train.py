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

from largestep.recording import LABEL_NOISE, ORDER, datasets, recorded_steps
from largestep.schedules import step_sizes
from largestep.store import variable
from largestep.toys import dense, diagonal

Array = NDArray[np.float64]
# A block of steps is drawn and taken at once; its size bounds memory and does not change the draws.
BLOCK = 2000
TEST_LOSS = "loss on the test set"


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
    orders = [Order(np.random.default_rng([ORDER, seed]), state.examples, training) for seed in seed_of_run]
    noises = [np.random.default_rng([LABEL_NOISE, seed]) for seed in seed_of_run]

    factor = _factor(training)
    train_loss = np.empty((len(parameters), len(evaluation_steps)))
    test_loss = np.empty_like(train_loss)
    snapshots = np.empty((len(parameters), len(snapshot_steps), parameters.shape[1]))
    with tqdm(total=steps, desc=spec["cell"], unit="step", mininterval=2.0, ascii=True) as bar:
        for index, now in enumerate(evaluation_steps):
            while state.step < now:
                count = min(BLOCK, int(now) - state.step)
                indices = np.stack([order.take(count) for order in orders])
                noise = _label_noise(noises, count, indices.shape[2] or state.examples, training["label_noise"])
                net.advance(state, indices, noise, sizes[state.step : state.step + count])
                bar.update(count)
            train_loss[:, index] = factor * net.mean_square(state.parameters, data, "train")
            if "test_inputs" in data:
                test_loss[:, index] = factor * net.mean_square(state.parameters, data, "test")
            if now in snapshot_steps:
                snapshots[:, np.searchsorted(snapshot_steps, now)] = state.parameters
        bar.update(steps - bar.n)

    curves = {"train_loss": (train_loss, "1", "loss on the training set")}
    if "test_inputs" in data:
        curves["test_loss"] = (test_loss, "1", TEST_LOSS)
    return datasets(training, sizes, curves, snapshots, state.diverged_step, data_set)


def test_loss(spec: dict[str, Any], data: xr.Dataset, snapshots: xr.Dataset) -> xr.Variable:
    """The loss on the test set of every snapshot of `train`, for a cell trained without one to save its evaluations.

    Returns dimensions (arm, seed, snapshot_step).
    """
    parameters = snapshots["parameters"]
    flat = parameters.values.reshape(-1, parameters.shape[-1])
    net = _network(spec["model"], data, np.repeat(snapshots["data_set"].values.ravel(), parameters.shape[2]))
    values = _factor(spec["training"]) * net.mean_square(flat, data, "test")
    return variable(("arm", "seed", "snapshot_step"), values.reshape(parameters.shape[:3]), "1", TEST_LOSS)


def _factor(training: dict[str, Any]) -> float:
    return 0.5 if training["loss"] == "half_mse" else 1.0


class Order:
    """The examples of every step of one run, drawn as they are needed; how they are cut into blocks does not count.

    With and without replacement speak of one batch: the next one is drawn afresh. A reshuffled run goes through
    one permutation after the other and a cyclic one repeats its first; batches are cut from these end to end,
    so that one spans two epochs where its size does not divide the number of examples.
    """

    def __init__(self, generator: np.random.Generator, examples: int, training: dict[str, Any]) -> None:
        self._generator, self._examples = generator, examples
        self._batch, self._sampling = training["batch_size"], training["sampling"]
        # What is left of the permutations drawn so far; all of the only one where it is repeated.
        self._left = np.empty(0, dtype=np.int64)
        if self._sampling == "cyclic":
            self._left = generator.permutation(examples)

    def take(self, count: int) -> NDArray[np.int64]:
        """The examples of the next `count` steps: (count, batch), or (count, 0), the kernels' word for all."""
        examples, batch = self._examples, self._batch
        if batch == "full":
            return np.zeros((count, 0), dtype=np.int64)
        if self._sampling == "cyclic":
            found = np.resize(self._left, count * batch)
            self._left = np.roll(self._left, -count * batch)
            return found.reshape(count, batch)
        if self._sampling == "reshuffled":
            epochs = max(0, -(-(count * batch - len(self._left)) // examples))
            more = self._generator.permuted(np.tile(np.arange(examples), (epochs, 1)), axis=1)
            stream = np.concatenate([self._left, more.ravel()])
            found, self._left = np.split(stream, [count * batch])
            return found.reshape(count, batch)
        if self._sampling == "with_replacement" or batch == 1:
            return self._generator.integers(examples, size=(count, batch))
        everyone = np.broadcast_to(np.arange(examples), (count, examples))
        return self._generator.permuted(everyone, axis=1)[:, :batch]


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
        self.sam_radius = training["sam_radius"]

    def advance(
        self, kernel: Callable[..., None], indices: NDArray[np.int64], noise: Array, sizes: Array, *shape: object
    ) -> None:
        """Take a block of steps with a kernel."""
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
            sam_radius=self.sam_radius,
        )
        self.step += indices.shape[1]


class _Diagonal:
    """The diagonal linear network."""

    def __init__(self, model: dict[str, Any], dimension: int, data_set: NDArray[np.int64]) -> None:
        self._data_set = data_set
        self._start = np.repeat([float(model["u"]), float(model["v"])], dimension)

    def initial(self, seed: int) -> Array:
        return self._start

    def advance(self, state: _State, indices: NDArray[np.int64], noise: Array, sizes: Array) -> None:
        state.advance(diagonal.advance, indices, noise, sizes)

    def mean_square(self, parameters: Array, data: xr.Dataset, part: str) -> Array:
        outputs = diagonal.predict(diagonal.predictor(parameters), *_inputs(data, part, self._data_set))
        return _mean_square(outputs - data[f"{part}_labels"].values[self._data_set])


class _Dense:
    """A dense ReLU network."""

    def __init__(self, model: dict[str, Any], dimension: int, data_set: NDArray[np.int64]) -> None:
        # torch takes seconds to import and only the weights of dense networks need it.
        from largestep.models import dense as architecture

        self._data_set = data_set
        self._draw = lambda seed: architecture.draw(dimension, model["layers"], seed)
        self._shape = (architecture.widths(dimension, model["layers"]), architecture.biased(model["layers"]))

    def initial(self, seed: int) -> Array:
        return np.asarray(self._draw(seed))

    def advance(self, state: _State, indices: NDArray[np.int64], noise: Array, sizes: Array) -> None:
        state.advance(dense.advance, indices, noise, sizes, *self._shape)

    def mean_square(self, parameters: Array, data: xr.Dataset, part: str) -> Array:
        outputs = dense.predict(parameters, *_inputs(data, part, self._data_set), *self._shape)
        return _mean_square(outputs - data[f"{part}_labels"].values[self._data_set])


def _inputs(data: xr.Dataset, part: str, data_set: NDArray[np.int64]) -> tuple[Array, NDArray[np.int64]]:
    """Inputs (datasets, n, d) of a part, and which of these each run has: all share one test set."""
    if part == "test":
        return data["test_inputs"].values[None], np.zeros_like(data_set)
    return data["train_inputs"].values, data_set


def _mean_square(residuals: Array) -> Array:
    with np.errstate(over="ignore"):  # a run about to diverge has an infinite loss
        return np.asarray(np.mean(residuals**2, axis=1))


def _network(model: dict[str, Any], data: xr.Dataset, data_set: NDArray[np.int64]) -> _Diagonal | _Dense:
    if model["kind"] == "diagonal":
        return _Diagonal(model, data.sizes["input"], data_set)
    return _Dense(model, data.sizes["input"], data_set)


def _label_noise(generators: list[np.random.Generator], count: int, examples: int, scale: float) -> Array:
    if scale == 0.0:
        return np.zeros((len(generators), count, 0))
    return np.stack([scale * g.standard_normal((count, examples)) for g in generators])
