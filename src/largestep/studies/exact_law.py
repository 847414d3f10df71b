"""The exact law of diagonal networks: the predictor from the gradients that SGD has met, at every coordinate.

A step of size eta along a gradient g in the predictor beta = u v multiplies u + v by 1 - eta g and u - v by 1 + eta g.
So with a = |u^2 - v^2| and rho = log |(u + v) / (u - v)|, summed over the steps,

    beta = (a / 2) sinh(rho)
    log a = log a_0 + sum log |1 - (eta g)^2|
    rho = rho_0 + sum log |(1 - eta g) / (1 + eta g)|

so that the scale a, which decides how sparse the solution is (Woodworth et al. 2020), shrinks with the squares of the
steps taken (Even et al. 2023, of the limit; here at every step). Seeds follow the convention of
`largestep.toys.train`.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from tqdm import tqdm

from largestep import elementary, stages
from largestep.compiled import use_threads
from largestep.recording import grid
from largestep.schedules import Schedule
from largestep.store import variable
from largestep.toys.network import lawful, linear
from largestep.toys.orders import Orders
from largestep.toys.runs import Problem, data_sets

if TYPE_CHECKING:
    from largestep.config.studies.exact_law import ExactLaw
    from largestep.specs.studies import StudySpec, UsedToy

Array = NDArray[np.float64]


def study(spec: StudySpec[ExactLaw, UsedToy], threads: int) -> xr.Dataset:
    """The error of the law along training, (seed, step), and both predictors at the end; NaN where a run diverged."""
    use_threads(threads)
    settings = spec.settings
    experiment = spec.experiments[settings.experiment]
    training, drawn, seeds = experiment.training, experiment.data.data, settings.seeds
    data_set = data_sets(settings.arm, seeds)
    data = stages.worker("data", drawn.kind).draw(drawn, int(data_set.max()))
    problem = Problem(experiment.model, data, training.loss)
    schedule = Schedule(experiment.schedules[settings.cell], training.steps, training.decay_after_update)
    times = grid(training.steps, settings.evaluations)
    start = problem.net.initial(np.arange(seeds))
    shape, coordinates = (seeds, len(times)), start.shape[1] // 2
    error, scale, diverged_step = np.full(shape, np.nan), np.full(shape, np.nan), np.full(seeds, -1)
    ends = np.full((2, seeds, coordinates), np.nan)
    for seed in tqdm(range(seeds), desc=spec.study, unit="run", mininterval=2.0, ascii=True):
        order = Orders([seed], problem.examples, 1, training.sampling)
        parameters, logs = start[seed].copy(), _at_start(start[seed])
        task, now = problem.task(int(data_set[seed])), 0
        for place, until in enumerate(times):
            indices = order.take(int(until) - now)[0, :, 0]
            taken = lawful(problem.net).follow_law(parameters, *logs, task, indices, schedule.sizes[now:until])
            if taken < until - now:
                diverged_step[seed] = now + taken
                break
            now = int(until)
            law, trained = predictor(*logs), linear(problem.net).predictor(parameters)
            error[seed, place] = np.abs(law - trained).max() / (np.abs(trained).max() or 1.0)
            scale[seed, place] = np.median(logs[0]) / math.log(10.0)
        else:
            ends[:, seed] = trained, law
    return xr.Dataset(
        {
            "law_error": variable(("seed", "step"), error, "1", "largest difference over largest coordinate"),
            "scale": variable(("seed", "step"), scale, "1", "median over coordinates of log10 |u^2 - v^2|"),
            "trained": variable(("seed", "coordinate"), ends[0], "1", "predictor at the end of training"),
            "law": variable(("seed", "coordinate"), ends[1], "1", "predictor by the law"),
            "decay_step": variable((), schedule.decay_step, "1", "first step of the decayed size, -1 for none"),
            "diverged_step": variable(("seed",), diverged_step, "1", "step at which the run diverged, -1 for none"),
        },
        {
            "seed": variable(("seed",), np.arange(seeds), "1", "seed of the run"),
            "step": variable(("step",), times, "1", "updates before the comparison"),
        },
    )


def predictor(log_a: Array, rho: Array) -> Array:
    """(a / 2) sinh(rho), of any shape; neither factor has to be a number that float64 holds."""
    larger, smaller = (elementary.exp(log_a - math.log(4.0) + sign * np.abs(rho)) for sign in (1.0, -1.0))
    return np.asarray(np.sign(rho) * (larger - smaller))


def _at_start(parameters: Array) -> tuple[Array, Array]:
    u, v = np.split(parameters, 2)
    plus, minus = elementary.log(np.abs(u + v)), elementary.log(np.abs(u - v))
    return plus + minus, plus - minus
