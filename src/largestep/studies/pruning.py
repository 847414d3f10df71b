"""Causal pruning of toy networks: what the loss is once redundant units are deleted, at the end of runs of SGD.

The rise is the loss after the deletion minus that before it, over the loss of the best constant. Beside the units that
the measure of sparsity calls redundant as many are deleted at random, and all units one after the other from the most
redundant on. Seeds follow the convention of `largestep.toys.train`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from largestep import stages
from largestep.measures import pruning
from largestep.measures.pruning import TOLERANCE
from largestep.schedules import Law, large_then_small
from largestep.store import variable
from largestep.threshold_sweep import coordinate
from largestep.toys.network import layered
from largestep.toys.runs import Problem
from largestep.toys.train import train

if TYPE_CHECKING:
    from largestep.config.studies.pruning import PrunedNet, Pruning
    from largestep.specs.studies import StudySpec, UsedToy

Array = NDArray[np.float64]
# Deletions at random, of every run; and what their generator is seeded with, beside the seed of the run.
DRAWS, AT_RANDOM = 16, 20
DESCRIBED = {
    "rise": (("run", "seed", "deleted"), "1", "rise of the training loss over the loss of the best constant"),
    "needed": (("run", "seed"), "1", f"share of the units left before the rise first exceeds {TOLERANCE:g}"),
    "redundant_units": (("run", "seed", "correlation_threshold"), "1", "share of the units that are redundant"),
    "redundant_rise": (("run", "seed", "correlation_threshold"), "1", "rise of the training loss without them"),
    "redundant_test_rise": (("run", "seed", "correlation_threshold"), "1", "rise of the test loss without them"),
    "random_rise": (
        ("run", "seed", "correlation_threshold"),
        "1",
        f"rise of the training loss without as many units of every layer at random, mean of {DRAWS} draws",
    ),
    "train_loss": (("run", "seed"), "1", "training loss before the deletion"),
    "network": (("run",), "1", "experiment that the network is from"),
    "decay_fraction": (("run",), "1", "fraction of training at which the large step ends, 0 for none"),
    "units": (("run",), "1", "hidden units of the network"),
    "seeds_run": (("run",), "1", "seeds that were run, the first ones"),
    "diverged_step": (("run", "seed"), "1", "step at which the run diverged, -1 for none"),
}


class Examples(NamedTuple):
    """Inputs (n, d), the mean loss of a network on them, and that of the best constant output."""

    inputs: Array
    loss: Callable[[pruning.Layers], float]
    constant: float


class Trained(NamedTuple):
    """Networks of one schedule: layers of every seed, None where a run diverged; what they learnt and are tested on."""

    network: str
    decay_fraction: float
    nets: list[pruning.Layers | None]
    diverged_step: NDArray[np.int64]
    learnt: Examples
    test: Examples | None
    normalise: bool


def study(spec: StudySpec[Pruning, UsedToy], threads: int) -> xr.Dataset:
    """Every network, schedule and seed; the variables of `DESCRIBED`, NaN where a run has diverged or there is none."""
    names = sorted(spec.settings.networks)
    runs = [run for name in names for run in _runs(spec.study, name, spec, threads)]
    return dataset(runs, spec.experiments[names[0]].measures.correlation_thresholds)


def dataset(runs: Sequence[Trained], thresholds: Sequence[float]) -> xr.Dataset:
    """What deletions do to every run. thresholds: as config.yaml lists them, the paper's first."""
    levels = sorted(thresholds)
    most, seeds = max(_units(run) for run in runs), max(len(run.nets) for run in runs)
    by_run = [_of_run(run, levels, most, seeds) for run in runs]
    return xr.Dataset(
        {
            name: variable(dims, np.stack([each[name] for each in by_run]), units, long_name)
            for name, (dims, units, long_name) in DESCRIBED.items()
        },
        {
            "run": variable(("run",), [_name(run) for run in runs], "1", "network and when its large step ends"),
            "seed": variable(("seed",), np.arange(seeds), "1", "seed of the run"),
            "deleted": variable(("deleted",), np.arange(most + 1), "1", "units deleted, the most redundant first"),
            "correlation_threshold": coordinate(
                "correlation_threshold", thresholds, "correlation above which a unit is redundant"
            ),
        },
    )


def _examples(inputs: Array, labels: Array, residual_factor: float) -> Examples:
    """With the squared loss of one output; residual_factor as in a `largestep.toys.update.Task`."""

    def loss(layers: pruning.Layers) -> float:
        outputs = pruning.activations(layers, inputs)[1][:, 0]
        return float(0.5 * residual_factor * np.mean((outputs - labels) ** 2))

    return Examples(inputs, loss, float(0.5 * residual_factor * labels.var()))


