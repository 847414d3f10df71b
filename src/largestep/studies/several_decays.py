"""Several decays: SGD whose step size is divided more than once, as by He et al. (2016), plateau by plateau.

Beside it run, on the same seeds and as long, schedules that go from the first step size straight to the last, at the
first decay (`early`) or at the last one (`late`), and the last step size throughout (`small`). Seeds follow the
convention of `largestep.toys.train`.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from tqdm import tqdm

from largestep import stages
from largestep.compiled import use_threads
from largestep.measures import pruning, units
from largestep.measures.thresholds import l0_norms
from largestep.schedules import Decay, Law, Schedule, large_then_small
from largestep.store import variable
from largestep.threshold_sweep import coordinate
from largestep.toys.network import Linear, layered
from largestep.toys.orders import Orders
from largestep.toys.runs import Problem, Runs, data_sets
from largestep.toys.train import TEST_LOSS, advance_to

if TYPE_CHECKING:
    from largestep.config.studies.several_decays import SeveralDecays
    from largestep.specs.studies import StudySpec, UsedToy

Array = NDArray[np.float64]
SCHEDULES = ("several", "early", "late", "small")
SEVERAL, EARLY, LATE, SMALL = SCHEDULES
ALONG = ("network", "schedule", "seed", "point")
DESCRIBED = {
    "train_loss": (ALONG, "loss on the training set"),
    "test_loss": (ALONG, TEST_LOSS),
    "l0": ((*ALONG, "l0_threshold"), "non-zeros of the predictor"),
    "feature_sparsity": ((*ALONG, "correlation_threshold"), "feature sparsity of the last hidden layer"),
    "dead": (ALONG, "whether no training example activates some hidden layer"),
    "diverged_step": (("network", "schedule", "seed"), "step at which the run diverged, -1 for none"),
    "point_step": (("network", "point"), "updates before the measurement"),
    "decay_step": (("network", "decay"), "first step of the divided size under several decays"),
    "step_size": (("network", "plateau"), "step size of every plateau under several decays"),
}


def study(spec: StudySpec[SeveralDecays, UsedToy], threads: int) -> xr.Dataset:
    """Losses and features of every network, schedule and seed at points of every plateau; NaN after a divergence."""
    use_threads(threads)
    settings, names = spec.settings, sorted(spec.settings.networks)
    shown = tqdm(names, desc=spec.study, unit="network", ascii=True)
    by_network = [_of_network(name, settings, spec.experiments[name]) for name in shown]
    sweeps = {
        "l0": "coordinates above this absolute value count",
        "correlation": "units correlated above this absolute value count as one",
    }
    axes = {}
    for key, said in sweeps.items():
        given = [getattr(spec.experiments[name].measures, f"{key}_thresholds") for name in names]
        if levels := next(filter(None, given), None):
            axes[f"{key}_threshold"] = coordinate(f"{key}_threshold", levels, said)
    shape = (len(SCHEDULES), settings.seeds, len(by_network[0]["point_step"]))
    variables = {}
    for name, (dims, long_name) in DESCRIBED.items():
        none = np.full((*shape, *(axes[dim].size for dim in dims[len(ALONG) :] if dim in axes)), np.nan)
        if set(dims) & {"l0_threshold", "correlation_threshold"} <= set(axes):
            variables[name] = variable(dims, np.stack([each.get(name, none) for each in by_network]), "1", long_name)
    return xr.Dataset(
        variables,
        axes
        | {
            "network": variable(("network",), names, "1", "experiment that the network is from"),
            "schedule": variable(("schedule",), list(SCHEDULES), "1", "several decays, or what they are compared with"),
            "seed": variable(("seed",), np.arange(settings.seeds), "1", "seed of the run"),
        },
    )


def laws(step_sizes: Sequence[float], decay_at: Sequence[float]) -> dict[str, Law]:
    """The step sizes of every schedule."""
    first, last = step_sizes[0], step_sizes[-1]
    several = [Decay(at, before / after) for at, (before, after) in zip(decay_at, pairwise(step_sizes), strict=True)]
    return {
        SEVERAL: Law(first, several),
        EARLY: large_then_small(first, decay_at[0], last),
        LATE: large_then_small(first, decay_at[-1], last),
        SMALL: Law(last),
    }


def measured_at(ends: Sequence[int], points: int) -> NDArray[np.int64]:
    """Updates before each measurement: none, and evenly over every plateau, of which these are the last steps."""
    places = [np.linspace(start, end, points + 1)[1:] for start, end in pairwise([0, *ends])]
    return np.concatenate([[0.0], *places]).round().astype(np.int64)


def _of_network(name: str, settings: SeveralDecays, experiment: UsedToy) -> dict[str, Any]:
    """A value of every variable of `DESCRIBED` that the network has, without its dimension `network`."""
    training, drawn, seeds = experiment.training, experiment.data.data, settings.seeds
    data = stages.worker("data", drawn.kind).draw(drawn, seeds if settings.arm == "data" else 0)
    net = settings.networks[name]
    schedules = {
        kind: Schedule(law, training.steps, training.decay_after_update)
        for kind, law in laws(net.step_sizes, settings.decay_at).items()
    }
    decays = schedules[SEVERAL].decay_steps
    points = measured_at([*decays, training.steps - 1], settings.points)
    followed = _Followed(Problem(experiment.model, data, training.loss), experiment, settings.arm, seeds)
    by_schedule = followed.each({kind: each.sizes for kind, each in schedules.items()}, points, settings.points + 1)
    return {key: np.stack([each[key] for each in by_schedule]) for key in by_schedule[0]} | {
        "point_step": points,
        "decay_step": decays,
        "step_size": net.step_sizes,
    }


class _Followed:
    """All seeds of one network, measured along every schedule."""

    def __init__(self, problem: Problem, experiment: UsedToy, arm: str, seeds: int) -> None:
        self._problem, self._measures, self._data_set = problem, experiment.measures, data_sets(arm, seeds)
        self._runs = Runs(problem, problem.net.initial(np.arange(seeds)), self._data_set)
        training = experiment.training
        self._orders = Orders(range(seeds), problem.examples, training.batch_size, training.sampling)

    def each(self, sizes: dict[str, Array], points: NDArray[np.int64], first: int) -> list[dict[str, Any]]:
        """What is measured of every schedule at the points; all but `SMALL` share the first so many of them."""
        small = self._follow(self._runs.branch(), copy.deepcopy(self._orders), sizes[SMALL], points)
        shared = self._follow(self._runs, self._orders, sizes[SEVERAL], points[:first])
        by_schedule = []
        for kind in SCHEDULES[:-1]:
            rest = self._follow(self._runs.branch(), copy.deepcopy(self._orders), sizes[kind], points[first:])
            joined = {key: np.concatenate([shared[key], rest[key]], axis=1) for key in rest if key != "diverged_step"}
            by_schedule.append(joined | {"diverged_step": rest["diverged_step"]})
        return [*by_schedule, small]

    def _follow(self, runs: Runs, orders: Orders, sizes: Array, points: NDArray[np.int64]) -> dict[str, Any]:
        """Values (seeds, points, ...) before the updates at these points."""
        at_point = []
        for now in points:
            advance_to(int(now), runs, orders, sizes)
            at_point.append(
                {"train_loss": runs.loss(), "test_loss": runs.test_loss()} | self._features(runs.parameters)
            )
        values: dict[str, Any] = {key: np.stack([each[key] for each in at_point], axis=1) for key in at_point[0]}
        return values | {"diverged_step": runs.diverged_step}

    def _features(self, parameters: Array) -> dict[str, Array]:
        """Non-zeros of the predictor, or sparsity of the last hidden layer, by threshold, and which runs are dead."""
        net, measures = self._problem.net, self._measures
        if isinstance(net, Linear):
            counts = l0_norms(net.predictor(parameters), measures.l0_thresholds)
            return {"l0": counts, "dead": np.zeros(len(parameters))}
        examples, levels = self._problem.examples, sorted(measures.correlation_thresholds)
        sparsity, dead = np.full((len(parameters), len(levels)), np.nan), np.full(len(parameters), np.nan)
        for run in np.flatnonzero(np.isfinite(parameters).all(axis=1)):
            inputs = self._problem.inputs[self._data_set[run]]
            blocks, _ = pruning.activations(layered(net).matrices(parameters[run]), inputs)
            if not np.isfinite(blocks[-1]).all():  # of a run about to diverge
                continue
            dead[run] = pruning.dead(blocks)
            block = units.normalised(blocks[-1]) if measures.normalise_activations else blocks[-1]
            count, later = units.unit_statistics(block)[:2]
            sparsity[run] = [units.feature_sparsity(count, later, examples, level) for level in levels]
        return {"feature_sparsity": sparsity, "dead": dead}
