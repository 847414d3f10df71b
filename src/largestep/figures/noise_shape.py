"""SGD's noise against noise of other shapes: training loss, non-zeros and test loss of every arm."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from largestep.figures import style

NEEDS = ("train_loss", "test_loss", "l0", "decay_step", "diverged_step")
CAPTION = """
*What is plotted.* A diagonal network under SGD and under full-batch steps of the same sizes with isotropic noise in all
parameters, with noise on the labels, both at every step of the trace of the covariance of SGD's gradient, with a
penalty on the gradients of the examples, and with nothing. (a) Training loss, median and middle half over the data sets
on which the arm survives; (b) non-zeros and (c) test loss at the end, a mark for every data set and a line at the
median.

*What is claimed.* By the paper and HaoChen et al. 2021 that the shape of the noise counts; by Geiping et al. 2022 that
a penalty on the gradients does what the noise does (C21).

*What to look for.* Marks of label noise as low as those of SGD, and those of isotropic noise and of the penalty above.
"""
ARMS = {
    "sgd": ("SGD", style.ALGORITHMS["sgd"][1]),
    "label_noise": ("label noise", style.ALGORITHMS["sde_coupled"][1]),
    "isotropic": ("isotropic", style.ALGORITHMS["catapult"][1]),
    "penalty": ("penalty", style.ALGORITHMS["flow"][1]),
    "gd": ("GD", style.ALGORITHMS["gd"][1]),
}
# How far marks of one arm lie apart at most, and how long the line at their median is, in places of arms.
SPREAD = 0.3


@style.house()
def draw(study: xr.Dataset) -> Figure:
    """Three panels."""
    figure = Figure(figsize=(style.TEXT_WIDTH, 2.6))
    axes = figure.subplots(1, 3)
    divide_by = style.step_axis(axes[0], study["step"].values)
    threshold = float(study["l0_threshold"].max())
    lost = []
    for place, (arm, (label, shade)) in enumerate(ARMS.items()):
        runs = study.sel(arm=arm)
        runs = runs.isel(seed=np.flatnonzero(runs["diverged_step"].values < 0))
        lost.append(f"{label} {study.sizes['seed'] - runs.sizes['seed']}")
        if runs.sizes["seed"]:
            low, middle, high = style.quartiles(runs["train_loss"].transpose("seed", "step").values)
            steps = study["step"].values / divide_by
            axes[0].fill_between(steps, low, high, color=shade, alpha=0.2, linewidth=0)
            axes[0].plot(steps, middle, color=shade)
            _marks(axes[1], place, runs["l0"].sel(l0_threshold=threshold).values, shade)
            _marks(axes[2], place, runs["test_loss"].isel(step=-1).values, shade)
    axes[0].axvline(float(study["decay_step"]) / divide_by, color="black", linestyle=":", linewidth=0.8)
    axes[0].set_ylabel("training loss (no unit)")
    axes[1].set_ylabel(f"non-zeros above {threshold:g} (count)")
    axes[2].set_ylabel("test loss (no unit)")
    for place, title in enumerate(("along training", "non-zeros", "test loss")):
        style.letter(axes[place], place, title)
        if not axes[place].lines:
            style.empty(axes[place])
    for ax in axes[1:]:
        ax.set_xticks(range(len(ARMS)), [label for label, _ in ARMS.values()], rotation=35, ha="right")
    for ax in (axes[0], axes[2]):
        style.log_axis(ax)
    style.note(
        figure,
        f"{style.BAND_NOTE} Diverged of {study.sizes['seed']}: {', '.join(lost)}. Dotted: the step size is divided. "
        "Colours in a as in b and c.",
    )
    return figure


def _marks(ax: Axes, place: int, values: np.ndarray, shade: str) -> None:
    """A column of marks and a line at their median."""
    across = place + np.linspace(-SPREAD, SPREAD, len(values))
    ax.plot(across, values, "o", markersize=2, color=shade, alpha=0.6)
    ax.plot([place - SPREAD, place + SPREAD], 2 * [np.median(values)], color=shade)
