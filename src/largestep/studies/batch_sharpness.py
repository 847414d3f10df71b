"""Batch sharpness along SGD: the edge of stability of its own noise (Andreyev and Beneventano 2024).

It is E[g'Hg] / E[g'g] over mini-batches of the size trained with, g and H being gradient and Hessian of the loss of
that mini-batch. SGD is at its edge where it is 2 / step size. For batches of one example the mean is over all examples,
for larger ones over draws by the law of training. Seeds follow the convention of `largestep.toys.train`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from tqdm import tqdm

from largestep import stages
from largestep.compiled import use_threads
from largestep.schedules import Schedule
from largestep.store import variable
from largestep.toys.network import curved
from largestep.toys.orders import Orders
from largestep.toys.runs import Problem, Runs

if TYPE_CHECKING:
    from largestep.config.studies.batch_sharpness import BatchSharpness
    from largestep.specs.studies import StudySpec, UsedToy

Array = NDArray[np.float64]
# Of batches of more than one example, at every point; and what tells their seeds from those of training.
BATCHES, FURTHER_SEEDS = 256, 1_000_000
DESCRIBED = {
    "batch_sharpness": (("network", "seed", "point"), "1", "E[g'Hg] / E[g'g] over mini-batches, each of its own loss"),
    "step_size": (("network", "point"), "1", "step size of the update that follows"),
    "point_step": (("network", "point"), "1", "updates before the measurement"),
    "decay_step": (("network",), "1", "first step of the decayed size"),
    "steps": (("network",), "1", "length of a run"),
    "seeds_run": (("network",), "1", "seeds that were run, the first ones"),
    "diverged_step": (("network", "seed"), "1", "step at which the run diverged, -1 for none"),
}


def study(spec: StudySpec[BatchSharpness, UsedToy], threads: int) -> xr.Dataset:
    """Every network and seed, at points of the second half of the large-step phase and after it.

    Returns the variables of `DESCRIBED`; NaN where a run has diverged, and for seeds that a network does not have.
    """
    use_threads(threads)
    settings = spec.settings
    names = sorted(settings.networks)
    seeds = max(network.seeds for network in settings.networks.values())
    shown = tqdm(names, desc=spec.study, unit="network", ascii=True)
    return side_by_side({name: _of_network(name, spec, seeds) for name in shown}, DESCRIBED)


def side_by_side(
    by_network: Mapping[str, Mapping[str, Any]], described: Mapping[str, tuple[tuple[str, ...], str, str]]
) -> xr.Dataset:
    """The described variables of every network, whose dimensions, units and names for people these are."""
    seeds = max(len(each["diverged_step"]) for each in by_network.values())
    return xr.Dataset(
        {
            name: variable(dims, np.stack([each[name] for each in by_network.values()]), units, long_name)
            for name, (dims, units, long_name) in described.items()
        },
        {
            "network": variable(("network",), list(by_network), "1", "experiment that the network is from"),
            "seed": variable(("seed",), np.arange(seeds), "1", "seed of the run"),
        },
    )


def batch_sharpness(problem: Problem, parameters: Array, batches: NDArray[np.int64]) -> float:
    """E[g'Hg] / E[g'g] at parameters (p,) over batches of the first data set, (batches, examples); NaN if 0 / 0."""
    along, squares = curved(problem.net).along_gradients(parameters, problem.task(0), batches)
    return float(along.sum() / squares.sum()) if squares.sum() > 0.0 else np.nan


def _of_network(name: str, spec: StudySpec[BatchSharpness, UsedToy], most: int) -> dict[str, Any]:
    settings, experiment = spec.settings, spec.experiments[name]
    network, training, drawn = settings.networks[name], experiment.training, experiment.data.data
    seeds, steps, batch = network.seeds, training.steps, training.batch_size
    problem = Problem(experiment.model, stages.worker("data", drawn.kind).draw(drawn, 0), training.loss)
    schedule = Schedule(experiment.schedules[network.cell], steps, training.decay_after_update)
    points = measured_at(schedule.decay_step, steps, settings.points, settings.points_after)
    runs = Runs(problem, problem.net.initial(np.arange(seeds)))
    orders = Orders(range(seeds), problem.examples, batch, training.sampling)
    others = Orders([FURTHER_SEEDS], problem.examples, batch, training.sampling)
    ratios = np.full((most, len(points)), np.nan)
    for place, now in enumerate(points):
        here = slice(runs.step, int(now))
        runs.advance(schedule.sizes[here], orders.take(here.stop - here.start))
        batches = np.arange(problem.examples)[:, None] if batch == 1 else others.take(BATCHES)[0]
        for seed in np.flatnonzero(runs.diverged_step < 0):
            with np.errstate(over="ignore", invalid="ignore"):  # of a run about to diverge
                ratios[seed, place] = batch_sharpness(problem, runs.parameters[seed], batches)
    return {
        "batch_sharpness": ratios,
        "step_size": schedule.sizes[points],
        "point_step": points,
        "decay_step": schedule.decay_step,
        "steps": steps,
        "seeds_run": seeds,
        "diverged_step": np.concatenate([runs.diverged_step, np.full(most - seeds, -1)]),
    }


def measured_at(decay: int, steps: int, points: int, points_after: int) -> NDArray[np.int64]:
    """Updates before each measurement: evenly over the second half of the large-step phase, then over the rest."""
    before = np.linspace(decay // 2, decay - 1, points)
    after = np.linspace(decay, steps - 1, points_after + 1)[1:]
    return np.concatenate([before, after]).round().astype(np.int64)
