"""The loss, rank and sparsity of every cell along training: one row per arm, one panel per measure."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from largestep.figures import style
from largestep.figures.labels import decays, paper_arm, schedules
from largestep.measures.outcomes import survived
from largestep.registered import Suits
from largestep.threshold_sweep import at_paper

NEEDS = ("train_loss",)
SUITS = Suits()
CAPTION = """
*What is plotted.* Each measure along training, for every schedule of the step size.
{{ arms }}

- Training and test loss: squared error in regression, cross-entropy in classification, on a logarithmic axis. For
  images the training loss is that of the paper's figures: of up to 1,280 training images, augmented as in training, by
  the network in evaluation mode (the mean over mini-batches in training mode is in the table), and the test error is
  shown in place of the test loss.
- Rank of the Jacobian: in how many independent directions the outputs can respond to a small change of the
  parameters. A low rank means that the network behaves like a smaller one.
- Non-zeros of the predictor (linear networks): how many coordinates of the input are used.
- Feature sparsity: the share of (example, unit) pairs in which the unit is active, units that are strongly
  correlated counting as one. *Lower is sparser.*

{% if training["batch_size"] == "full" %}
*What the paper claims.* Gradient descent is the counterexample: without the noise of SGD, large steps do not pay.
The predictor gets only a little sparser (100 non-zeros with the small step size, 78 to 86 with the large ones) and
its test loss gets *worse* (0.168 with the small one, 0.44 to 0.50 with the large ones). So it is not the size of the
steps that makes SGD find sparse solutions, but its noise.

*What to look for.* Is the test loss of the coloured curves at the end above that of the grey one? Do their non-zeros
and their rank fall only a little, and far less than in the experiments on SGD?
{% elif experiment["cells"] | length == 1 %}
*What the paper claims.* With the noise of SGD, large steps lead to a sparser predictor and a lower test loss (33
non-zeros, 0.0385) than gradient descent reaches on such a problem (78 to 100 non-zeros, 0.168 to 0.50).

*What to look for.* This is one schedule, to lay beside the figure of gradient descent: are the non-zeros and the
test loss at the end below those there?
{% elif annealed %}
*What the paper claims.* Large steps make features sparse while they last, until the step size is divided. This
figure sets other schedules beside such a one.

*What to look for.* Does an annealed step size (sky blue), which grows small without a jump, end like one that is
divided, in sparsity and on the test set? Does one that stays large (grey, "constant step") end sparser still, or
does it miss what is learned after a decay?
{% else %}
*What the paper claims.* While the step size is large, the training loss stays at a level; meanwhile rank, non-zeros
and feature sparsity fall. When the step size is divided, the loss falls and the sparsity stays. The longer the large
steps last, the sparser the features and the lower the test loss at the end.

*What to look for.* Is the loss flat before the dotted line of its colour, and does it drop there? Are the curves of
the simplicity measures at the end ordered by colour, grey on top and the darkest at the bottom? Is the test loss
ordered in the same way? {% if training["arms"] | length > 1 %}Does the order survive in the second arm, and
are{% else %}Are{% endif %} the bands apart or do they overlap?
{% endif %}

{{ bands }} {{ decays }} {{ published }}

{{ peaks }}

{{ annealing }}

