"""Loss and extreme curvatures along SGD at a large step, gradient descent at its edge of stability, and a catapult.

Full-batch gradient descent with step size eta is unstable where the sharpness, the largest eigenvalue of the Hessian
of the training loss, exceeds 2/eta: it may settle at that edge (Cohen et al. 2021), or, started beyond it, leap to
somewhere flat (Lewkowycz et al. 2020). Seeds follow the convention of `largestep.toys.train`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numba
import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from tqdm import tqdm

from largestep import stages
from largestep.measures.hessian import dense_extremes, diagonal_extremes
from largestep.measures.spikes import rise_after_peak, spikes
from largestep.models import dense as architecture
from largestep.recording import ORDER
from largestep.schedules import decay_fraction, step_sizes
from largestep.store import variable
from largestep.toys import dense, diagonal
from largestep.toys.train import Order

Array = NDArray[np.float64]
# In the order of the columns of the figure.
RUNS = ("sgd", "gd", "catapult")
DESCRIBED = {
    "block_step": (("run", "block"), "step", "first step of the block"),
    "loss_median": (("run", "seed", "block"), "1", "median training loss of the block's evaluations"),
    "loss_max": (("run", "seed", "block"), "1", "largest training loss of the block's evaluations"),
    "point_step": (("run", "point"), "step", "updates before the curvatures are measured"),
    "sharpness": (("run", "seed", "point"), "1", "largest eigenvalue of the Hessian of the training loss"),
    "smallest": (("run", "seed", "point"), "1", "smallest eigenvalue of the Hessian of the training loss"),
    "step_size": (("run", "seed", "point"), "1", "step size of the update that follows"),
    "spikes": (("run", "seed"), "1", "spikes of the training loss from start to end"),
    "late_spikes": (("run", "seed"), "1", "spikes of the training loss from late_from to late_to"),
    "rise_after_peak": (("run", "seed"), "1", "largest rise of log10 training loss after its maximum"),
    "late_from": (("run",), "step", "start of the second half of the phase before the decay, or of the run"),
    "late_to": (("run",), "step", "end of that half, not included: the decay, or the end of the run"),
    "steps": (("run",), "step", "updates recorded"),
    "decay_step": (("run",), "step", "first step of the decayed size, -1 for none"),
    "rule": (("run",), "1", "how the step size was chosen"),
    "model": (("run",), "1", "kind of network"),
    "diverged_step": (("run", "seed"), "step", "step at which the run diverged, -1 for none"),
}


def study(spec: Mapping[str, Any], threads: int) -> xr.Dataset:
    """Every kind of run of the study, all seeds; NaN where and from when a run has diverged.

    Counts of spikes are those of `largestep.measures.spikes`, over all evaluations; NaN for a diverged run.
    """
    numba.set_num_threads(min(threads, numba.config.NUMBA_NUM_THREADS))  # type: ignore[attr-defined]
    torch.set_num_threads(threads)
    settings = spec["settings"]
    names = [name for name in RUNS if name in settings["runs"]]
    found = []
    for name in names:
        about = settings["runs"][name]
        experiment = spec["experiments"][about["experiment"]]
        found.append(_along(_Runs(experiment, about, settings["seeds"], name == "sgd"), settings, spec["study"], name))
    return xr.Dataset(
        {
            name: variable(dims, np.stack([each[name] for each in found]), units, long_name)
            for name, (dims, units, long_name) in DESCRIBED.items()
        },
        {
            "run": variable(("run",), names, "1", "algorithm and regime"),
            "seed": variable(("seed",), np.arange(settings["seeds"]), "1", "seed of the run"),
        },
    )


class _Runs:
    """All seeds of one kind of run, at the same step, with their step sizes and batches."""

    def __init__(self, experiment: Mapping[str, Any], about: Mapping[str, Any], seeds: int, stochastic: bool) -> None:
        self.model, drawn = experiment["model"], experiment["data"]["data"]
        training = experiment["training"] | ({} if stochastic else {"batch_size": "full"})
        data = stages.worker("data", drawn["kind"]).draw(drawn, seeds if about["arm"] == "data" else 0)
        self._inputs, self._labels = data["train_inputs"].values, data["train_labels"].values
        self._data_set = np.arange(seeds) + 1 if about["arm"] == "data" else np.zeros(seeds, dtype=np.int64)
        self._residual_factor = 1.0 if training["loss"] == "half_mse" else 2.0
        dimension = self._inputs.shape[2]
        self._shape: tuple[Any, ...] = ()
        if self.model["kind"] == "diagonal":
            start = np.repeat([float(self.model["u"]), float(self.model["v"])], dimension)
            self._parameters = np.tile(start, (seeds, 1))
        else:
            layers = self.model["layers"]
            self._parameters = np.stack([architecture.draw(dimension, layers, seed) for seed in range(seeds)])
            self._shape = architecture.widths(dimension, layers), architecture.biased(layers)
        self._velocity = np.zeros_like(self._parameters)
        examples = self._inputs.shape[1]
        self._orders = [Order(np.random.default_rng([ORDER, seed]), examples, training) for seed in range(seeds)]
        self.diverged_step = np.full(seeds, -1, dtype=np.int64)
        self.step, self.decay_step = 0, -1
        self.steps: int = about["steps"] or training["steps"]
        if about["cell"]:
            schedule = experiment["schedules"][about["cell"]]
            after_update = training["decay_after_update"]
            # One schedule for all seeds, which the kernel takes in one call, or one for each.
            self._sizes = step_sizes(schedule, self.steps, after_update)[None]
            if schedule["decays"]:
                self.decay_step = int(decay_fraction(schedule) * self.steps) + after_update
            self.rule = f"η of cell {about['cell']}"
        else:
            multiple = about["step_over_sharpness"]
            self._sizes = np.repeat(multiple / self.extremes()[:, 1:], self.steps, axis=1)
            self.rule = f"η = {multiple:g}/sharpness at the start"

    def sizes(self) -> Array:
        """The step size of each seed's next update, (seeds,)."""
        return np.broadcast_to(self._sizes[:, self.step], len(self._parameters))

    def advance(self, until: int) -> None:
        """Take steps until so many are taken in all."""
        if until == self.step:  # the kernels take at least one
            return
        taken = slice(self.step, until)
        order = np.stack([each.take(until - self.step) for each in self._orders])
        noise = np.zeros((len(order), until - self.step, 0))
        kernel = diagonal.advance if self.model["kind"] == "diagonal" else dense.advance
        alone = len(self._sizes) > 1
        for group, sizes in enumerate(self._sizes):
            runs = slice(group, group + 1) if alone else slice(None)
            kernel(
                self._parameters[runs],
                self._velocity[runs],
                self._inputs,
                self._labels,
                self._data_set[runs],
                order[runs],
                noise[runs],
                sizes[taken],
                self._residual_factor,
                0.0,
                0.0,
                self.step,
                self.diverged_step[runs],
                *self._shape,
            )
        self.step = until

    def losses(self) -> Array:
        """Training loss of each seed, (seeds,)."""
        if self.model["kind"] == "diagonal":
            predictors = diagonal.predictor(self._parameters)
            outputs = np.einsum("rni,ri->rn", self._inputs[self._data_set], predictors)
        else:
            outputs = dense.predict(self._parameters, self._inputs, self._data_set, *self._shape)
        residuals = outputs - self._labels[self._data_set]
        return np.asarray(0.5 * self._residual_factor * np.mean(residuals**2, axis=1))

    def extremes(self) -> Array:
        """Smallest and largest eigenvalue of each seed's Hessian, (seeds, 2); NaN for diverged runs."""
        found = np.full((len(self._parameters), 2), np.nan)
        for seed in np.flatnonzero(np.isfinite(self._parameters).all(axis=1)):
            problem = self._inputs[self._data_set[seed]], self._labels[self._data_set[seed]]
            if self.model["kind"] == "diagonal":
                found[seed] = diagonal_extremes(self._parameters[seed], *problem, self._residual_factor)
            else:
                layers = self.model["layers"]
                found[seed] = dense_extremes(self._parameters[seed], *problem, layers, self._residual_factor)
        return found


