"""The exact law of diagonal networks against trained ones, and the scale that it shrinks."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from largestep.figures import style

NEEDS = ("law_error", "scale", "trained", "law", "decay_step", "diverged_step")
CAPTION = """
*What is plotted.* Of every run of SGD that survives, (a) the predictor by the law against the trained one at the end of
training, a mark for every coordinate, in absolute value; (b) along training, the largest difference of a coordinate
over the largest coordinate; (c) the magnitude of u² − v², the median over coordinates.

*What is claimed.* The law is an identity of the steps (C19; for the limit of training Even et al. 2023): the scale,
which decides how sparse the solution is, shrinks by the magnitude of 1 − (step size × gradient)² at every step.

*What to look for.* Marks on the diagonal and differences of the order of rounding errors; a scale that falls until
the dotted line, where the step size is divided, and hardly after it.
"""
SHADE = style.ALGORITHMS["sgd"][1]
# Coordinates smaller than this are left out of the picture.
LEAST = 1e-60


@style.house()
def draw(study: xr.Dataset) -> Figure:
    """Three panels."""
    alive = study["diverged_step"].values < 0
    figure = Figure(figsize=(style.TEXT_WIDTH, 2.4))
    axes = figure.subplots(1, 3)
    runs = study.isel(seed=alive)
    trained, law = (np.abs(runs[name].values.ravel()) for name in ("trained", "law"))
    shown = (trained > LEAST) & (law > LEAST)
    axes[0].plot(trained[shown], law[shown], ".", markersize=2, color=SHADE)
    axes[0].set(xscale="log", yscale="log", xlabel="trained (no unit)", ylabel="by the law (no unit)")
    times = study["step"].values
    for ax, values in ((axes[1], runs["law_error"]), (axes[2], runs["scale"])):
        divide_by = style.step_axis(ax, np.array([0, int(times[-1])]))
        ax.plot(times / divide_by, values.transpose("step", "seed").values, color=style.tint(SHADE, 0.6), linewidth=0.6)
        if study["decay_step"] >= 0:
            ax.axvline(float(study["decay_step"]) / divide_by, color=SHADE, linestyle=":", linewidth=0.8)
    axes[1].set_ylabel("difference (share of largest)")
    axes[2].set_ylabel("log10 scale (decades)")
    style.log_axis(axes[1])
    for place, title in enumerate(("coordinates of the predictor", "difference from the law", "scale |u² − v²|")):
        style.letter(axes[place], place, title)
    if not alive.any():
        for ax in axes:
            style.empty(ax)
    style.note(
        figure,
        f"b, c: a line for each run; a: all coordinates of all of them. {int((~alive).sum())} of {len(alive)} runs "
        "diverged and are left out. Dotted: the step size is divided.",
    )
    return figure
