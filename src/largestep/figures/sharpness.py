"""Loss, sharpness and smallest curvature along SGD, gradient descent at its edge of stability, and a catapult."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator
from numpy.typing import NDArray

from largestep.figures import style

NEEDS = ("loss_median", "loss_max", "block_step", "sharpness", "smallest", "point_step", "decay_step", "diverged_step")
CAPTION = """
*What is plotted.* Runs of one network under {{ study["runs"] | length }} algorithms, a column each: medians and
middle halves over the seeds that survive, and faintly one seed. Times start at 0 on a linear axis for SGD, and are
logarithmic for full batches, where all happens early.

- Top row: the training loss. The faint line joins the largest losses of short stretches, so that spikes show.
- Middle row: the sharpness, the largest eigenvalue of the Hessian of the training loss, times half the step size.
  Above the dashed line full-batch gradient descent is unstable.
- Bottom row: the smallest eigenvalue of that Hessian over the largest. Below 0 there are directions in which the
  loss curves down, as at a saddle.

*What the paper claims.* Loss stabilisation is a phenomenon of its own (C17). It is not the catapult, in which
gradient descent beyond 2/sharpness has one spike, lands where the loss is flatter and falls from there on. Nor is it
the edge of stability, where the sharpness under gradient descent comes to 2/step size and stays. After the decay,
SGD on a diagonal network passes by saddles (C15).

*What to look for.* SGD: a level full of spikes until the dotted line, with the sharpness well below the dashed one.
Gradient descent: sharpness on the dashed line. Catapult: one hump of the loss, while the sharpness falls through the
dashed line. For saddles: does the loss stay level after the dotted line and fall later, and does the ratio below
stay away from 0 until then?
"""
HEIGHT = 5.6
TITLES = ("training loss", "sharpness × η / 2", "smallest / largest eigenvalue")
LABELS = ("squared error (no unit)", "sharpness over 2/η", "ratio (no unit)")
# The shortest a loss axis may be cut: losses below are zero for every purpose of the picture.
FLOOR = 1e-8
SINGLE = 0.45
# The ratio of eigenvalues is drawn to a linear scale this close to 0, and else to a logarithmic one.
CLOSE_TO_ZERO = 1e-3
RATIOS = (-1.0, -0.1, -0.01, 0.0)


@style.house()
def draw(study: xr.Dataset) -> Figure:
    """One column per kind of run; medians over the seeds that survive, and one seed's own spikes."""
    names = [str(name) for name in study["run"].values]
    figure = Figure(figsize=(style.TEXT_WIDTH, HEIGHT))
    axes = figure.subplots(len(TITLES), len(names), squeeze=False, sharex="col", sharey="row")
    for column, name in enumerate(names):
        run = study.sel(run=name)
        run = run.isel(seed=run["diverged_step"].values < 0)
        _column(axes[:, column], run, style.ALGORITHMS[name][1])
    for row, (title, label) in enumerate(zip(TITLES, LABELS, strict=True)):
        axes[row, 0].set_ylabel(label)
        for column in range(len(names)):
            name = style.ALGORITHMS[names[column]][0].partition(":")[0]
            style.letter(axes[row, column], row * len(names) + column, f"{name}\n{title}")
    for ax in axes[0]:
        style.log_axis(ax)
    for ax in axes[2]:
        ax.set_yscale("symlog", linthresh=CLOSE_TO_ZERO)
        ax.yaxis.set_major_locator(FixedLocator(RATIOS))
        ax.yaxis.set_minor_locator(NullLocator())
        ax.yaxis.set_major_formatter("{x:g}")
        ax.set_ylim(top=CLOSE_TO_ZERO / 2)
    low, high = axes[0, 0].get_ylim()
    axes[0, 0].set_ylim(max(low, FLOOR), high)
    style.note(figure, note(study))
    return figure


def note(study: xr.Dataset) -> str:
    """The kinds of run, with their step sizes η and how many diverged, and how to read the figure."""
    kinds = []
    for name in study["run"].values:
        run = study.sel(run=name)
        lost = int((run["diverged_step"] >= 0).sum())
        label = style.ALGORITHMS[str(name)][0]
        kinds.append(f"{label}, {run['rule'].item()} ({lost} of {study.sizes['seed']} diverged)")
    return (
        f"{'; '.join(kinds)}. {style.BAND_NOTE} Loss: medians over stretches of a {study.sizes['block']}th of the run; "
        "faint: their largest losses in one seed, the first that survives. Faint below: the same seed. Dotted lines: "
        "the step size is divided. Dashed: the edge of stability of full-batch gradient descent, and 0."
    )


def _column(axes: NDArray[np.object_], run: xr.Dataset, shade: str) -> None:
    """Draw the three panels of one kind of run, of its surviving seeds."""
    loss, edge, saddle = axes
    first, divide_by = 0, style.step_axis(saddle, np.array([0, int(run["steps"])]))
    if run["decay_step"] < 0:  # all happens in the first steps
        first, divide_by = 1, 1.0
        saddle.set(xscale="log", xlim=(1, int(run["steps"])), xlabel="training step + 1")
        saddle.xaxis.set_minor_locator(NullLocator())
    blocks, points = ((run[name].values + first) / divide_by for name in ("block_step", "point_step"))
    sharpness, smallest = (run[name].transpose("seed", "point").values for name in ("sharpness", "smallest"))
    _band(loss, blocks, run["loss_median"].values, run["loss_max"].values, shade)
    for ax, values in (
        (edge, sharpness * run["step_size"].transpose("seed", "point").values / 2.0),
        (saddle, smallest / sharpness),
    ):
        _band(ax, points, values, values, shade)
    edge.axhline(1.0, color="black", linestyle="--", linewidth=0.8)
    saddle.axhline(0.0, color="black", linestyle="--", linewidth=0.8)
    for ax in axes:
        if run["decay_step"] >= 0:
            ax.axvline(float(run["decay_step"]) / divide_by, color=shade, linestyle=":", linewidth=0.8)
        if not run.sizes["seed"]:
            style.empty(ax)


def _band(ax: Axes, x: NDArray[np.float64], runs: NDArray[np.float64], single: NDArray[np.float64], shade: str) -> None:
    """The median over runs and their middle half, in front of one run; without runs there is nothing to draw."""
    if not len(runs):
        return
    low, middle, high = style.quartiles(runs)
    ax.plot(x, single[0], color=style.tint(shade, SINGLE), linewidth=0.6)
    ax.fill_between(x, low, high, color=shade, alpha=0.2, linewidth=0)
    ax.plot(x, middle, color=shade)
