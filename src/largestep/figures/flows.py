"""SGD, gradient descent, gradient flow and the SDE along one schedule, and their losses' distributions (Fig. 9)."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullLocator

from largestep.figures import style
from largestep.measures.outcomes import dead
from largestep.threshold_sweep import at_paper

NEEDS = ("train_loss", "loss_sample", "rank", "diverged_step", "decay_step", "seeds_tried", "seeds_lost")
CAPTION = """
*What is plotted.* SGD, and four algorithms without its choice of examples, along one schedule from the same start:
gradient descent with the step sizes of SGD, gradient flow, and the SDE that the paper offers as a description of
SGD, twice. The strength δ of the SDE's noise is 2/n times a loss, with nothing tuned: that of SGD at the same time,
as in the paper, or that of the SDE itself. Flow and SDE take {{ study["substeps"] }} steps to one of SGD, and time
is SGD's. The curves are medians over at most {{ study["pairs"] }} seeds, the first on which SGD does not diverge.
The last panel compares the losses while the step size is large.

*What the paper claims.* The SDE stays at SGD's loss, reaches its rank and sparsity, and then its test loss (Fig. 9;
at the end, rank 52 for the SDE and 58 for SGD with the diagonal network). Gradient flow reduces none of them: the
noise is what does it.

*What to look for.* Do both blue curves run together, in every panel? Do green and orange stay where they are in rank
and sparsity, while blue falls? The dotted curve answers another question: does the SDE hold the level by itself?
Where it falls away, the noise dies out together with the loss, and it was the loss of SGD that kept the other SDE
up. Gradient flow has to fall steadily; where it rises at the end of a warm-up, its steps are too long for a flow
there.
"""
MOST_COLUMNS = 3
ROW_HEIGHT = 1.75
KEYS_HEIGHT = 1.0
# Losses are cut here: without noise they fall to the rounding errors, far below any other.
FLOOR = 1e-8
STOCHASTIC = ("sgd", "sde", "sde_coupled")
# Width and dashes, in the order of drawing: where lines coincide the lower ones show between and beside the dashes.
LINES: dict[str, tuple[float, Any]] = {
    "flow": (2.6, "-"),
    "gd": (1.8, (0, (4, 2))),
    "sde": (1.2, (0, (1.5, 1.5))),
    "sgd": (1.2, "-"),
    "sde_coupled": (1.2, "-"),
}
# The axis of the losses' distribution reaches this factor beyond those of SGD and of the SDE at SGD's loss.
BEYOND = 3.0


@style.house()
def draw(study: xr.Dataset) -> Figure:
    """Every measure along training, and the distribution of the loss while the step size is large."""
    panels = measures_of(study)
    rows = math.ceil((len(panels) + 1) / MOST_COLUMNS)
    columns = math.ceil((len(panels) + 1) / rows)
    figure = Figure(figsize=(style.TEXT_WIDTH, rows * ROW_HEIGHT + KEYS_HEIGHT))
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for index, (title, units, values) in enumerate(panels):
        show(axes[index], study, values, logarithmic="loss" in title)
        axes[index].set_ylabel(units)
        style.letter(axes[index], index, title)
    distributions(axes[len(panels)], study)
    style.letter(axes[len(panels)], len(panels), "loss in the large-step phase")
    for ax in axes[len(panels) + 1 :]:
        ax.remove()
    entries = [_entry(study, str(algorithm)) for algorithm in study["algorithm"].values]
    style.key(figure, entries, "A data set for all; a seed varies the noise and, where it is random, the init", 2)
    style.note(figure, note(study), study)
    return figure


def note(study: xr.Dataset) -> str:
    """How to read the figure."""
    said = [style.BAND_NOTE]
    if study["seeds_lost"] > 0:
        said.append(f"SGD diverged on {int(study['seeds_lost'])} of {int(study['seeds_tried'])} seeds, not shown.")
    said.append(f"Dotted line: the step size is first divided. Losses below {FLOOR:g} are cut.")
    said.append(f"Rank: singular values above {study['rank_threshold'].paper:g} of the largest.")
    if "correlation_threshold" in study:
        said.append(f"Distinct: units correlated above {study['correlation_threshold'].paper:g} count as one.")
    said.append("Distributions: second half of the large-step phase, thin for single seeds;")
    said.append("one that is 1 at the left edge lies beyond it.")
    return " ".join(said)


def measures_of(study: xr.Dataset) -> list[tuple[str, str, xr.DataArray]]:
    """Title, units and values, (algorithm, seed, time), of every measure; all thresholds are the paper's."""
    measures = [("training loss", "squared error (no unit)", study["train_loss"])]
    if "test_loss" in study:
        measures.append(("test loss", "squared error (no unit)", study["test_loss"]))
    measures.append(("rank of Jacobian", "singular values (count)", at_paper(study["rank"])))
    if "l0" in study:
        measures.append(("non-zeros of predictor", "coordinates (count)", at_paper(study["l0"])))
    if "feature_sparsity" in study:
        percent = 100 * at_paper(study["feature_sparsity"])
        blocks = study.sizes["block"]
        title = "feature sparsity" if blocks == 1 else f"feature sparsity, mean of {blocks} layers"
        measures.append((title, "distinct activations (%)", percent.mean("block")))
    return measures