def _along(runs: _Runs, settings: Mapping[str, Any], study_name: str, name: str) -> dict[str, Any]:
    """One value for each variable of `DESCRIBED`, without its dimension `run`."""
    every = settings["runs"][name]["evaluate_every"]
    evaluations = np.arange(0, runs.steps, every)
    decay = int(np.searchsorted(evaluations, runs.decay_step)) if runs.decay_step >= 0 else len(evaluations)
    points = _points(len(evaluations), decay, settings["hessians"])
    losses = np.empty((len(runs.diverged_step), len(evaluations)))
    curvatures: dict[int, tuple[Array, Array]] = {}
    progress = tqdm(evaluations, desc=f"{study_name}, {name}", unit="evaluation", mininterval=2.0, ascii=True)
    # A run about to diverge has infinite losses and curvatures.
    with np.errstate(over="ignore", invalid="ignore"):
        for index, now in enumerate(progress):
            runs.advance(int(now))
            losses[:, index] = runs.losses()
            if index in points:
                curvatures[index] = runs.sizes(), runs.extremes()
    alive = runs.diverged_step < 0
    late = slice(decay // 2, decay)
    blocks = np.array_split(np.arange(len(evaluations)), settings["blocks"])
    return {
        "block_step": evaluations[[block[0] for block in blocks]],
        "loss_median": np.stack([np.median(losses[:, block], axis=1) for block in blocks], axis=1),
        "loss_max": np.stack([losses[:, block].max(axis=1) for block in blocks], axis=1),
        "point_step": evaluations[points],
        "sharpness": np.stack([curvatures[point][1][:, 1] for point in points], axis=1),
        "smallest": np.stack([curvatures[point][1][:, 0] for point in points], axis=1),
        "step_size": np.stack([curvatures[point][0] for point in points], axis=1),
        "spikes": _of_each(lambda run: spikes(run, every), losses, alive),
        "late_spikes": _of_each(lambda run: spikes(run, every), losses[:, late], alive),
        "rise_after_peak": _of_each(rise_after_peak, losses, alive),
        "late_from": evaluations[late.start],
        "late_to": runs.steps if decay == len(evaluations) else evaluations[decay],
        "steps": runs.steps,
        "decay_step": runs.decay_step,
        "rule": runs.rule,
        "model": runs.model["kind"],
        "diverged_step": runs.diverged_step,
    }


def _points(evaluations: int, decay: int, count: int) -> NDArray[np.int64]:
    """At which evaluations to measure curvatures: closest together at the start, or just after the decay."""
    if decay == evaluations:
        return _closing(0, evaluations - 1, count)
    before = np.linspace(0, decay - 1, count // 3).round().astype(np.int64)
    return np.concatenate([before, _closing(decay, evaluations - 1, count - len(before))])


def _closing(first: int, last: int, count: int) -> NDArray[np.int64]:
    """Half of the points spaced evenly, half by equal factors from the first on, in order."""
    even = np.linspace(first, last, count // 2)
    by_factors = first - 1 + np.geomspace(1, last - first + 1, count - count // 2)
    return np.sort(np.concatenate([even, by_factors]).round().astype(np.int64))


def _of_each(measure: Any, losses: Array, alive: NDArray[np.bool_]) -> Array:
    return np.array([measure(run) if lives else np.nan for run, lives in zip(losses, alive, strict=True)])
