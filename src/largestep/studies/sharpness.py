"""Loss and extreme curvatures along SGD at a large step, gradient descent at its edge of stability, and a catapult.

Full-batch gradient descent with step size eta is unstable where the sharpness, the largest eigenvalue of the Hessian
of the training loss, exceeds 2/eta: it may settle at that edge (Cohen et al. 2021), or, started beyond it, leap to
somewhere flat (Lewkowycz et al. 2020). Seeds follow the convention of `largestep.toys.train`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from tqdm import tqdm

from largestep import elementary, stages
from largestep.compiled import use_threads
from largestep.measures.spikes import rise_after_peak, spikes
from largestep.schedules import NO_DECAY, Schedule, second_half
from largestep.store import variable
from largestep.toys.network import Linear
from largestep.toys.orders import Orders
from largestep.toys.runs import Problem, Runs, data_sets

if TYPE_CHECKING:
    from largestep.config.studies.sharpness import MeasuredRun, Sharpness
    from largestep.specs.studies import StudySpec, UsedToy

Array = NDArray[np.float64]
# In the order of the columns of the figure.
RUNS = ("sgd", "gd", "catapult")
DESCRIBED = {
    "block_step": (("run", "block"), "1", "first step of the block"),
    "loss_median": (("run", "seed", "block"), "1", "median training loss of the block's evaluations"),
    "loss_max": (("run", "seed", "block"), "1", "largest training loss of the block's evaluations"),
    "point_step": (("run", "point"), "1", "updates before the curvatures are measured"),
    "sharpness": (("run", "seed", "point"), "1", "largest eigenvalue of the Hessian of the training loss"),
    "smallest": (("run", "seed", "point"), "1", "smallest eigenvalue of the Hessian of the training loss"),
    "step_size": (("run", "seed", "point"), "1", "step size of the update that follows"),
    "spikes": (("run", "seed"), "1", "spikes of the training loss from start to end"),
    "late_spikes": (("run", "seed"), "1", "spikes of the training loss from late_from to late_to"),
    "rise_after_peak": (("run", "seed"), "1", "largest rise of log10 training loss after its maximum"),
    "late_from": (("run",), "1", "start of the second half of the phase before the decay, or of the run"),
    "late_to": (("run",), "1", "end of that half: the decay, or the end of the run"),
    "steps": (("run",), "1", "updates recorded"),
    "decay_step": (("run",), "1", "first step of the decayed size, -1 for none"),
    "rule": (("run",), "1", "how the step size was chosen"),
    "linear": (("run",), "1", "whether the network is linear in its inputs"),
    "diverged_step": (("run", "seed"), "1", "step at which the run diverged, -1 for none"),
}


def study(spec: StudySpec[Sharpness, UsedToy], threads: int) -> xr.Dataset:
    """Every kind of run of the study, all seeds; NaN where and from when a run has diverged.

    Counts of spikes are those of `largestep.measures.spikes`, over all evaluations; NaN for a diverged run.
    """
    use_threads(threads)
    settings = spec.settings
    names = [name for name in RUNS if name in settings.runs]
    measured = []
    for name in names:
        run = settings.runs[name]
        course = _Course(spec.experiments[run.experiment], run, settings.seeds, name == "sgd")
        measured.append(_along(course, run.evaluate_every, settings, f"{spec.study}, {name}"))
    return xr.Dataset(
        {
            name: variable(dims, np.stack([each[name] for each in measured]), units, long_name)
            for name, (dims, units, long_name) in DESCRIBED.items()
        },
        {
            "run": variable(("run",), names, "1", "algorithm and regime"),
            "seed": variable(("seed",), np.arange(settings.seeds), "1", "seed of the run"),
        },
    )


class _Course:
    """All seeds of one kind of run, with their step sizes and batches."""

    def __init__(self, experiment: UsedToy, run: MeasuredRun, seeds: int, stochastic: bool) -> None:
        drawn, training = experiment.data.data, experiment.training
        data_set = data_sets(run.arm, seeds)
        data = stages.worker("data", drawn.kind).draw(drawn, int(data_set.max()))
        problem = Problem(experiment.model, data, training.loss)
        self.runs = Runs(problem, problem.net.initial(np.arange(seeds)), data_set)
        batch = training.batch_size if stochastic else "full"
        self._orders = Orders(range(seeds), problem.examples, batch, training.sampling)
        self.decay_step = NO_DECAY
        self.steps = run.steps or training.steps
        multiple = run.step_over_sharpness
        if multiple is None:
            schedule = Schedule(experiment.schedules[str(run.cell)], self.steps, training.decay_after_update)
            self._sizes, self.decay_step = schedule.sizes, schedule.decay_step
            self.rule = f"η of cell {run.cell}"
        else:
            self._sizes = np.repeat(multiple / self.runs.extremes()[:, 1:], self.steps, axis=1)
            self.rule = f"η = {multiple:g}/sharpness at the start"

    def sizes(self) -> Array:
        """The step size of each seed's next update, (seeds,)."""
        return np.broadcast_to(self._sizes[..., self.runs.step], len(self.runs.parameters))

    def advance(self, until: int) -> None:
        """Take steps until so many are taken in all."""
        if until > self.runs.step:
            here = slice(self.runs.step, until)
            self.runs.advance(self._sizes[..., here], self._orders.take(until - self.runs.step))


def _along(course: _Course, every: int, settings: Sharpness, label: str) -> dict[str, Any]:
    """One value for each variable of `DESCRIBED`, without its dimension `run`; every: steps between evaluations."""
    runs = course.runs
    evaluations = np.arange(0, course.steps, every)
    decay = int(np.searchsorted(evaluations, course.decay_step)) if course.decay_step >= 0 else len(evaluations)
    points = _points(len(evaluations), decay, settings.hessians)
    losses = np.empty((len(runs.diverged_step), len(evaluations)))
    curvatures: dict[int, tuple[Array, Array]] = {}
    progress = tqdm(evaluations, desc=label, unit="evaluation", mininterval=2.0, ascii=True)
    # A run about to diverge has infinite losses and curvatures.
    with np.errstate(over="ignore", invalid="ignore"):
        for index, now in enumerate(progress):
            course.advance(int(now))
            losses[:, index] = runs.loss()
            if index in points:
                curvatures[index] = course.sizes(), runs.extremes()
    alive = runs.diverged_step < 0
    end = course.decay_step if course.decay_step >= 0 else course.steps
    late = second_half(evaluations, end)
    blocks = np.array_split(np.arange(len(evaluations)), settings.blocks)
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
        "late_from": end // 2,
        "late_to": end,
        "steps": course.steps,
        "decay_step": course.decay_step,
        "rule": course.rule,
        "linear": isinstance(runs.problem.net, Linear),
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
    by_factors = first - 1 + elementary.geomspace(1, last - first + 1, count - count // 2)
    return np.sort(np.concatenate([even, by_factors]).round().astype(np.int64))


def _of_each(measure: Callable[[Array], float], losses: Array, alive: NDArray[np.bool_]) -> Array:
    return np.array([measure(run) if lives else np.nan for run, lives in zip(losses, alive, strict=True)])
