"""SGD beside gradient descent, gradient flow and the paper's SDE, at one schedule of one toy experiment (Fig. 9).

All algorithms share the data set, the init and the step sizes eta of SGD; time is counted in SGD's steps. Gradient
descent takes all examples a step. The SDE

    dtheta = -grad L dt + sqrt(eta delta) phi^T dB,    delta = (2/n) L,

with L half the mean square, is solved by Euler and Maruyama in steps of eta / m, m to each of SGD's; c = 2/n makes the
noise as strong as SGD's when all residuals are equal, and nothing is tuned. `sde` takes L from where it is itself,
`sde_coupled` from the run of SGD of the same seed, at SGD's step floor(t / m), as the paper does; both get
the same Brownian path. Gradient flow is the same without noise.

SGD at these step sizes diverges on many seeds. The seeds compared are the first on which it does not; how many were
tried and lost is kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numba
import numpy as np
import xarray as xr
from numpy.typing import NDArray
from tqdm import tqdm

from largestep import stages
from largestep.measures import RUN
from largestep.recording import LABEL_NOISE, ORDER, recorded_steps
from largestep.schedules import decay_fraction, step_sizes
from largestep.sparsity import measures
from largestep.store import StoreError, variable
from largestep.toys import dense, diagonal

Array = NDArray[np.float64]
ALGORITHMS = ("sgd", "gd", "flow", "sde", "sde_coupled")
# SGD's steps whose noise is drawn at once; bounds the memory and does not change the draws.
BLOCK = 500
# Sokal's window: the sum of autocorrelations ends where the lag exceeds this many autocorrelation times.
SOKAL = 5.0


def study(spec: dict[str, Any], threads: int) -> xr.Dataset:
    """Losses (algorithm, seed, step), loss samples of the large-step phase (algorithm, seed, sample), and measures.

    The measures, at the paper's and all other thresholds, have dimensions (algorithm, seed, snapshot_step, ...).
    Raises StoreError where SGD diverges on every seed.
    """
    numba.set_num_threads(min(threads, numba.config.NUMBA_NUM_THREADS))  # type: ignore[attr-defined]
    settings = spec["settings"]
    about = spec["experiments"][settings["experiment"]]
    schedule = about["schedules"][settings["cell"]]
    data = stages.worker("data", about["data"]["data"]["kind"]).draw(about["data"]["data"], 0)
    problem = _Problem(about, data)
    steps = about["training"]["steps"]
    sizes = step_sizes(schedule, steps, about["training"]["decay_after_update"])
    recorded = {"evaluations": about["training"]["evaluations"], "snapshots": settings["snapshots"]}
    evaluation_steps, snapshot_steps = recorded_steps(steps, recorded)
    decay = int(decay_fraction(schedule) * steps)

    fine = settings["substeps"]
    with tqdm(total=steps, desc=spec["study"], unit="step", mininterval=2.0, ascii=True) as bar:
        sgd, scales = _descend(problem, sizes, settings["seeds"], evaluation_steps, snapshot_steps)
        survivors = np.flatnonzero(sgd.diverged_step < 0)
        if not len(survivors):
            where = f"{settings['experiment']}.{settings['cell']}"
            raise StoreError(f"study {spec['study']}: SGD diverges on all {settings['seeds']} seeds of {where}")
        seeds = survivors[: settings["pairs"]]
        sgd, scales = sgd.of(seeds), scales[seeds]
        window = np.arange(decay // 2, decay)
        times = np.array([autocorrelation_time(np.log(scale[window])) for scale in scales])
        sample_steps = window[:: int(np.ceil(2.0 * np.median(times)))]
        stops = np.union1d(evaluation_steps, sample_steps)
        runs = {"sgd": sgd}
        starts = {
            "gd": (seeds if problem.random_init else seeds[:1], 1),
            "flow": (seeds if problem.random_init else seeds[:1], fine),
            "sde": (seeds, fine),
            "sde_coupled": (seeds, fine),
        }
        runs |= {name: _Runs(problem.initial(own), substeps) for name, (own, substeps) in starts.items()}
        generators = [np.random.default_rng([LABEL_NOISE, seed]) for seed in seeds]
        now = 0
        for stop in stops:
            while now < stop:
                block = slice(now, min(now + BLOCK, int(stop)))
                _flow(problem, runs, sizes[block], scales[:, block], generators)
                bar.update(block.stop - now)
                now = block.stop
            for name in starts:
                runs[name].record(problem, now, now in evaluation_steps, now in snapshot_steps)
        bar.update(steps - bar.n)

    factor = problem.loss_factor
    sgd.losses = {int(step): factor * scales[:, step] ** 2 for step in stops}
    return _dataset(
        spec,
        data,
        {name: run.of(np.zeros_like(seeds)) if len(run.parameters) < len(seeds) else run for name, run in runs.items()},
        seeds,
        {"step": evaluation_steps, "snapshot_step": snapshot_steps, "sample": sample_steps},
        {
            "step_size": variable(("step",), sizes[evaluation_steps], "1", "step size of SGD's update that follows"),
            "decay_step": variable((), decay, "step", "first step after the large-step phase"),
            "substeps": variable((), fine, "1", "steps of the SDEs and of gradient flow to one of SGD"),
            "autocorrelation_time": variable(
                ("seed",), times, "step", "of the logarithm of SGD's loss in the second half of the large-step phase"
            ),
            "seeds_tried": variable((), int(seeds[-1]) + 1, "1", "seeds of SGD until enough did not diverge"),
            "seeds_lost": variable((), int(seeds[-1]) + 1 - len(seeds), "1", "seeds on which SGD diverged"),
        },
        threads,
    )


def autocorrelation_time(series: Array) -> float:
    """Integrated autocorrelation time 1 + 2 sum rho(k) of a series, with Sokal's window; 1 for a constant one."""
    n = len(series)
    centred = series - series.mean()
    power = np.abs(np.fft.rfft(centred, 2 * n)) ** 2
    covariance = np.fft.irfft(power)[:n]
    if covariance[0] <= 0.0:
        return 1.0
    times = 2.0 * np.cumsum(covariance / covariance[0]) - 1.0
    wide = np.flatnonzero(np.arange(n) >= SOKAL * times)
    return float(max(1.0, times[wide[0] if len(wide) else -1]))


