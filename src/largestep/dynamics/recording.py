"""What every trainer records of a cell: at which steps, and under which names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from largestep.store import variable

# Purposes of the random streams of a seed; their numbers are part of what a result depends on.
ORDER, LABEL_NOISE = 1, 2


def grid(steps: int, intervals: int) -> NDArray[np.int64]:
    """Evenly spaced steps from the first to the last, both included."""
    return np.unique(np.round(np.linspace(0, steps - 1, intervals + 1)).astype(np.int64))


def recorded_steps(steps: int, training: Mapping[str, Any]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Steps at which the loss is evaluated, and those among them at which the parameters are kept."""
    snapshot_steps = grid(steps, training["snapshots"])
    return np.union1d(grid(steps, training["evaluations"]), snapshot_steps), snapshot_steps


def datasets(
    training: Mapping[str, Any],
    sizes: NDArray[np.float64],
    curves: Mapping[str, tuple[NDArray[np.floating], str, str]],
    snapshots: NDArray[np.floating],
    diverged_step: NDArray[np.int64],
    data_set: NDArray[np.int64],
) -> tuple[xr.Dataset, xr.Dataset]:
    """The two datasets of a training stage; a run is one seed of one arm, arm by arm.

    sizes: (steps,), the step size of every step. curves: by name, values (runs, evaluations), their
    units and long name. snapshots: (runs, snapshots, p). diverged_step, data_set: (runs,).

    Returns the losses, with dimensions (arm, seed, step), and the snapshots of the parameters, with
    dimensions (arm, seed, snapshot_step, parameter).
    """
    arms, seeds = training["arms"], training["seeds"]
    shape = (len(arms), seeds)
    evaluation_steps, snapshot_steps = recorded_steps(len(sizes), training)
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
            "step_size": variable(("step",), sizes[evaluation_steps], "1", "step size of the update that follows"),
            "diverged_step": variable(
                ("arm", "seed"), diverged_step.reshape(shape), "step", "step at which the run diverged, -1 for none"
            ),
        },
        coordinates | {"step": variable(("step",), evaluation_steps, "step", "updates before the evaluation")},
    )
    kept = xr.Dataset(
        {
            "parameters": variable(
                ("arm", "seed", "snapshot_step", "parameter"),
                snapshots.reshape(*shape, *snapshots.shape[1:]),
                "1",
                "parameters of the network",
            ),
            "data_set": variable(("arm", "seed"), data_set.reshape(shape), "1", "data set of the run"),
        },
        coordinates
        | {"snapshot_step": variable(("snapshot_step",), snapshot_steps, "step", "updates before the snapshot")},
    )
    return losses, kept
