"""The loss between successive iterates of SGD, and how its updates turn, a column for every network."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from largestep.figures import style
from largestep.figures.labels import DEAD

NEEDS = ("crosses", "cosine", "repeats", "shown_loss", "window_step", "decay_step", "steps", "dead", "diverged_step")
CAPTION = """
*What is plotted.* The walk of SGD, a column for each network. Upper row, one run: the training loss on all examples
along the straight lines from iterate to iterate, which are dots, in the last window of the large-step phase and in the
last of all. Lower row, all runs that survive, window by window: the share of updates on whose line the loss is lowest
between the ends, and the mean cosine of the angle between successive updates by different examples; medians and middle
halves.

*What is claimed.* Xing et al. (2018), whom the paper quotes: SGD bounces between the walls of a valley, well above its
floor, and small steps let it go down there. C24 asks it of networks with more than one parameter.

*What to look for.* Do the lines of large steps sag between their dots, and those of small ones fall from dot to dot? Is
the share above one half, and the cosine below 0, left of the dotted line?
"""
LARGE, SMALL = style.ALGORITHMS["sgd"][1], style.CONSTANT
SHARE, COSINE = style.ALGORITHMS["flow"][1], style.ALGORITHMS["catapult"][1]


@style.house()
def draw(study: xr.Dataset) -> Figure:
    """Two panels per network."""
    figure, axes, of_network = style.panels_by_network(study)
    for place, (name, run) in enumerate(of_network.items()):
        alive = np.flatnonzero(run["diverged_step"].values < 0)
        seeds, dead = run.sizes["seed"], int((run["dead"] > 0).sum())
        _walk(axes[0, place], run)
        title = f"{name.replace('_', ' ')}\n{seeds - len(alive)} of {seeds} diverged, {dead} dead"
        style.letter(axes[0, place], place, title)
        _windows(axes[1, place], run.isel(seed=alive))
        style.letter(axes[1, place], len(of_network) + place, "all runs")
    axes[0, 0].set_ylabel("training loss (no unit)")
    axes[1, 0].set_ylabel("share, cosine (no unit)")
    entries = [
        Line2D([], [], color=LARGE, label="large steps"),
        Line2D([], [], color=SMALL, label="after the decay"),
        Line2D([], [], color=SHARE, label="share with the lowest loss between the ends"),
        Line2D([], [], color=COSINE, label="cosine of successive updates"),
    ]
    style.key(figure, entries, "One run (above), all runs (below)", columns=4)
    style.note(figure, f"{style.BAND_NOTE} Dotted: the step size is divided. Dashed: one half, and 0. {DEAD}")
    return figure


def _walk(ax: Axes, run: xr.Dataset) -> None:
    """Losses along the lines of a window before the decay and of one after it."""
    losses = run["shown_loss"].transpose("window", "update", "place").values
    if np.isnan(losses).any():
        style.empty(ax)
        return
    before = int((run["window_step"] < run["decay_step"]).sum()) - 1
    updates, places = losses.shape[1:]
    x = np.arange(updates * (places - 1) + 1) / (places - 1)
    for window, shade in ((before, LARGE), (-1, SMALL)):
        along = np.append(losses[window, :, :-1].ravel(), losses[window, -1, -1])
        ax.plot(x, along, color=shade, linewidth=0.9)
        ax.plot(x[:: places - 1], along[:: places - 1], "o", color=shade, markersize=2.5)
    ax.set_xlabel("update of the window")
    ax.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    style.log_axis(ax)


def _windows(ax: Axes, runs: xr.Dataset) -> None:
    """Share and cosine of every window against the training step."""
    divide_by = style.step_axis(ax, np.array([0, int(runs["steps"])]))
    ax.axvline(float(runs["decay_step"]) / divide_by, color="grey", linestyle=":", linewidth=0.8)
    for level in (0.0, 0.5):
        ax.axhline(level, color="black", linestyle="--", linewidth=0.8)
    if not runs.sizes["seed"]:
        style.empty(ax)
        return
    different = runs["cosine"].where(runs["repeats"] == 0)
    steps = runs["window_step"].values
    phases = steps < int(runs["decay_step"])
    for values, shade in ((runs["crosses"], SHARE), (different, COSINE)):
        low, middle, high = style.quartiles(values.mean("update").transpose("seed", "window").values)
        for phase in (phases, ~phases):  # no line from one to the other
            ax.fill_between(steps[phase] / divide_by, low[phase], high[phase], color=shade, alpha=0.2, linewidth=0)
            ax.plot(steps[phase] / divide_by, middle[phase], color=shade)