class _Problem:
    """The network and the data set that all algorithms share."""

    def __init__(self, about: Mapping[str, Any], data: xr.Dataset) -> None:
        training, self._model = about["training"], about["model"]
        self.random_init = self._model["kind"] == "dense"
        self.residual_factor = 1.0 if training["loss"] == "half_mse" else 2.0
        self.loss_factor = 0.5 * self.residual_factor
        self.inputs, self.labels = data["train_inputs"].values[:1], data["train_labels"].values[:1]
        self.examples = self.inputs.shape[1]
        self.test = None
        if "test_inputs" in data:
            self.test = data["test_inputs"].values[None], data["test_labels"].values[:1]
        self._dimension = data.sizes["input"]
        self._shape: tuple[Any, ...] = ()
        if self.random_init:
            # torch takes seconds to import and only dense networks need it.
            from largestep.models import dense as architecture

            layers = self._model["layers"]
            self._draw = lambda seed: architecture.draw(self._dimension, layers, int(seed))
            self._shape = architecture.widths(self._dimension, layers), architecture.biased(layers)

    def initial(self, seeds: NDArray[np.int64]) -> Array:
        """Parameters at the start, (seeds, p)."""
        if self.random_init:
            return np.stack([self._draw(seed) for seed in seeds])
        start = np.repeat([float(self._model["u"]), float(self._model["v"])], self._dimension)
        return np.tile(start, (len(seeds), 1))

    def flow(self, runs: _Runs, sizes: Array, noise: Array, follows: bool) -> None:
        """Steps of these sizes on all examples; noise: (runs, steps, n), or (runs, steps, 0) for none."""
        count = len(runs.parameters)
        kernel = dense.advance if self.random_init else diagonal.advance
        kernel(
            runs.parameters,
            np.zeros_like(runs.parameters),
            self.inputs,
            self.labels,
            np.zeros(count, dtype=np.int64),
            np.zeros((count, len(sizes), 0), dtype=np.int64),
            noise,
            sizes,
            self.residual_factor,
            0.0,
            0.0,
            runs.taken,
            runs.diverged_substep,
            *self._shape,
            noise_follows_loss=follows,
        )
        runs.taken += len(sizes)

    def descend(self, runs: _Runs, indices: NDArray[np.int64], sizes: Array) -> Array:
        """Steps of SGD; returns the root mean square of the residuals before each, (runs, steps)."""
        watched = dense.advance_watched if self.random_init else diagonal.advance_watched
        which = np.zeros(len(indices), dtype=np.int64)
        problem = self.inputs, self.labels, which, indices, sizes, self.residual_factor
        scales = watched(runs.parameters, *problem, runs.taken, runs.diverged_substep, *self._shape)
        runs.taken += len(sizes)
        return scales

    def mean_square(self, parameters: Array, inputs: Array, labels: Array) -> Array:
        """Mean square of the residuals of every run, (runs,), on inputs (1, n, d) and labels (1, n)."""
        with np.errstate(over="ignore", invalid="ignore"):  # a run about to diverge has an infinite loss
            if self.random_init:
                outputs = dense.predict(parameters, inputs, np.zeros(len(parameters), dtype=np.int64), *self._shape)
            else:
                outputs = diagonal.predictor(parameters) @ inputs[0].T
            return np.asarray(np.mean((outputs - labels) ** 2, axis=1))


