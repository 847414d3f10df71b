"""Batch sharpness along SGD, a panel for every network."""

from __future__ import annotations

import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from largestep.figures import edge, style
from largestep.measures.edge import of_edge

NEEDS = ("batch_sharpness", "step_size", "point_step", "decay_step", "diverged_step")
CAPTION = """
*What is plotted.* Batch sharpness times half the step size along SGD, a panel for each network: median and middle half
over the seeds that survive, and faintly one seed. Batch sharpness is E[g'Hg] / E[g'g] over mini-batches of the size
trained with, g and H being the gradient and the Hessian of that mini-batch's own loss.

*What is claimed.* By Andreyev and Beneventano (2024), after the paper: SGD settles where it is 1, its own edge of
stability, while the sharpness of the full batch stays below 2/step size (C17, C18).

*What to look for.* Does the line lie on the dashed one until the dotted one, where the step size is divided, and well
below it afterwards?
"""
SINGLE, SHADE = 0.45, style.ALGORITHMS["sgd"][1]


@style.house()
def draw(study: xr.Dataset) -> Figure:
    """One panel per network."""
    figure = edge.panels(study, _curves, "batch sharpness × η / 2 (no unit)")
    style.note(figure, f"{style.BAND_NOTE} Faint: one seed. {edge.NOTE}")
    return figure


def _curves(ax: Axes, runs: xr.Dataset, places: edge.Array) -> None:
    values = of_edge(runs, "batch_sharpness")
    low, middle, high = style.quartiles(values)
    ax.plot(places, values[0], color=style.tint(SHADE, SINGLE), linewidth=0.6)
    ax.fill_between(places, low, high, color=SHADE, alpha=0.2, linewidth=0)
    ax.plot(places, middle, color=SHADE)
