"""Runs of a toy network: what they learn, where they are, and steps on from there, many runs at once."""

from __future__ import annotations

import copy
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numba
import numpy as np
import xarray as xr
from numpy.typing import NDArray

from largestep.toys.network import network
from largestep.toys.update import Course, Rule, State, Task

if TYPE_CHECKING:
    from largestep.config.models import ToyNet
    from largestep.config.training import ToyTraining

Array = NDArray[np.float64]
Which = NDArray[np.int64]
# Doubles of a cache line.
LINE = 8


class Problem:
    """A network, the data sets that its runs are trained on, and the losses of parameters on them."""

    def __init__(self, model: ToyNet, data: xr.Dataset, loss: str) -> None:
        """model, loss: an experiment's, as in config.yaml. data: as the data stage draws it."""
        self.net = network(model, data.sizes["input"])
        self.residual_factor = {"half_mse": 1.0, "mse": 2.0}[loss]
        self.inputs, self.labels = on_line(data["train_inputs"].values), data["train_labels"].values
        self.examples = self.inputs.shape[1]
        self._test = None
        if "test_inputs" in data:
            self._test = data["test_inputs"].values[None], data["test_labels"].values

    @property
    def has_test(self) -> bool:
        """Whether there is a test set."""
        return self._test is not None

    def task(self, data_set: int) -> Task:
        """What a run on that data set learns."""
        return Task(self.inputs[data_set], self.labels[data_set], self.residual_factor)

    def residuals(self, parameters: Array, data_set: Which | None = None) -> Array:
        """h(x) - y on the training set, (runs, n), of parameters (runs, p).

        data_set: (runs,), that of each run, or None where all are on the first.
        """
        labels = self.labels[:1] if data_set is None else self.labels[data_set]
        return self.net.outputs(parameters, self.inputs, data_set) - labels

    def loss(self, parameters: Array, data_set: Which | None = None) -> Array:
        """Training loss, (runs,); arguments as of `residuals`."""
        with np.errstate(over="ignore", invalid="ignore"):  # a run about to diverge has an infinite loss
            return self._mean_square(self.residuals(parameters, data_set))

    def test_loss(self, parameters: Array, data_set: Which | None = None) -> Array:
        """The same on the test set, whose inputs all data sets share. Raises ValueError where there is none."""
        if self._test is None:
            raise ValueError("the data has no test set")
        inputs, labels = self._test
        with np.errstate(over="ignore", invalid="ignore"):
            outputs = self.net.outputs(parameters, inputs)
            return self._mean_square(outputs - (labels[:1] if data_set is None else labels[data_set]))

    def extremes(self, parameters: Array, data_set: Which | None = None) -> Array:
        """Smallest and largest eigenvalue of each run's Hessian, (runs, 2); NaN for diverged runs."""
        eigenvalues = np.full((len(parameters), 2), np.nan)
        for run in np.flatnonzero(np.isfinite(parameters).all(axis=1)):
            eigenvalues[run] = self.net.hessian_extremes(
                parameters[run], self.task(0 if data_set is None else data_set[run])
            )
        return eigenvalues

    def _mean_square(self, residuals: Array) -> Array:
        return np.asarray(0.5 * self.residual_factor * np.mean(residuals**2, axis=1))


