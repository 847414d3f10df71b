"""Which cell of an experiment is the small step with which large steps are compared."""

from __future__ import annotations

import xarray as xr


def small_step(experiment: xr.Dataset) -> xr.DataArray:
    """Which cells keep a small step size throughout: booleans of dimension (cell,).

    A constant step size is small if it lies below the peak of every cell whose step size is divided or, where none is,
    annealed. Without either there is nothing to compare it with, and no cell is.
    """
    durations, peaks = experiment["decay_fraction"], experiment["peak_step_size"]
    divided, annealed = durations > 0, durations.isnull()
    large = peaks.values[(divided if divided.any() else annealed).values]
    return (durations == 0) & (peaks < large.min()) if len(large) else xr.zeros_like(divided)
