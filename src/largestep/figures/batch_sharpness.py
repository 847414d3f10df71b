"""Batch sharpness along SGD, a panel for every network."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from largestep.figures import style

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
    names = [str(name) for name in study["network"].values]
    figure = Figure(figsize=(style.TEXT_WIDTH, 2.3))
    axes = figure.subplots(1, len(names), squeeze=False, sharey=True)[0]
    for place, (ax, name) in enumerate(zip(axes, names, strict=True)):
        run = study.sel(network=name)
        run = run.isel(seed=slice(int(run["seeds_run"])))
        alive = run["diverged_step"].values < 0
        divide_by = style.step_axis(ax, np.array([0, int(run["steps"])]))
        values = (run["batch_sharpness"] * run["step_size"] / 2.0).transpose("seed", "point").values[alive]
        steps = run["point_step"].values / divide_by
        if len(values):
            low, middle, high = style.quartiles(values)
            ax.plot(steps, values[0], color=style.tint(SHADE, SINGLE), linewidth=0.6)
            ax.fill_between(steps, low, high, color=SHADE, alpha=0.2, linewidth=0)
            ax.plot(steps, middle, color=SHADE)
        else:
            style.empty(ax)
        ax.axhline(1.0, color="black", linestyle="--", linewidth=0.8)
        ax.axvline(float(run["decay_step"]) / divide_by, color=SHADE, linestyle=":", linewidth=0.8)
        lost = int((~alive).sum())
        style.letter(ax, place, f"{name.replace('_', ' ')}\n{lost} of {len(alive)} diverged")
    axes[0].set_ylabel("batch sharpness × η / 2 (no unit)")
    style.note(
        figure,
        f"{style.BAND_NOTE} Faint: one seed. Dashed: the edge of stability. Dotted: the step size is divided.",
    )
    return figure
