"""How far a step of SGD is from one of gradient descent with label noise, by network and precision."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from largestep.figures import style

NEEDS = ("update_error", "step_error", "mean_error", "variance_error")
CAPTION = """
*What is plotted.* How far a step of SGD is from a step of full-batch gradient descent on labels with the noise of
Proposition 2.1. Both steps are taken for every training example, from several points of a run; a mark is the largest
difference of one seed. Left: the distance of the two ends over the norm of SGD's. Middle: the same distance over the
length of a step. A step changes the parameters by little, so that in float32 their rounding is a larger part of it.
Right: the errors of the mean of the noise, which is to be 0, and of its variance, which is to be twice the loss,
over all examples. The toy networks take their steps in float64 through the code that trains them, and in float32
through autograd. For a network with BatchNorm the running statistics are held fixed, its loss is the squared error
on one-hot labels, and its training set is cut to the number of examples that config.yaml gives.

*What the paper claims.* The two steps are the same, for any network: SGD is gradient descent on labels that are
noisy as long as the loss is not 0.

*What to look for.* All marks on the left lie below the dotted line of their colour, at the size of rounding: 1e-12
in float64 and 1e-6 in float32.
"""
ROW_HEIGHT = 0.32
# Colour, offset inside a row and the error that is asked for.
PRECISIONS = {"float64": ("#0072B2", -0.2, 1e-12), "float32": ("#D55E00", 0.2, 1e-6)}
MARKERS = ("o", "x")
# Errors are drawn between these; zeros stand at the first.
EDGES = 1e-18, 1e-3


@style.house()
def draw(study: xr.Dataset) -> Figure:
    """A panel for the ends of the steps, one for the steps themselves and one for the moments of the noise."""
    rows = study.sizes["network"]
    figure = Figure(figsize=(style.TEXT_WIDTH, rows * ROW_HEIGHT + 1.6))
    axes = figure.subplots(1, 3, sharey=True)
    show(axes[0], study, ["update_error"], "distance / norm of the parameters")
    show(axes[1], study, ["step_error"], "distance / length of a step")
    show(axes[2], study, ["mean_error", "variance_error"], "relative error")
    for index, title in enumerate(("difference after a step", "difference of the steps", "moments of the noise")):
        style.letter(axes[index], index, title)
    for _, _, bound in PRECISIONS.values():
        axes[0].axvline(bound, color="black", linestyle=":", linewidth=0.8)
    axes[0].set_ylabel("network")
    axes[0].set_yticks(range(rows), study["network"].values)
    axes[0].set_ylim(rows - 0.5, -0.5)
    entries = [
        Line2D([], [], color=shade, marker="o", markersize=4, linestyle="", label=name)
        for name, (shade, _, _) in PRECISIONS.items()
    ]
    entries += [
        Line2D([], [], color=style.CONSTANT, marker=marker, markersize=4, linestyle="", label=label)
        for marker, label in zip(MARKERS, ("all errors; in c, of the mean", "in c, of the variance"), strict=True)
    ]
    entries.append(Line2D([], [], color="black", linestyle=":", label="asked for"))
    style.key(figure, entries, "", columns=len(entries))
    style.note(figure, note(study))
    return figure


def note(study: xr.Dataset) -> str:
    """How to read the figure."""
    lost = int((study["diverged_step"] >= 0).sum())
    said = f"A mark for each of {study.sizes['seed']} seeds: the largest over examples and points of its run. "
    return said + f"Exact zeros stand at the left edge. Runs that diverged before their last point: {lost}."


def show(ax: Axes, study: xr.Dataset, errors: list[str], label: str) -> None:
    """Errors of every network and seed, each precision in its colour and each kind with its marker."""
    for precision, (shade, offset, _) in PRECISIONS.items():
        for error, marker in zip(errors, MARKERS, strict=False):
            values = study[error].sel(precision=precision).transpose("network", "seed").values
            places = np.repeat(np.arange(len(values)) + offset, values.shape[1])
            shown = np.maximum(values.ravel(), EDGES[0])
            ax.plot(shown, places, marker, color=shade, markersize=3, alpha=0.5, clip_on=False)
    ax.set_xscale("log")
    ax.set_xlim(*EDGES)
    ax.set_xticks([1e-18, 1e-12, 1e-6])
    ax.minorticks_off()
    ax.set_xlabel(f"{label} (no unit)")
