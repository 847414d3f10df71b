"""Curvature times half the step size along SGD, a panel for every network, beside the edge of stability."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from largestep.figures import style

Array = NDArray[np.float64]
# Inches: of a row of panels, and of legend and notes together.
ROW_HEIGHT, AROUND = 1.75, 0.85
NOTE = "Dashed: the edge of stability. Dotted: the step size is divided."


def panels(study: xr.Dataset, curves: Callable[[Axes, xr.Dataset, Array], None], ylabel: str) -> Figure:
    """A panel for every network, where `curves` draws the runs that survive, at the places (point,) of their points."""
    names = [str(name) for name in study["network"].values]
    rows, columns = style.shape(len(names))
    figure = Figure(figsize=(style.TEXT_WIDTH, rows * ROW_HEIGHT + AROUND))
    axes = figure.subplots(rows, columns, squeeze=False, sharey=True)
    for place, (ax, name) in enumerate(zip(axes.ravel(), names, strict=False)):
        run = study.sel(network=name)
        run = run.isel(seed=slice(int(run["seeds_run"])))
        alive = run["diverged_step"].values < 0
        divide_by = style.step_axis(ax, np.array([0, int(run["steps"])]))
        if alive.any():
            curves(ax, run.isel(seed=alive), run["point_step"].values / divide_by)
        else:
            style.empty(ax)
        ax.axhline(1.0, color="black", linestyle="--", linewidth=0.8)
        ax.axvline(float(run["decay_step"]) / divide_by, color="grey", linestyle=":", linewidth=0.8)
        style.letter(ax, place, f"{name.replace('_', ' ')}\n{int((~alive).sum())} of {len(alive)} diverged")
    for ax in axes.ravel()[len(names) :]:
        ax.remove()
    for ax in axes[:, 0]:
        ax.set_ylabel(ylabel)
    return figure
