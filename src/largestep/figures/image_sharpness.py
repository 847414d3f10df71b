"""Sharpness and batch sharpness of image classifiers along SGD, a panel for every network."""

from __future__ import annotations

import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from largestep.figures import edge, style
from largestep.measures.edge import of_edge

NEEDS = ("batch_sharpness", "sharpness", "step_size", "point_step", "decay_step", "diverged_step")
CAPTION = """
*What is plotted.* Batch sharpness and sharpness times half the step size along SGD, a panel for each image classifier:
median and middle half over the seeds that survive, at the points where they are measured. Both are in training mode, at
the batch size trained with: batch sharpness is E[g'Hg] / E[g'g] over mini-batches, g and H being the gradient and the
Hessian of that mini-batch's own loss, and sharpness the largest eigenvalue of the Hessian of their mean loss.

*What is claimed.* By Andreyev and Beneventano (2024), after the paper: SGD settles where batch sharpness is 2/step
size, its own edge of stability, while the sharpness stays below it (C17, C18).

*What to look for.* Does batch sharpness lie on the dashed line until the dotted one, where the step size is divided,
and the sharpness below it?
"""
SHADES = {"batch_sharpness": style.ALGORITHMS["sgd"][1], "sharpness": style.ALGORITHMS["gd"][1]}


@style.house()
def draw(study: xr.Dataset) -> Figure:
    """One panel per network."""
    figure = edge.panels(study, _curves, "sharpness × η / 2 (no unit)")
    style.key_of_panels(figure, "Curvature over that of the edge of stability", columns=2)
    style.note(figure, f"{style.BAND_NOTE} {edge.NOTE}")
    return figure


def _curves(ax: Axes, runs: xr.Dataset, places: edge.Array) -> None:
    for measure, shade in SHADES.items():
        low, middle, high = style.quartiles(of_edge(runs, measure))
        ax.fill_between(places, low, high, color=shade, alpha=0.2, linewidth=0)
        ax.plot(places, middle, ".-", color=shade, label=f"{measure.replace('_', ' ')} × η / 2")
