"""Step size against duration: test loss, non-zeros, level of the loss and divergence as maps."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from largestep.figures import style
from largestep.figures.labels import ARMS
from largestep.measures.outcomes import survived
from largestep.measures.stabilisation import NO_LEVEL
from largestep.threshold_sweep import at_paper

NEEDS = ("test_loss", "l0", "phase_loss", "diverged_step", "decayed_step_size")
CAPTION = """
*What is plotted.* Every large step size with every decay time, trained with {{ study["seeds"] }} seeds each. After
the decay every run has the same step size, {{ study["decayed_step_size"] }}, so that what differs between two cells
of a map is the doing of the large-step phase alone. {% if study["arm"] == "order" %}All seeds share a data
set.{% else %}Each seed has its own data set.{% endif %}

- (a) Test loss at the end and (b) number of non-zeros of the predictor at the end.
- (c) The level of the training loss while the step size is large: its mean over the second half of that phase.
- (d) The share of seeds that diverge.

In (a) to (c) a cell is the median over the seeds that survive; cells with too few of them are hatched. Diamonds are
the paper's schedules of large steps, which divide the step size by different numbers.

*What the paper claims.* At a large step size the loss stays at a level; the longer it does, the sparser the
predictor (C5) and the better it predicts (C4). The step size has to be large for that, but must not diverge.

*What to look for.* In (c), columns of one colour from bottom to top are step sizes at which the loss keeps its
level.
Within these columns, do (b) and (a) darken from bottom to top? Where (b) darkens but (a) brightens, the predictor
becomes too simple: true coefficients are lost. How wide is the band between the step sizes that do nothing and those
that diverge?
"""
HEIGHT = 4.6
# A median over fewer surviving seeds is not shown.
FEWEST = 6
MAP = "viridis"
MISSING = "#d9d9d9"
HATCH = "////"


@style.house()
def draw(study: xr.Dataset) -> Figure:
    """Four maps over step size and decay time: medians over the runs that survive, and how many do not."""
    alive = survived(study)
    enough = alive.sum("seed") >= FEWEST

    def median(values: xr.DataArray) -> xr.DataArray:
        return values.median("seed").where(enough)

    test, level = median(study["test_loss"]), median(study["phase_loss"]).clip(NO_LEVEL)
    nonzero = median(at_paper(study["l0"]))
    diverged = 100.0 * (1.0 - alive.mean("seed"))
    figure = Figure(figsize=(style.TEXT_WIDTH, HEIGHT))
    axes = figure.subplots(2, 2, sharex=True, sharey=True).ravel()
    panels = (
        ("test loss at the end", "squared error (no unit)", test, _log(test)),
        ("non-zeros of predictor at the end", "coordinates (count)", nonzero, Normalize()),
        ("level of the training loss before the decay", "squared error (no unit)", level, _log(level)),
        ("runs that diverge", "share of seeds (%)", diverged, Normalize(0.0, 100.0)),
    )
    for index, (ax, (title, units, values, norm)) in enumerate(zip(axes, panels, strict=True)):
        mappable = heat_map(ax, values, norm)
        figure.colorbar(mappable, ax=ax, label=units, pad=0.02).minorticks_off()
        _published(ax, study)
        style.letter(ax, index, title)
        # On every panel, or the label of a colour bar would be taken for that of the panel beside it.
        ax.set_ylabel("decay (% of training)")
        if index >= 2:
            ax.set_xlabel("large step size η (no unit)")
    _legend(figure, study)
    style.note(figure, note(study), study)
    return figure


def note(study: xr.Dataset) -> str:
    """How to read the figure."""
    return (
        "a, b, c: median over the seeds that survive. After the decay every run has step size "
        f"{float(study['decayed_step_size']):g}. Non-zero: above {study['l0_threshold'].paper:g} in absolute "
        "value. Level: mean over the second half of the large-step phase; smaller ones have the scale's last colour."
    )


def heat_map(ax: Axes, values: xr.DataArray, norm: Normalize) -> ScalarMappable:
    """One cell for every pair of step size and decay time; those without a value are hatched."""
    ax.grid(False)
    ax.patch.set(facecolor=MISSING, hatch=HATCH, edgecolor="white", linewidth=0.0)
    shown = values.transpose("decay_at", "step_size").values
    mesh = ax.pcolormesh(
        values["step_size"].values,
        100.0 * values["decay_at"].values,
        np.ma.masked_invalid(shown),
        norm=norm,
        cmap=MAP,
        shading="nearest",
        rasterized=True,
    )
    return mesh


def _log(values: xr.DataArray) -> LogNorm:
    """A logarithmic scale over what there is, or any where every run diverged."""
    return LogNorm(float(values.min()), float(values.max())) if values.notnull().any() else LogNorm(NO_LEVEL, 1.0)


def _published(ax: Axes, study: xr.Dataset) -> None:
    ax.plot(
        study["published_step_size"].values,
        100.0 * study["published_decay_at"].values,
        "D",
        color="white",
        markersize=4.5,
        markeredgecolor="black",
        markeredgewidth=0.8,
    )


def _legend(figure: Figure, study: xr.Dataset) -> None:
    diamond = Line2D([], [], linestyle="", marker="D", color="white", markeredgecolor="black", markersize=4.5)
    diamond.set_label("schedules of the paper (its decayed step sizes differ)")
    missing = Patch(facecolor=MISSING, hatch=HATCH, edgecolor="white", linewidth=0.0)
    missing.set_label(f"fewer than {FEWEST} of {study.sizes['seed']} seeds survive")
    style.key(figure, [diamond, missing], ARMS[str(study["arm"].values)], columns=2)