@dataclass
class _Runs:
    """The runs of one algorithm, one for each seed: where they are, and what was recorded, by SGD's step.

    substeps: steps to one of SGD's; taken and diverged_substep count these.
    """

    parameters: Array
    substeps: int
    taken: int = 0
    diverged_substep: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    losses: dict[int, Array] = field(default_factory=dict)
    test_losses: dict[int, Array] = field(default_factory=dict)
    snapshots: dict[int, Array] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not len(self.diverged_substep):
            self.diverged_substep = np.full(len(self.parameters), -1)

    @property
    def diverged_step(self) -> NDArray[np.int64]:
        """SGD's step at which each run diverged, -1 for none."""
        return np.where(self.diverged_substep < 0, -1, self.diverged_substep // self.substeps)

    def record(self, problem: _Problem, step: int, evaluated: bool, kept: bool) -> None:
        """Note the losses and, at some steps, the parameters."""
        loss = problem.mean_square(self.parameters, problem.inputs, problem.labels)
        self.losses[step] = problem.loss_factor * loss
        if evaluated and problem.test is not None:
            self.test_losses[step] = problem.loss_factor * problem.mean_square(self.parameters, *problem.test)
        if kept:
            self.snapshots[step] = self.parameters.copy()

    def of(self, runs: NDArray[np.int64]) -> _Runs:
        """Some of the runs, which may be repeated."""
        records = ({step: v[runs] for step, v in r.items()} for r in (self.losses, self.test_losses, self.snapshots))
        return _Runs(self.parameters[runs], self.substeps, self.taken, self.diverged_substep[runs], *records)


def _descend(
    problem: _Problem,
    sizes: Array,
    seeds: int,
    evaluation_steps: NDArray[np.int64],
    snapshot_steps: NDArray[np.int64],
) -> tuple[_Runs, Array]:
    """SGD as the cell's training stage runs it, and the root mean square of its residuals at every step."""
    runs = _Runs(problem.initial(np.arange(seeds)), 1)
    orders = [np.random.default_rng([ORDER, seed]) for seed in range(seeds)]
    scales = np.full((seeds, len(sizes)), np.nan)
    for stop in evaluation_steps:
        while runs.taken < stop:
            block = slice(runs.taken, min(runs.taken + BLOCK, int(stop)))
            shape = block.stop - block.start, 1
            indices = np.stack([order.integers(problem.examples, size=shape) for order in orders])
            scales[:, block] = problem.descend(runs, indices, sizes[block])
        runs.record(problem, runs.taken, True, runs.taken in snapshot_steps)
    last = runs.losses[int(evaluation_steps[-1])]
    scales[:, -1] = np.sqrt(last / problem.loss_factor)  # the last update is never taken
    return runs, scales


def _flow(
    problem: _Problem, runs: Mapping[str, _Runs], sizes: Array, scales: Array, generators: list[np.random.Generator]
) -> None:
    """Take all algorithms but SGD through a block of SGD's steps.

    scales: (seeds, steps), the root mean square of the residuals of SGD.
    """
    fine = runs["sde"].substeps
    shape = len(sizes) * fine, problem.examples
    # With it as label noise, times the root mean square residual, a step is that of Euler and Maruyama.
    noise = np.sqrt(fine * problem.examples) * np.stack([g.standard_normal(shape) for g in generators])
    fine_sizes = np.repeat(sizes / fine, fine)
    none = {name: np.empty((len(runs[name].parameters), len(sizes) * fine, 0)) for name in ("gd", "flow")}
    problem.flow(runs["gd"], sizes, none["gd"][:, : len(sizes)], False)
    problem.flow(runs["flow"], fine_sizes, none["flow"], False)
    problem.flow(runs["sde"], fine_sizes, noise, True)
    problem.flow(runs["sde_coupled"], fine_sizes, np.repeat(scales, fine, axis=1)[:, :, None] * noise, False)


def _dataset(
    spec: Mapping[str, Any],
    data: xr.Dataset,
    runs: Mapping[str, _Runs],
    seeds: NDArray[np.int64],
    times: Mapping[str, NDArray[np.int64]],
    more: Mapping[str, xr.Variable],
    threads: int,
) -> xr.Dataset:
    def gathered(record: str, steps: NDArray[np.int64]) -> Array:
        """(algorithm, seed, steps, ...)"""
        return np.stack([np.stack([getattr(runs[a], record)[int(s)] for s in steps], axis=1) for a in ALGORITHMS])

    dims = ("algorithm", "seed")
    algorithms = variable(("algorithm",), ALGORITHMS, "1", "SGD and what it is compared with")
    seed = variable(("seed",), seeds, "1", "seed of the init, of the order of examples and of the Brownian path")
    snapshot_step = variable(("snapshot_step",), times["snapshot_step"], "step", "updates of SGD before the snapshot")
    found = xr.Dataset(
        {
            "train_loss": variable((*dims, "step"), gathered("losses", times["step"]), "1", "loss on the training set"),
            "loss_sample": variable(
                (*dims, "sample"), gathered("losses", times["sample"]), "1", "loss on the training set, thinned"
            ),
            "diverged_step": variable(
                dims,
                np.stack([runs[name].diverged_step for name in ALGORITHMS]),
                "step",
                "SGD's step at which the run diverged, -1 for none",
            ),
            **more,
        },
        {
            "algorithm": algorithms,
            "seed": seed,
            "step": variable(("step",), times["step"], "step", "updates of SGD before the evaluation"),
            "sample": variable(
                ("sample",),
                times["sample"],
                "step",
                "updates of SGD before the sample, in the second half of the large-step phase",
            ),
        },
    )
    if "test_inputs" in data:
        test = gathered("test_losses", times["step"])
        found["test_loss"] = variable((*dims, "step"), test, "1", "loss on the test set")
    # The features stage sees an algorithm as an arm.
    kept = xr.Dataset(
        {
            "parameters": variable(
                (*RUN, "parameter"), gathered("snapshots", times["snapshot_step"]), "1", "parameters"
            ),
            "data_set": variable(RUN[:2], np.zeros((len(ALGORITHMS), len(seeds)), dtype=np.int64), "1", "data set"),
        }
    )
    about = spec["experiments"][spec["settings"]["experiment"]]
    asked = {"cell": spec["study"], "train": {"model": about["model"]}, "measures": about["measures"]}
    features = stages.worker("features", about["model"]["kind"]).features(asked, data, kept, threads)
    coordinates = dict(zip(RUN, (variable(("arm",), ALGORITHMS, "1", ""), seed, snapshot_step), strict=True))
    measured = measures(features.assign_coords(coordinates), about["measures"])
    measured = measured.rename(arm="algorithm").assign_coords(algorithm=algorithms)
    return found.merge(measured)
