"""Sharpness and batch sharpness of image classifiers along SGD, a panel for every network."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from largestep.figures import style

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
    names = [str(name) for name in study["network"].values]
    figure = Figure(figsize=(style.TEXT_WIDTH, 2.4))
    axes = figure.subplots(1, len(names), squeeze=False, sharey=True)[0]
    for place, (ax, name) in enumerate(zip(axes, names, strict=True)):
        run = study.sel(network=name)
        run = run.isel(seed=slice(int(run["seeds_run"])))
        alive = run["diverged_step"].values < 0
        divide_by = style.step_axis(ax, np.array([0, int(run["steps"])]))
        steps = run["point_step"].values / divide_by
        for measure, shade in SHADES.items():
            values = (run[measure] * run["step_size"] / 2.0).transpose("seed", "point").values[alive]
            if len(values):
                low, middle, high = style.quartiles(values)
                ax.fill_between(steps, low, high, color=shade, alpha=0.2, linewidth=0)
                ax.plot(steps, middle, ".-", color=shade, label=f"{measure.replace('_', ' ')} × η / 2")
        if not alive.any():
            style.empty(ax)
        ax.axhline(1.0, color="black", linestyle="--", linewidth=0.8)
        ax.axvline(float(run["decay_step"]) / divide_by, color="grey", linestyle=":", linewidth=0.8)
        style.letter(ax, place, f"{name.replace('_', ' ')}\n{int((~alive).sum())} of {len(alive)} diverged")
    axes[0].set_ylabel("sharpness × η / 2 (no unit)")
    handles, labels = axes[0].get_legend_handles_labels()
    if handles:
        figure.legend(handles, labels, loc="outside upper center", ncols=2)
    style.note(figure, f"{style.BAND_NOTE} Dashed: the edge of stability. Dotted: the step size is divided.")
    return figure
