"""Does a large step act as a smaller initial scale? SGD on a diagonal network, large steps against small scales.

Runs with large steps keep the sums of the exact law (`largestep.studies.exact_law`), which say what scale |u^2 - v^2|
of every coordinate is left at the decay. Runs with small steps start from that, one scale for all coordinates (the
median) or each its own, and from a grid of scales. Seeds follow the convention of `largestep.toys.train` in the arm
`data`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from tqdm import tqdm

from largestep import elementary, stages
from largestep.compiled import use_threads
from largestep.measures.thresholds import l0_norms
from largestep.schedules import Law, Schedule, large_then_small
from largestep.store import variable
from largestep.threshold_sweep import coordinate
from largestep.toys.network import lawful, linear
from largestep.toys.orders import Orders
from largestep.toys.runs import Problem, Runs, data_sets
from largestep.toys.train import TEST_LOSS, advance_to

if TYPE_CHECKING:
    from largestep.config.studies.initial_scale import InitialScale
    from largestep.specs.studies import StudySpec, UsedToy

Array = NDArray[np.float64]
LARGE, UNIFORM, OWN, GRID = "large", "law", "law_of_each", "small"
DECADES = "log10 of the initial scale: of the runs with large steps that which the law leaves at the decay"


class _Ends(NamedTuple):
    """Where runs end: parameters (seeds, p), step of divergence (seeds,)."""

    parameters: Array
    diverged_step: NDArray[np.int64]


def study(spec: StudySpec[InitialScale, UsedToy], threads: int) -> xr.Dataset:
    """Non-zeros and losses at the end of every run, of dimensions (run, seed); NaN where it has diverged."""
    use_threads(threads)
    settings = spec.settings
    experiment = spec.experiments[settings.experiment]
    drawn, thresholds = experiment.data.data, experiment.measures.l0_thresholds
    data = stages.worker("data", drawn.kind).draw(drawn, settings.seeds)
    problem = Problem(experiment.model, data, experiment.training.loss)
    runs = list(_runs(spec.study, settings, experiment, problem))
    kinds, sizes, decades, ends = zip(*runs, strict=True)
    end, gone = (np.stack(each) for each in zip(*ends, strict=True))
    data_set = np.tile(data_sets("data", settings.seeds), len(runs))
    flat, shape = end.reshape(-1, end.shape[-1]), end.shape[:2]
    predictors, levels = linear(problem.net).predictor(end), sorted(thresholds)
    non_zeros = l0_norms(predictors, levels)
    along = ("run", "seed")
    return xr.Dataset(
        {
            "train_loss": variable(along, problem.loss(flat, data_set).reshape(shape), "1", "loss on the training set"),
            "test_loss": variable(along, problem.test_loss(flat, data_set).reshape(shape), "1", TEST_LOSS),
            "l0": variable((*along, "l0_threshold"), non_zeros, "1", "non-zeros of the predictor at the end"),
            "log10_scale": variable(along, np.stack(decades), "1", DECADES),
            "step_size": variable(("run",), sizes, "1", "large step size that the run has or stands for, 0 for none"),
            "diverged_step": variable(along, gone, "1", "step at which the run diverged, -1 for none"),
        },
        {
            "run": variable(("run",), kinds, "1", "large steps, small ones from the scales of the law, or from a grid"),
            "seed": variable(("seed",), np.arange(settings.seeds), "1", "seed of the run and its data set"),
            "l0_threshold": coordinate("l0_threshold", thresholds, "size above which a coordinate is not zero"),
        },
    )


def _runs(
    label: str, settings: InitialScale, experiment: UsedToy, problem: Problem
) -> Iterator[tuple[str, float, Array, _Ends]]:
    """Kind, large step size, log10 of the scale (seeds,) and ends of every run."""
    coordinates, seeds = problem.inputs.shape[2], settings.seeds
    after_update, sampling = experiment.training.decay_after_update, experiment.training.sampling
    small = Schedule(Law(settings.small_step_size), settings.steps, after_update).sizes
    count = 3 * len(settings.step_sizes) + len(settings.scales)
    with tqdm(total=count, desc=label, unit="run", mininterval=2.0, ascii=True) as bar:
        for size in settings.step_sizes:
            law = large_then_small(size, settings.decay_at, settings.small_step_size)
            schedule = Schedule(law, settings.steps, after_update)
            ends, log_a = _followed(problem, seeds, schedule, sampling)
            middle = np.median(log_a, axis=1, keepdims=True) / 2.0
            yield LARGE, size, _decades(middle), ends
            for kind, scale in ((UNIFORM, np.repeat(middle, coordinates, axis=1)), (OWN, log_a / 2.0)):
                yield kind, size, _decades(np.median(scale, axis=1)), _from_scales(problem, scale, small, sampling)
            bar.update(3)
        for alpha in sorted(settings.scales):
            scale = np.full((seeds, coordinates), math.log(alpha))
            yield GRID, 0.0, _decades(scale[:, 0]), _from_scales(problem, scale, small, sampling)
            bar.update()


def _followed(problem: Problem, seeds: int, schedule: Schedule, sampling: str) -> tuple[_Ends, Array]:
    """Runs with large steps, and log |u^2 - v^2| of every coordinate at the decay, (seeds, d); NaN of diverged ones."""
    start, data_set = problem.net.initial(np.arange(seeds)), data_sets("data", seeds)
    ends = _Ends(start.copy(), np.full(seeds, -1))
    log_a = np.full((seeds, start.shape[1] // 2), np.nan)
    for seed in range(seeds):
        u, _ = np.split(start[seed], 2)
        logs = 2.0 * elementary.log(np.abs(u)), np.zeros(len(u))
        order, task, now = Orders([seed], problem.examples, 1, sampling), problem.task(int(data_set[seed])), 0
        for until in (schedule.decay_step, len(schedule.sizes)):
            indices = order.take(until - now)[0, :, 0]
            taken = lawful(problem.net).follow_law(
                ends.parameters[seed], *logs, task, indices, schedule.sizes[now:until]
            )
            if taken < until - now:
                ends.parameters[seed], ends.diverged_step[seed], log_a[seed] = np.nan, now + taken, np.nan
                break
            if until == schedule.decay_step:
                log_a[seed] = logs[0]
            now = until
    return ends, log_a


def _from_scales(problem: Problem, log_scales: Array, sizes: Array, sampling: str) -> _Ends:
    """Runs from u = the scale of each coordinate (seeds, d) and v = 0; those without a scale end as NaN."""
    start = np.concatenate([elementary.exp(log_scales), np.zeros_like(log_scales)], axis=1)
    there = np.isfinite(log_scales).all(axis=1)
    seeds = np.flatnonzero(there)
    ends = _Ends(np.full_like(start, np.nan), np.full(len(start), -1))
    if len(seeds):
        runs = Runs(problem, start[seeds], data_sets("data", len(start))[seeds])
        orders = Orders(seeds, problem.examples, 1, sampling)
        advance_to(len(sizes), runs, orders, sizes)
        ends.parameters[seeds], ends.diverged_step[seeds] = runs.parameters, runs.diverged_step
    return ends


def _decades(log_scales: Array) -> Array:
    return np.asarray(log_scales).ravel() / math.log(10.0)
