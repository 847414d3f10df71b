"""What every trainer records of a cell: at which steps, and under which names."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from largestep.schedules import Schedule
from largestep.store import Streamed, variable

if TYPE_CHECKING:
    from largestep.config.training import Training

# Purposes of the random streams of a seed; their numbers are part of what a result depends on.
ORDER, LABEL_NOISE, AUGMENTATION, NETWORK, EVALUATION = 1, 2, 3, 4, 5


SNAPSHOT = ("arm", "seed", "snapshot_step", "parameter")
PARAMETERS = "parameters of the network"


@dataclass(frozen=True)
class Trained:
    """What the train stage writes: the losses, the snapshots, and those of their variables that memory cannot hold.

    device: what computed them, where that is not the machine's processor.
    """

    losses: xr.Dataset
    snapshots: xr.Dataset
    streamed: Mapping[str, Streamed] = field(default_factory=dict)
    device: str | None = None


def grid(steps: int, intervals: int) -> NDArray[np.int64]:
    """Evenly spaced steps from the first to the last, both included."""
    return np.unique(np.round(np.linspace(0, steps - 1, intervals + 1)).astype(np.int64))


def recorded_steps(steps: int, evaluations: int, snapshots: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Steps at which the loss is evaluated, and those among them at which the parameters are kept.

    evaluations, snapshots: equal intervals of the steps between them.
    """
    snapshot_steps = grid(steps, snapshots)
    return np.union1d(grid(steps, evaluations), snapshot_steps), snapshot_steps


def datasets(
    training: Training,
    steps: int,
    schedule: Schedule,
    curves: Mapping[str, tuple[NDArray[np.floating], str, str]],
    snapshots: NDArray[np.floating] | None,
    diverged_step: NDArray[np.int64],
    data_set: NDArray[np.int64],
) -> tuple[xr.Dataset, xr.Dataset]:
    """The two datasets of a training stage; a run is one seed of one arm, arm by arm.

    steps: how many there are to record, one more than the schedule has where an evaluation follows the last update.
    curves: by name, values (runs, evaluations), their units and long name. snapshots: (runs, snapshots, p), None where
    they are streamed (`streamed_snapshots`). diverged_step, data_set: (runs,).

    Returns the losses, with dimensions (arm, seed, step), and the snapshots of the parameters, with
    dimensions (arm, seed, snapshot_step, parameter).
    """
    arms, seeds = training.arms, training.seeds
    shape = (len(arms), seeds)
    evaluation_steps, snapshot_steps = recorded_steps(steps, training.evaluations, training.snapshots)
    sizes = schedule.sizes[np.minimum(evaluation_steps, schedule.steps - 1)]
    coordinates = {
        "arm": variable(("arm",), arms, "1", "what a seed varies: order and init, or the data set as well"),
        "seed": variable(("seed",), np.arange(seeds), "1", "seed of the run"),
    }
    losses = xr.Dataset(
        {
            name: variable(("arm", "seed", "step"), values.reshape(*shape, -1), units, long_name)
            for name, (values, units, long_name) in curves.items()
        }
        | {
            "step_size": variable(("step",), sizes, "1", "step size of the update that follows, or of the last one"),
            "diverged_step": variable(
                ("arm", "seed"), diverged_step.reshape(shape), "1", "step at which the run diverged, -1 for none"
            ),
        }
        | schedule.variables(),
        coordinates | {"step": variable(("step",), evaluation_steps, "1", "updates before the evaluation")},
    )
    kept = xr.Dataset(
        {"data_set": variable(("arm", "seed"), data_set.reshape(shape), "1", "data set of the run")},
        coordinates
        | {"snapshot_step": variable(("snapshot_step",), snapshot_steps, "1", "updates before the snapshot")},
    )
    if snapshots is not None:
        kept["parameters"] = variable(SNAPSHOT, snapshots.reshape(*shape, *snapshots.shape[1:]), "1", PARAMETERS)
    return losses, kept


def streamed_snapshots(
    shape: tuple[int, ...], slabs: Callable[[], Iterator[NDArray[np.float32]]]
) -> dict[str, Streamed]:
    """The snapshots of networks too large for memory: shape (arm, seed, snapshot_step, p), one after the other."""
    return {"parameters": Streamed(SNAPSHOT, shape, "f4", "1", PARAMETERS, slabs)}
