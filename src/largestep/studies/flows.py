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
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from tqdm import tqdm

from largestep import elementary, stages
from largestep.compiled import use_threads
from largestep.measures import RUN
from largestep.recording import recorded_steps
from largestep.schedules import Schedule, second_half
from largestep.sparsity import measures
from largestep.store import StoreError, variable
from largestep.toys.orders import Noise, Orders
from largestep.toys.runs import Problem, Runs
from largestep.toys.update import Rule

if TYPE_CHECKING:
    from largestep.config.studies.flows import Flows
    from largestep.specs.studies import StudySpec, UsedToy

Array = NDArray[np.float64]
ALGORITHMS = ("sgd", "gd", "flow", "sde", "sde_coupled")
# SGD's steps whose noise is drawn at once: few enough that it stays close to the processor. Does not change the draws.
BLOCK = 50
# Sokal's window: the sum of autocorrelations ends where the lag exceeds this many autocorrelation times.
SOKAL = 5.0


def study(spec: StudySpec[Flows, UsedToy], threads: int) -> xr.Dataset:
    """Losses (algorithm, seed, step), loss samples of the large-step phase (algorithm, seed, sample), and measures.

    The measures, at the paper's and all other thresholds, have dimensions (algorithm, seed, snapshot_step, ...).
    Raises StoreError where SGD diverges on every seed.
    """
    use_threads(threads)
    settings = spec.settings
    experiment = spec.experiments[settings.experiment]
    training, drawn = experiment.training, experiment.data.data
    data = stages.worker("data", drawn.kind).draw(drawn, 0)
    problem = Problem(experiment.model, data, training.loss)
    steps = training.steps
    schedule = Schedule(experiment.schedules[settings.cell], steps, training.decay_after_update)
    sizes, decay = schedule.sizes, schedule.decay_step
    evaluation_steps, snapshot_steps = recorded_steps(steps, training.evaluations, settings.snapshots)

    fine = settings.substeps
    with tqdm(total=steps, desc=spec.study, unit="step", mininterval=2.0, ascii=True) as bar:
        sgd, scales = _descend(problem, sizes, settings.seeds, evaluation_steps, snapshot_steps)
        survivors = np.flatnonzero(sgd.diverged_step < 0)
        if not len(survivors):
            where = f"{settings.experiment}.{settings.cell}"
            raise StoreError(f"study {spec.study}: SGD diverges on all {settings.seeds} seeds of {where}")
        seeds = survivors[: settings.pairs]
        sgd, scales = sgd.of(seeds), scales[seeds]
        window = np.flatnonzero(second_half(np.arange(steps), decay))
        times = np.array([autocorrelation_time(elementary.log(scale[window])) for scale in scales])
        sample_steps = window[:: int(np.ceil(2.0 * np.median(times)))]
        stops = np.union1d(evaluation_steps, sample_steps)
        # Without noise one run stands for all that start at one point.
        different = seeds if problem.net.random_init else seeds[:1]
        others = {
            name: _Algorithm(Runs(problem, problem.net.initial(own), rule=rule), substeps)
            for name, own, substeps, rule in (
                ("gd", different, 1, Rule()),
                ("flow", different, fine, Rule()),
                ("sde", seeds, fine, Rule(noise_follows_loss=True)),
                ("sde_coupled", seeds, fine, Rule()),
            )
        }
        noise, now = Noise(seeds), 0
        for stop in stops:
            while now < stop:
                block = slice(now, min(now + BLOCK, int(stop)))
                _flow(others, sizes[block], scales[:, block], noise)
                bar.update(block.stop - now)
                now = block.stop
            for algorithm in others.values():
                algorithm.record(now, now in evaluation_steps, now in snapshot_steps)
        bar.update(steps - bar.n)

    factor = 0.5 * problem.residual_factor
    sgd.losses = {int(step): factor * scales[:, step] ** 2 for step in stops}
    everyone = np.zeros_like(seeds)
    return _dataset(
        spec,
        data,
        {"sgd": sgd}
        | {name: each.of(everyone) if len(each.diverged_step) < len(seeds) else each for name, each in others.items()},
        seeds,
        {"step": evaluation_steps, "snapshot_step": snapshot_steps, "sample": sample_steps},
        {
            "step_size": variable(("step",), sizes[evaluation_steps], "1", "step size of SGD's update that follows"),
            "decay_step": variable((), decay, "1", "first step after the large-step phase"),
            "substeps": variable((), fine, "1", "steps of the SDEs and of gradient flow to one of SGD"),
            "autocorrelation_time": variable(
                ("seed",), times, "1", "of the logarithm of SGD's loss in the second half of the large-step phase"
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
    transformed = np.fft.rfft(centred, 2 * n)
    covariance = np.fft.irfft(transformed.real**2 + transformed.imag**2)[:n]
    if covariance[0] <= 0.0:
        return 1.0
    times = 2.0 * np.cumsum(covariance / covariance[0]) - 1.0
    wide = np.flatnonzero(np.arange(n) >= SOKAL * times)
    return float(max(1.0, times[wide[0] if len(wide) else -1]))


class _Algorithm:
    """The runs of one algorithm, one for each seed, and what was recorded of them, by SGD's step.

    substeps: steps to one of SGD's.
    """

    def __init__(self, runs: Runs, substeps: int) -> None:
        self.runs, self.substeps = runs, substeps
        self.losses: dict[int, Array] = {}
        self.test_losses: dict[int, Array] = {}
        self.snapshots: dict[int, Array] = {}

    @property
    def diverged_step(self) -> NDArray[np.int64]:
        """SGD's step at which each run diverged, -1 for none."""
        substep = self.runs.diverged_step
        return np.where(substep < 0, -1, substep // self.substeps)

    def record(self, step: int, evaluated: bool, kept: bool) -> None:
        """Note the losses and, at some steps, the parameters."""
        self.losses[step] = self.runs.loss()
        if evaluated and self.runs.problem.has_test:
            self.test_losses[step] = self.runs.test_loss()
        if kept:
            self.snapshots[step] = self.runs.parameters.copy()

    def of(self, which: NDArray[np.int64]) -> _Algorithm:
        """Some of the runs, which may be repeated."""
        branch = _Algorithm(self.runs.branch(which), self.substeps)
        for name in ("losses", "test_losses", "snapshots"):
            setattr(branch, name, {step: values[which] for step, values in getattr(self, name).items()})
        return branch


def _descend(
    problem: Problem,
    sizes: Array,
    seeds: int,
    evaluation_steps: NDArray[np.int64],
    snapshot_steps: NDArray[np.int64],
) -> tuple[_Algorithm, Array]:
    """SGD as the cell's training stage runs it, and the root mean square of its residuals at every step."""
    runs = Runs(problem, problem.net.initial(np.arange(seeds)))
    sgd, orders = _Algorithm(runs, 1), Orders(range(seeds), problem.examples)
    scales = np.full((seeds, len(sizes)), np.nan)
    for stop in evaluation_steps:
        while runs.step < stop:
            block = slice(runs.step, min(runs.step + BLOCK, int(stop)))
            scales[:, block] = runs.advance_watched(sizes[block], orders.take(block.stop - block.start))
        sgd.record(runs.step, True, runs.step in snapshot_steps)
    last = sgd.losses[int(evaluation_steps[-1])]
    scales[:, -1] = np.sqrt(last / (0.5 * problem.residual_factor))  # the last update is never taken
    return sgd, scales


def _flow(algorithms: Mapping[str, _Algorithm], sizes: Array, scales: Array, normal: Noise) -> None:
    """Take all algorithms but SGD through a block of SGD's steps.

    scales: (seeds, steps), the root mean square of the residuals of SGD.
    """
    fine, examples = algorithms["sde"].substeps, algorithms["sde"].runs.problem.examples
    # With it as label noise, times the root mean square residual, a step is that of Euler and Maruyama.
    noise = normal.take(np.sqrt(fine * examples), len(sizes) * fine, examples)
    fine_sizes = np.repeat(sizes / fine, fine)
    algorithms["gd"].runs.advance(sizes)
    algorithms["flow"].runs.advance(fine_sizes)
    algorithms["sde"].runs.advance(fine_sizes, noise=noise)
    algorithms["sde_coupled"].runs.advance(fine_sizes, noise=np.repeat(scales, fine, axis=1)[:, :, None] * noise)


def _dataset(
    spec: StudySpec[Flows, UsedToy],
    data: xr.Dataset,
    algorithms: Mapping[str, _Algorithm],
    seeds: NDArray[np.int64],
    times: Mapping[str, NDArray[np.int64]],
    more: Mapping[str, xr.Variable],
    threads: int,
) -> xr.Dataset:
    def gathered(record: str, steps: NDArray[np.int64]) -> Array:
        """(algorithm, seed, steps, ...)"""
        return np.stack([np.stack([getattr(algorithms[a], record)[int(s)] for s in steps], axis=1) for a in ALGORITHMS])

    dims = ("algorithm", "seed")
    labels = variable(("algorithm",), ALGORITHMS, "1", "SGD and what it is compared with")
    seed = variable(("seed",), seeds, "1", "seed of the init, of the order of examples and of the Brownian path")
    snapshot_step = variable(("snapshot_step",), times["snapshot_step"], "1", "updates of SGD before the snapshot")
    dataset = xr.Dataset(
        {
            "train_loss": variable((*dims, "step"), gathered("losses", times["step"]), "1", "loss on the training set"),
            "loss_sample": variable(
                (*dims, "sample"), gathered("losses", times["sample"]), "1", "loss on the training set, thinned"
            ),
            "diverged_step": variable(
                dims,
                np.stack([algorithms[name].diverged_step for name in ALGORITHMS]),
                "1",
                "SGD's step at which the run diverged, -1 for none",
            ),
            **more,
        },
        {
            "algorithm": labels,
            "seed": seed,
            "step": variable(("step",), times["step"], "1", "updates of SGD before the evaluation"),
            "sample": variable(
                ("sample",),
                times["sample"],
                "1",
                "updates of SGD before the sample, in the second half of the large-step phase",
            ),
        },
    )
    if "test_inputs" in data:
        test = gathered("test_losses", times["step"])
        dataset["test_loss"] = variable((*dims, "step"), test, "1", "loss on the test set")
    # The features stage sees an algorithm as an arm.
    kept = xr.Dataset(
        {
            "parameters": variable(
                (*RUN, "parameter"), gathered("snapshots", times["snapshot_step"]), "1", "parameters"
            ),
            "data_set": variable(RUN[:2], np.zeros((len(ALGORITHMS), len(seeds)), dtype=np.int64), "1", "data set"),
        }
    )
    experiment = spec.experiments[spec.settings.experiment]
    model, read = experiment.model, experiment.measures
    features = stages.worker("features", model.kind).features(
        model, read, data, kept, label=spec.study, threads=threads
    )
    coordinates = dict(zip(RUN, (variable(("arm",), ALGORITHMS, "1", ""), seed, snapshot_step), strict=True))
    measured = measures(features.assign_coords(coordinates), read)
    measured = measured.rename(arm="algorithm").assign_coords(algorithm=labels)
    return dataset.merge(measured)