{{ lost }}
"""
# Inches: of a row of panels, and of legend and notes together.
ROW_HEIGHT, AROUND = 1.6, 1.0


@dataclass(frozen=True)
class Panel:
    """One measure: which values it shows, what they are called and how they are scaled.

    values: of dimensions (cell, arm, seed, time), time being `step` or `snapshot_step`.
    published: of dimension cell, NaN where the paper reports nothing.
    """

    title: str
    units: str
    values: xr.DataArray
    published: xr.DataArray
    logarithmic: bool = False


@style.house()
def draw(experiment: xr.Dataset) -> Figure:
    """Every measure that the experiment has, with its spread over seeds."""
    said = [note(experiment), which_loss(experiment)] if "test_error" in experiment else [note(experiment)]
    return page(experiment, panels_of(experiment), " ".join(said))


def page(experiment: xr.Dataset, panels: list[Panel], text: str) -> Figure:
    """All panels for each arm, page after page, and below each page a text that says how to read it."""
    arms = [str(arm) for arm in experiment["arm"].values]
    pages = [(arm, group) for arm in arms for group in style.parted(panels)]
    heights = [style.shape(len(group))[0] * ROW_HEIGHT + AROUND for _, group in pages]
    figure = style.Book(heights)
    letters = itertools.count()
    for part, (arm, group) in zip(figure.pages, pages, strict=True):
        axes = part.subplots(*style.shape(len(group)), squeeze=False).ravel()
        for ax, panel in zip(axes, group, strict=False):
            show(ax, panel, experiment, arm)
            style.letter(ax, next(letters), panel.title)
        for ax in axes[len(group) :]:
            ax.remove()
        style.legend(part, experiment, arm)
        style.note(part, text, experiment)
    return figure


def note(experiment: xr.Dataset) -> str:
    """How to read the figure."""
    said = {
        "rank_threshold": "Rank: singular values above {:g} of the largest.",
        "l0_threshold": "Non-zero: above {:g} in absolute value.",
        "correlation_threshold": "Distinct: units correlated above {:g} count as one.",
    }
    lines = [text.format(float(at_paper(experiment[name]))) for name, text in said.items() if name in experiment]
    if any(str(name).startswith("published_") for name in experiment):
        alone = experiment.sizes["arm"] == 1
        lines.insert(0, f"Diamonds{'' if alone else ' (fixed data set only)'}: paper, single run.")
    return " ".join([style.BAND_NOTE, "Dotted lines: the step size is divided.", *lines])


def which_loss(experiment: xr.Dataset) -> str:
    """Of which images and in which mode the training loss of an image classifier is."""
    return f"Training loss: {experiment['train_loss'].attrs['long_name']}."


def panels_of(experiment: xr.Dataset) -> list[Panel]:
    """The measures to show, as far as the experiment has them; all thresholds are the paper's."""
    images = "test_error" in experiment
    loss_units = "cross-entropy (nat)" if images else "squared error (no unit)"
    nothing = xr.full_like(experiment["decay_fraction"], np.nan)
    reported = experiment.get("published_train_loss", nothing)
    panels = [Panel("training loss", loss_units, experiment["train_loss"], reported, True)]
    if images:
        reported = experiment.get("published_test_error", nothing)
        panels.append(Panel("test error", "test images (%)", experiment["test_error"], reported, True))
    elif "test_loss" in experiment:
        reported = experiment.get("published_test_loss", nothing)
        panels.append(Panel("test loss", loss_units, experiment["test_loss"], reported, True))
    if "rank" in experiment:
        reported = experiment.get("published_rank", nothing)
        values = at_paper(experiment["rank"])
        panels.append(Panel("rank of Jacobian", "singular values (count)", values, reported))
    if "l0" in experiment:
        reported = experiment.get("published_l0", nothing)
        values = at_paper(experiment["l0"])
        panels.append(Panel("non-zeros", "coordinates (count)", values, reported))
    if "feature_sparsity" in experiment:
        panels += sparsity_panels(experiment)
    return panels


def sparsity_panels(experiment: xr.Dataset, most: int = 2) -> list[Panel]:
    """Feature sparsity in percent, one panel per block.

    Where there are more than `most` blocks, only the last one, or the last of those for which the paper reports any.
    """
    blocks = experiment["block"].values
    percent = 100 * at_paper(experiment["feature_sparsity"])
    nothing = xr.full_like(percent.isel(arm=0, seed=0, snapshot_step=0, drop=True), np.nan)
    reported = 100 * experiment.get("published_feature_sparsity", nothing).assign_coords(block=blocks)
    shown = blocks
    if len(blocks) > most:
        given = blocks[reported.notnull().any("cell").values]
        shown = given[-1:] if len(given) else blocks[-1:]
    return [
        Panel(
            "feature sparsity" if len(blocks) == 1 else f"sparsity, block {block}",
            "distinct activations (%)",
            percent.sel(block=block),
            reported.sel(block=block),
        )
        for block in shown
    ]


def show(ax: Axes, panel: Panel, experiment: xr.Dataset, arm: str) -> None:
    """Draw one measure of every cell for one arm."""
    divide_by = style.step_axis(ax, experiment["step"].values)
    ax.set_ylabel(panel.units)
    time = panel.values.dims[-1]
    alive = survived(experiment).sel(arm=arm)
    for schedule in schedules(experiment):
        runs = panel.values.sel(cell=schedule.cell, arm=arm)[alive.sel(cell=schedule.cell).values]
        style.band(ax, experiment[time].values / divide_by, runs.values, schedule)
        if arm == paper_arm(experiment):
            style.published(ax, float(panel.published.sel(cell=schedule.cell)), schedule)
        for step in decays(experiment, schedule):
            ax.axvline(step / divide_by, color=style.colour(schedule.decay_fraction), linestyle=":", linewidth=0.8)
    if not alive.any():
        style.empty(ax)
    if panel.logarithmic:
        style.log_axis(ax)