def show(ax: Axes, study: xr.Dataset, values: xr.DataArray, logarithmic: bool) -> None:
    """Medians and middle halves of one measure, by algorithm."""
    divide_by = style.step_axis(ax, study["step"].values)
    time = values.dims[-1]
    for algorithm, (width, dashes) in LINES.items():
        runs = _survivors(study, algorithm, values)
        if not len(runs):
            continue
        low, middle, high = style.quartiles(np.maximum(runs, FLOOR) if logarithmic else runs)
        shade = style.ALGORITHMS[algorithm][1]
        x = study[time].values / divide_by
        ax.fill_between(x, low, high, color=shade, alpha=0.2, linewidth=0)
        ax.plot(x, middle, color=shade, linewidth=width, linestyle=dashes)
    ax.axvline(int(study["decay_step"]) / divide_by, color=style.CONSTANT, linestyle=":", linewidth=0.8)
    if logarithmic:
        style.log_axis(ax)


def distributions(ax: Axes, study: xr.Dataset) -> None:
    """Shares of loss samples below a value: each seed's, and all seeds' together."""
    shown = np.concatenate([_survivors(study, name, study["loss_sample"]).ravel() for name in ("sgd", "sde_coupled")])
    ax.set_xscale("log")
    ax.set_xlim(shown.min() / BEYOND, shown.max() * BEYOND)
    for algorithm in STOCHASTIC:
        runs = _survivors(study, algorithm, study["loss_sample"])
        shade = style.ALGORITHMS[algorithm][1]
        for samples, thick in itertools.chain(((run, False) for run in runs), [(runs.ravel(), True)]):
            if not len(samples):
                continue
            # Up to the edge of the panel, so that a distribution left of it shows as a line at 1.
            ordered = np.append(np.sort(samples), max(samples.max(), ax.get_xlim()[1]))
            shares = np.minimum(np.arange(1, len(ordered) + 1) / len(samples), 1.0)
            ax.step(ordered, shares, where="post", color=shade, alpha=1.0 if thick else 0.2, lw=1.4 if thick else 0.5)
    ax.set_ylim(0.0, 1.02)
    ax.xaxis.set_major_locator(LogLocator(numticks=5))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.set_xlabel("training loss (no unit)")
    ax.set_ylabel("share of samples below")


def _survivors(study: xr.Dataset, algorithm: str, values: xr.DataArray) -> np.ndarray:
    alive = study["diverged_step"].sel(algorithm=algorithm).values < 0
    return np.asarray(values.sel(algorithm=algorithm).values[alive])


def _entry(study: xr.Dataset, algorithm: str) -> Line2D:
    label, shade = style.ALGORITHMS[algorithm]
    width, dashes = LINES[algorithm]
    gone = int((study["diverged_step"].sel(algorithm=algorithm) >= 0).sum())
    died = int(dead(study).sel(algorithm=algorithm).sum())
    ended = f"{gone} of {study.sizes['seed']} diverged" + (f", {died} dead" if died else "")
    return Line2D([], [], color=shade, linewidth=width, linestyle=dashes, label=f"{label} ({ended})")
