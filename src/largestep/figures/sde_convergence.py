"""The weak error of the SDE's discretisation against its time step."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import NullLocator

from largestep.figures import style

NEEDS = ("halved_time_step", "loss_change", "l1_change", "diverged", "paths")
CAPTION = """
*What is plotted.* How much the mean of a statistic at the end of the SDE's paths changes when the time step is
halved, against the time step, on a small diagonal network. A path has the same Brownian motion at all time steps.
The dotted line is what a method of weak order 1 does: half the time step, half the change.

*What the paper claims.* Nothing: its figures use a tenth of SGD's step. This is a check of our solver.

*What to look for.* Marks on the dotted line. What is left of the error is about as large as the last change.
"""
HEIGHT = 2.6
TITLES = {"loss": "mean training loss", "l1": "mean ‖u⊙v‖₁"}
SHADE = style.ALGORITHMS["sde"][1]
RESAMPLES = 10_000
LEVELS = (0.025, 0.975)


@style.house()
def draw(study: xr.Dataset) -> Figure:
    """A panel for each statistic: the change of its mean as the time step is halved."""
    figure = Figure(figsize=(style.TEXT_WIDTH, HEIGHT))
    for index, (ax, (name, title)) in enumerate(zip(figure.subplots(1, 2), TITLES.items(), strict=True)):
        show(ax, study, name)
        style.letter(ax, index, title)
    entries = [
        Line2D([], [], color=SHADE, marker="o", markersize=4, linestyle="", label="change, with its 95% interval"),
        Line2D([], [], color="black", linestyle=":", label="proportional to the time step (slope 1)"),
    ]
    style.key(figure, entries, "", columns=2)
    style.note(figure, note(study))
    return figure


def note(study: xr.Dataset) -> str:
    """How to read the figure."""
    paths = int(study["paths"]) * study.sizes["seed"]
    lost = int(study["diverged"].max("level").sum())
    return (
        f"Means over {paths} paths, which share their Brownian increments between time steps; {lost} diverged at the "
        f"coarsest or a finer one. Intervals: bootstrap over {study.sizes['seed']} groups of paths. The dotted line "
        "goes through the smallest time step."
    )


def show(ax: Axes, study: xr.Dataset, name: str) -> None:
    """Absolute changes of one statistic and their intervals, against the time step before it is halved."""
    steps, changes = study["halved_time_step"].values, study[f"{name}_change"].transpose("seed", "halving").values
    mean = changes.mean(axis=0)
    drawn = np.random.default_rng(0).integers(len(changes), size=(RESAMPLES, len(changes)))
    low, high = np.quantile(np.sign(mean) * changes[drawn].mean(axis=1), LEVELS, axis=0)
    # An interval that reaches 0 or beyond goes down to the edge of the panel.
    bars = np.abs(mean) - np.maximum(low, np.abs(mean) * 1e-3), high - np.abs(mean)
    smallest = np.argmin(steps)
    ax.plot(steps, np.abs(mean)[smallest] * steps / steps[smallest], color="black", linestyle=":")
    ax.errorbar(steps, np.abs(mean), yerr=bars, fmt="o", color=SHADE, markersize=3, linewidth=1.0, capsize=2.0)
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_ylim(0.3 * np.abs(mean).min(), 3.0 * np.abs(mean).max())
    ax.set_xticks(steps, [f"{step:.3g}" for step in steps])
    ax.xaxis.set_minor_locator(NullLocator())
    ax.set_xlabel("time step before it is halved (no unit)")
    ax.set_ylabel("absolute change (no unit)")
