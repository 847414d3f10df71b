"""Step size against duration: a diagonal network trained at every pair of the two, many seeds each.

The paper's schedules differ in the size of the decayed steps as well as in when the decay comes. Here all runs
decay to one step size, so that whatever differs between them is the doing of the large-step phase. Seeds and arms
follow the convention of `largestep.toys.train`: seed s sees the same order of examples, and in the arm `data`
the same data set, as seed s of every cell.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numba
import numpy as np
import xarray as xr
from numpy.typing import NDArray
from tqdm import tqdm

from largestep import stages
from largestep.measures.thresholds import l0_norm
from largestep.recording import ORDER, grid
from largestep.schedules import decay_fraction
from largestep.store import variable
from largestep.toys import diagonal
from largestep.toys.train import Order

Array = NDArray[np.float64]
POINT = ("step_size", "decay_at", "seed")
# Share of training, counted back from the decay, over which the predictor's errors are averaged.
LATE = 0.05


def study(spec: Mapping[str, Any], threads: int) -> xr.Dataset:
    """Every measure at every (step size, decay time, seed); NaN where the run diverged.

    At the end of training: test_loss, train_loss and l0, at the experiment's thresholds. From the large-step
    phase: plateau, support_rmse and off_support. All decay times of a step size share the run up to the decay.
    Raises ValueError when the experiment has label noise, which is not drawn here.
    """
    numba.set_num_threads(min(threads, numba.config.NUMBA_NUM_THREADS))  # type: ignore[attr-defined]
    settings = spec["settings"]
    experiment = spec["experiments"][settings["experiment"]]
    training, thresholds = experiment["training"], experiment["measures"]["l0_thresholds"]
    if training["label_noise"] != 0.0:
        raise ValueError(f"experiment {settings['experiment']} has label noise, which a phase diagram does not draw")
    problem = _Problem(experiment["data"]["data"], settings["arm"], settings["seeds"])
    step_sizes = np.linspace(*(settings["step_sizes"][key] for key in ("low", "high", "count")))
    streams = (np.random.default_rng([ORDER, seed]) for seed in range(settings["seeds"]))
    order = np.stack([Order(stream, problem.examples, training).take(training["steps"]) for stream in streams])

    found: dict[str, list[list[Array]]] = {}
    for step_size in tqdm(step_sizes, desc=spec["study"], unit="step size", mininterval=2.0, ascii=True):
        start = _Runs(problem, experiment["model"], training, order)
        row = _decayed_at_each(start, float(step_size), settings, thresholds)
        for name in row[0]:
            found.setdefault(name, []).append([column[name] for column in row])
    return _dataset({name: np.array(rows) for name, rows in found.items()}, step_sizes, experiment, settings)


class _Problem:
    """The data set of every run, as the kernel takes them, and the losses and errors of predictors (runs, d)."""

    def __init__(self, drawn: Mapping[str, Any], arm: str, runs: int) -> None:
        own = arm == "data"
        data = stages.worker("data", drawn["kind"]).draw(drawn, runs if own else 0).isel(data_set=slice(int(own), None))
        self.inputs, self.labels = data["train_inputs"].values, data["train_labels"].values
        self.examples, self.dimension = self.inputs.shape[1:]
        self.data_set = np.arange(runs) if own else np.zeros(runs, dtype=np.int64)
        self._test_inputs, self._test_labels = data["test_inputs"].values, data["test_labels"].values
        self._truth, self._support = data["truth"].values, drawn["support"]

    def train_loss(self, predictors: Array) -> Array:
        """Half the mean square error on the training set of each run."""
        # One product for all runs that share a data set.
        outputs = predictors.reshape(len(self.inputs), -1, self.dimension) @ self.inputs.transpose(0, 2, 1)
        return _half_mean_square(outputs.reshape(len(predictors), -1) - self.labels[self.data_set])

    def test_loss(self, predictors: Array) -> Array:
        """Half the mean square error on the test set."""
        return _half_mean_square(predictors @ self._test_inputs.T - self._test_labels[self.data_set])

    def errors(self, predictors: Array) -> tuple[Array, Array]:
        """Mean square error on the support of the truth, and squared l2 norm off it."""
        difference = predictors - self._truth[self.data_set]
        on, off = difference[:, : self._support], difference[:, self._support :]
        return np.mean(on**2, axis=1), np.sum(off**2, axis=1)


def _half_mean_square(residuals: Array) -> Array:
    return np.asarray(0.5 * np.mean(residuals**2, axis=1))


class _Runs:
    """One run per seed, all at the same step."""

    def __init__(
        self, problem: _Problem, model: Mapping[str, Any], training: Mapping[str, Any], order: NDArray[np.int64]
    ) -> None:
        self.problem, self.training = problem, training
        self._order = order
        start = np.repeat([float(model["u"]), float(model["v"])], problem.dimension)
        self._parameters = np.tile(start, (len(order), 1))
        self._velocity = np.zeros_like(self._parameters)
        self._step = 0
        self.diverged_step = np.full(len(order), -1, dtype=np.int64)

    def branch(self) -> _Runs:
        """The same runs, to be taken further without changing these."""
        copy = _Runs.__new__(_Runs)
        copy.__dict__ |= self.__dict__
        copy._parameters, copy._velocity = self._parameters.copy(), self._velocity.copy()
        copy.diverged_step = self.diverged_step.copy()
        return copy

    def advance(self, until: int, step_size: float) -> None:
        """Take steps of one size until so many are taken in all."""
        count = until - self._step
        if count == 0:
            return
        diagonal.advance(
            self._parameters,
            self._velocity,
            self.problem.inputs,
            self.problem.labels,
            self.problem.data_set,
            self._order[:, self._step : until],
            np.zeros((len(self._parameters), count, 0)),
            np.full(count, step_size),
            1.0 if self.training["loss"] == "half_mse" else 2.0,
            self.training["momentum"],
            self.training["weight_decay"],
            self._step,
            self.diverged_step,
            sam_radius=self.training["sam_radius"],
        )
        self._step = until

    def predictors(self) -> Array:
        """The linear predictor of each run, (seeds, d)."""
        return diagonal.predictor(self._parameters)


def _decayed_at_each(
    runs: _Runs, step_size: float, settings: Mapping[str, Any], thresholds: list[float]
) -> list[dict[str, Array]]:
    """The measures of each decay time, every one (seeds,) but l0, which is (seeds, thresholds)."""
    problem, training = runs.problem, runs.training
    evaluations = grid(training["steps"], training["evaluations"])
    late = max(1, round(LATE * training["evaluations"]))
    losses, on_support, off_support = (np.full((len(evaluations), len(runs.diverged_step)), np.nan) for _ in range(3))
    found, evaluated = [], 0
    for decay_at in settings["decay_at"]:
        # The first step of the decayed size (see `largestep.schedules.step_sizes`).
        due = int(decay_at * training["steps"]) + training["decay_after_update"]
        before = int(np.searchsorted(evaluations, due))
        # A run about to diverge has infinite losses.
        with np.errstate(over="ignore", invalid="ignore"):
            for index in range(evaluated, before):
                runs.advance(int(evaluations[index]), step_size)
                predictors = runs.predictors()
                losses[index] = problem.train_loss(predictors)
                on_support[index], off_support[index] = problem.errors(predictors)
            evaluated = before
            runs.advance(due, step_size)
            after = runs.branch()
            # The update of the last step is never taken, as in the cells.
            after.advance(training["steps"] - 1, settings["decayed_step_size"])
            predictors = after.predictors()
            half = slice(int(np.searchsorted(evaluations, due / 2)), before)
            last = slice(max(0, before - late), before)
            values = {
                "test_loss": problem.test_loss(predictors),
                "train_loss": problem.train_loss(predictors),
                "plateau": losses[half].mean(axis=0),
                "support_rmse": np.sqrt(on_support[last].mean(axis=0)),
                "off_support": np.sqrt(off_support[last].mean(axis=0)),
            }
        alive = after.diverged_step < 0
        found.append(
            {name: np.where(alive, each, np.nan) for name, each in values.items()}
            | {
                "l0": np.stack([l0_norm(predictors, threshold) for threshold in thresholds], axis=-1),
                "diverged_step": after.diverged_step,
            }
        )
    return found


def _dataset(
    found: Mapping[str, Array], step_sizes: Array, experiment: Mapping[str, Any], settings: Mapping[str, Any]
) -> xr.Dataset:
    described = {
        "test_loss": ("1", "loss on the test set at the end of training"),
        "train_loss": ("1", "loss on the training set at the end of training"),
        "plateau": ("1", "mean training loss over the second half of the large-step phase"),
        "support_rmse": ("1", "root mean square error of the predictor on the support just before the decay"),
        "off_support": ("1", "l2 norm of the predictor off the support just before the decay"),
        "diverged_step": ("step", "step at which the run diverged, -1 for none"),
    }
    schedules = experiment["schedules"].values()
    return xr.Dataset(
        {name: variable(POINT, found[name], *about) for name, about in described.items()}
        | {
            "l0": variable(
                (*POINT, "l0_threshold"), found["l0"], "1", "non-zeros of the predictor at the end of training"
            ),
            "arm": variable((), settings["arm"], "1", "what a seed varies"),
            "decayed_step_size": variable((), settings["decayed_step_size"], "1", "step size after the decay"),
            "published_step_size": variable(
                ("cell",), [schedule["step_size"] for schedule in schedules], "1", "large step size of the cell"
            ),
            "published_decay_at": variable(
                ("cell",), [decay_fraction(schedule) for schedule in schedules], "1", "decay time of the cell"
            ),
        },
        {
            "step_size": variable(("step_size",), step_sizes, "1", "step size before the decay"),
            "decay_at": variable(("decay_at",), settings["decay_at"], "1", "fraction of training before the decay"),
            "seed": variable(("seed",), np.arange(settings["seeds"]), "1", "seed of the run"),
            "l0_threshold": variable(
                ("l0_threshold",), experiment["measures"]["l0_thresholds"], "1", "what counts as non-zero"
            ),
            "cell": variable(("cell",), list(experiment["schedules"]), "1", "published cell of the experiment"),
        },
    )