class Runs:
    """Several runs at the same step. One that diverges is NaN from there on, and its step of divergence is kept."""

    def __init__(
        self, problem: Problem, parameters: Array, data_set: Which | None = None, rule: Rule | None = None
    ) -> None:
        """parameters: (runs, p), from where the runs start. data_set: as in `Problem.residuals`."""
        self.problem, self.data_set, self.rule = problem, data_set, rule or Rule()
        # The runs change their own copy in place.
        self.parameters = on_line(parameters)
        self.diverged_step = np.full(len(parameters), -1, dtype=np.int64)
        self.step = 0
        self._velocity = np.zeros_like(parameters)

    def advance(self, sizes: Array, indices: Which | None = None, noise: NDArray[np.floating] | None = None) -> None:
        """Take a step of each size, (steps,) for all runs or (runs, steps).

        indices: (runs, steps, batch), the examples, all at every step if None; noise: (runs, steps, examples a step),
        added to their labels, none if None.
        """
        none = np.empty((len(self.parameters), sizes.shape[-1], 0))
        indices = none.astype(np.int64) if indices is None else indices
        noise = none if noise is None else noise.astype(np.float64, copy=False)

        def take(run: int) -> int:
            course = Course(indices[run], noise[run], sizes if sizes.ndim == 1 else sizes[run])
            return self.problem.net.advance(*self._of(run), course, self.rule)

        self._each(take, sizes.shape[-1])

    def advance_watched(self, sizes: Array, indices: Which) -> Array:
        """Plain steps of one example, and the root mean square of all residuals before each, (runs, steps).

        NaN from the step after that at which a run diverged.
        """
        scales = np.full(indices.shape[:2], np.nan)
        none = np.empty((len(sizes), 0))

        def take(run: int) -> int:
            return self.problem.net.advance_watched(*self._of(run), Course(indices[run], none, sizes), scales[run])

        self._each(take, len(sizes))
        return scales

    def advance_by(self, take: Callable[[int], int], steps: int) -> None:
        """So many steps as take(run) takes them of each run's parameters; it returns how many before it diverged."""
        self._each(take, steps)

    def loss(self) -> Array:
        """Training loss, (runs,)."""
        return self.problem.loss(self.parameters, self.data_set)

    def test_loss(self) -> Array:
        """Test loss, (runs,)."""
        return self.problem.test_loss(self.parameters, self.data_set)

    def extremes(self) -> Array:
        """Smallest and largest eigenvalue of each run's Hessian, (runs, 2); NaN for diverged runs."""
        return self.problem.extremes(self.parameters, self.data_set)

    def branch(self, which: Which | slice = slice(None)) -> Runs:
        """The same runs or some of them, perhaps repeated, to be taken further without changing these."""
        runs = copy.copy(self)
        runs.parameters = on_line(self.parameters[which])
        for name in ("diverged_step", "_velocity"):
            setattr(runs, name, getattr(self, name)[which].copy())
        runs.data_set = None if self.data_set is None else self.data_set[which]
        return runs

    def _of(self, run: int) -> tuple[State, Task]:
        task = self.problem.task(0 if self.data_set is None else self.data_set[run])
        return State(self.parameters[run], self._velocity[run]), task

    def _each(self, take: Callable[[int], int], steps: int) -> None:
        """Advance every run that has not diverged; take returns how many of its steps a run took before it did.

        Runs go to plain threads because numba's parallel loops take as long again to compile as the kernels.
        """

        def advance(run: int) -> None:
            taken = take(run)
            if taken < steps:
                self.parameters[run], self.diverged_step[run] = np.nan, self.step + taken

        alive, threads = np.flatnonzero(self.diverged_step < 0).tolist(), numba.get_num_threads()
        if steps and threads == 1:  # the kernels take at least one
            for run in alive:
                advance(run)
        elif steps:
            with ThreadPoolExecutor(threads) as pool:
                list(pool.map(advance, alive))
        self.step += steps


def on_line(values: Array) -> Array:
    """A copy that starts on a cache line.

    NumPy lets large arrays start 16 bytes after one, so that every other load and store of the kernels' vectors spans
    two: a step of the diagonal network then takes a fifth longer.
    """
    room = np.empty(values.size + LINE)
    start = -(room.ctypes.data // room.itemsize) % LINE
    aligned = room[start : start + values.size].reshape(values.shape)
    aligned[...] = values
    return aligned


def rule(training: ToyTraining) -> Rule:
    """The rule of an experiment's training: of the settings that it has by the names of the rule's."""
    defaults = Rule._field_defaults
    given = {name: type(each)(getattr(training, name)) for name, each in defaults.items() if hasattr(training, name)}
    return Rule(**given)


def data_sets(arm: str, runs: int) -> Which:
    """Which data set each run, one for each seed, is trained on: the fixed one, or in the arm `data` its own."""
    return np.arange(runs) + 1 if arm == "data" else np.zeros(runs, dtype=np.int64)
