"""The schedules of made-up experiments, in the layout of the aggregate."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from largestep.schedules import NO_DECAY
from largestep.store import variable


def with_schedules(experiment: xr.Dataset, fractions: Sequence[float] | NDArray[np.float64]) -> xr.Dataset:
    """The experiment with the variables of schedules that follow from the fraction of training before each decay.

    fractions: of every cell, 0 for a constant step size, NaN for an annealed one. The step size is divided before the
    update of the step at which the decay falls due.
    """
    whole = experiment["step"].values[-1] + 1
    steps = [[int(each * whole) if each > 0 else NO_DECAY] for each in fractions]
    scheduled = experiment.assign(
        decay_fraction=variable(("cell",), np.asarray(fractions, dtype=float), "1", "fraction before the decay"),
        decay_step=variable(("cell", "decay"), steps, "1", "first step of the divided size"),
    )
    if "step_size" in scheduled:
        set_peaks(scheduled)
    return scheduled


def set_peaks(experiment: xr.Dataset) -> None:
    """Make the peaks those of the step sizes, which have changed."""
    peaks = experiment["step_size"].transpose("cell", "step").values.max(axis=1)
    experiment["peak_step_size"] = variable(("cell",), peaks, "1", "largest step size")