def _runs(label: str, name: str, spec: StudySpec[Pruning, UsedToy], threads: int) -> Iterator[Trained]:
    experiment, schedules = spec.experiments[name], spec.settings.networks[name]
    drawn = experiment.data.data
    data = stages.worker("data", drawn.kind).draw(drawn, 0)
    # Its evaluations would take longer than the training.
    untested = data.drop_vars(("test_inputs", "test_labels"), errors="ignore")
    own = {"arms": ["order"], "seeds": schedules.seeds, "evaluations": 2, "snapshots": 2}
    training = experiment.training.model_copy(update=own)
    problem = Problem(experiment.model, data, training.loss)
    factor, net = problem.residual_factor, layered(problem.net)
    learnt = _examples(data["train_inputs"].values[0], data["train_labels"].values[0], factor)
    test = None
    if "test_inputs" in data:
        test = _examples(data["test_inputs"].values, data["test_labels"].values[0], factor)
    for fraction, law in _laws(schedules):
        run = f"{label}, {name} {fraction:g}"
        losses, snapshots = train(experiment.model, training, law, untested, label=run, threads=threads)
        last = snapshots["parameters"].isel(arm=0, snapshot_step=-1).values
        gone = losses["diverged_step"].isel(arm=0).values
        nets = [None if step >= 0 else net.matrices(one) for one, step in zip(last, gone, strict=True)]
        yield Trained(name, fraction, nets, gone, learnt, test, experiment.measures.normalise_activations)


def _laws(schedules: PrunedNet) -> Iterator[tuple[float, Law]]:
    yield 0.0, Law(schedules.decayed_step_size)
    for at in schedules.decay_at:
        yield at, large_then_small(schedules.step_size, at, schedules.decayed_step_size)


def _of_run(run: Trained, levels: list[float], most: int, seeds: int) -> dict[str, Any]:
    """A value of every variable of `DESCRIBED`, without its dimension `run`."""
    sizes = {"seed": seeds, "deleted": most + 1, "correlation_threshold": len(levels)}
    values: dict[str, Any] = {
        name: np.full([sizes[dim] for dim in dims[1:]], np.nan) for name, (dims, _, _) in DESCRIBED.items()
    }
    for seed, net in enumerate(run.nets):
        if net is not None:
            for name, one in _of_net(net, run, levels, seed).items():
                values[name][seed, ...].flat[: np.size(one)] = one
    return values | {
        "network": run.network,
        "decay_fraction": run.decay_fraction,
        "units": _units(run),
        "seeds_run": len(run.nets),
        "diverged_step": np.concatenate([run.diverged_step, np.full(seeds - len(run.nets), -1)]),
    }


def _of_net(net: pruning.Layers, run: Trained, levels: list[float], seed: int) -> dict[str, Any]:
    twins = pruning.twins(net, run.learnt.inputs, run.normalise)
    units, before = sum(len(each.twin) for each in twins), run.learnt.loss(net)

    def rise(deleted: pruning.Chosen, of: Examples = run.learnt, start: float = before) -> float:
        return (of.loss(pruning.pruned(net, twins, deleted)) - start) / of.constant

    by_count = np.array([rise(pruning.most_redundant(twins, count)) for count in range(units + 1)])
    generator = np.random.default_rng([AT_RANDOM, seed])
    values: dict[str, Any] = {"rise": by_count, "needed": needed(by_count), "train_loss": before}
    chosen = [pruning.redundant(twins, level) for level in levels]
    values["redundant_units"] = [sum(int(each.sum()) for each in deleted) / units for deleted in chosen]
    values["redundant_rise"] = [rise(deleted) for deleted in chosen]
    values["random_rise"] = [
        np.mean([rise(pruning.at_random(deleted, generator)) for _ in range(DRAWS)]) for deleted in chosen
    ]
    if run.test is not None:
        start = run.test.loss(net)
        values["redundant_test_rise"] = [rise(deleted, run.test, start) for deleted in chosen]
    return values


def needed(rise: Array) -> float:
    """The share of the units left before the rise by the number of deleted units, (units + 1,), exceeds `TOLERANCE`."""
    beyond = ~(rise <= TOLERANCE)
    deleted = int(beyond.argmax()) - 1 if beyond.any() else len(rise) - 1
    return 1.0 - deleted / (len(rise) - 1)


def _units(run: Trained) -> int:
    """Hidden units; 0 where all runs diverged, of which nothing is pruned."""
    net = next((each for each in run.nets if each is not None), [])
    return sum(len(weights) for weights, _ in net[:-1])


def _name(run: Trained) -> str:
    return f"{run.network}/{'small' if run.decay_fraction == 0.0 else f'decay{100 * run.decay_fraction:g}'}"
