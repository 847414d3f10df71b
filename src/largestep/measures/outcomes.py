"""How the runs of an experiment ended: survived, diverged, or with a dead block."""

from __future__ import annotations

import numpy as np
import xarray as xr

from largestep.registered import Measure, Row

# Of those below, what a run that does not diverge ends with.
FINAL = ("train_loss", "test_loss", "test_error")
# What trainers record.
MEASURES = {
    "train_loss": Measure(panel=None, row=Row("training loss")),
    "minibatch_loss": Measure(panel=None, row=Row("loss of the mini-batches in training mode")),
    "test_loss": Measure(panel=None, row=Row("test loss")),
    "test_error": Measure(panel=None, row=Row("test error", "%")),
}


def survived(experiment: xr.Dataset) -> xr.DataArray:
    """Which runs never diverged: booleans of dimensions (cell, arm, seed)."""
    return experiment["diverged_step"] < 0


def without_value(experiment: xr.Dataset) -> xr.DataArray:
    """Which surviving runs end with a loss or an error that is not finite: booleans of dimensions (cell, arm, seed)."""
    valueless = xr.zeros_like(survived(experiment))
    for name in FINAL:
        if name in experiment:
            valueless = valueless | ~np.isfinite(experiment[name].isel(step=-1, drop=True))
    return valueless & survived(experiment)


def dead(experiment: xr.Dataset) -> xr.DataArray:
    """Which surviving runs end with a block that no training example activates: (cell, arm, seed).

    Such a network is perfectly sparse and computes a constant; it must not pass for a simple solution
    unseen. No run of a diagonal network is dead: it has no units. Nor does a block with negative values make one.
    """
    alive = survived(experiment)
    if "active_fraction" not in experiment:
        return xr.zeros_like(alive)
    return alive & (experiment["active_fraction"].isel(snapshot_step=-1) == 0).any("block")


def has_negative(experiment: xr.Dataset) -> set[int]:
    """The blocks that have negative values in any run, so that their units are neither dead nor active."""
    if "negative_fraction" not in experiment:
        return set()
    negative = experiment["negative_fraction"] > 0
    return {int(block) for block in negative["block"][negative.any([dim for dim in negative.dims if dim != "block"])]}
