"""Large steps against small initial scales: non-zeros and test loss at the end, by scale."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from largestep.figures import style

NEEDS = ("l0", "test_loss", "log10_scale", "step_size", "diverged_step")
CAPTION = """
*What is plotted.* A diagonal network at the end of training: (a) non-zeros and (b) test loss against the initial scale.
The line is SGD with small steps from the scales of a grid, median and middle half over the data sets. Dots are SGD with
large steps from the start of the experiment, at the scale that the exact law leaves at the decay, and crosses are small
steps that start from that scale: medians over the data sets on which the large steps survive, with the middle half of
the dots.

*What is claimed.* That a large step acts as a smaller initial scale follows from the law of the scale (Even et al.
2023, C19), if it is the scale alone that counts (C22).

*What to look for.* Do dots lie on the line, and crosses on dots?
"""


@style.house()
def draw(study: xr.Dataset) -> Figure:
    """Two panels."""
    figure = Figure(figsize=(style.TEXT_WIDTH, 2.8))
    axes = figure.subplots(1, 2)
    threshold = float(study["l0_threshold"].max())
    at_end = {"non-zeros": study["l0"].isel(l0_threshold=-1), "test loss": study["test_loss"]}
    kinds, sizes = study["run"].values, study["step_size"].values
    grid = np.flatnonzero(kinds == "small")
    for ax, values in zip(axes, at_end.values(), strict=True):
        lost = []
        low, middle, high = style.quartiles(values.isel(run=grid).transpose("seed", "run").values)
        scales = study["log10_scale"].isel(run=grid, seed=0).values
        ax.fill_between(scales, low, high, color=style.CONSTANT, alpha=0.2, linewidth=0)
        ax.plot(scales, middle, color=style.CONSTANT, label="small steps")
        for place, size in enumerate(np.unique(sizes[kinds == "large"])):
            shade = style.colour((place + 1) / (len(np.unique(sizes)) + 1))
            lost.append(_marks(ax, study, values, float(size), shade))
        ax.set_xlabel("log10 scale (decades)")
    axes[0].set_ylabel(f"non-zeros above {threshold:g} (count)")
    axes[1].set_ylabel("test loss (no unit)")
    axes[0].legend(fontsize=style.RC["legend.fontsize"])
    style.log_axis(axes[1])
    for place, title in enumerate(at_end):
        style.letter(axes[place], place, title)
    diverged = f"Diverged of {study.sizes['seed']} with large steps, by size: {', '.join(map(str, lost))}."
    style.note(figure, f"{style.BAND_NOTE} Dots: large steps. Crosses: small steps from their scale. {diverged}")
    return figure


def _marks(ax: Axes, study: xr.Dataset, values: xr.DataArray, size: float, shade: str) -> int:
    """The dot and the cross of a large step size; returns how many of its runs diverged."""
    kinds, of_size = study["run"].values, study["step_size"].values == size
    large, small = (int(np.flatnonzero(of_size & (kinds == kind))[0]) for kind in ("large", "law"))
    alive = np.flatnonzero(study["diverged_step"].isel(run=large).values < 0)
    if len(alive):
        scale = float(np.median(study["log10_scale"].isel(run=large, seed=alive).values))
        low, middle, high = style.quartiles(values.isel(run=large, seed=alive).values)
        ax.plot([scale, scale], [low, high], color=shade, linewidth=0.8)
        ax.plot(scale, middle, "o", color=shade, markersize=4, label=f"large steps, η = {size:g}")
        ax.plot(scale, style.quartiles(values.isel(run=small, seed=alive).values)[1], "x", color=shade, markersize=5)
    return study.sizes["seed"] - len(alive)
