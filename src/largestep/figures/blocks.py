"""Feature sparsity of every block of an image classifier along training, the test error, and what blocks end with."""

from __future__ import annotations

import itertools

import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from largestep.figures import style
from largestep.figures.curves import Panel, note, panels_of, show, sparsity_panels
from largestep.figures.labels import schedules
from largestep.measures.outcomes import survived
from largestep.registered import Suits
from largestep.threshold_sweep import at_paper

NEEDS = ("feature_sparsity",)
SUITS = Suits(images=True)
CAPTION = """
*What is plotted.* Feature sparsity along training in each block of the network: the share of (image, unit) pairs in
which the unit is active, units that are strongly correlated counting as one, so that *lower is sparser*.
{% if model in ("resnet18", "resnet34") %}
Blocks 1 to 4 are the stages of the residual network, block 5 the pooled features that the classifier reads. (On
images of 8x8 pixels the last stage has one pixel, and blocks 4 and 5 coincide.)
{% elif model == "densenet" %}
Block 1 is what the first dense block takes in, blocks 2 and 3 are in the transitions between dense blocks, block 4
is the end of the last one, and block 5 the pooled features that the classifier reads.
{% elif model in ("vgg11", "vgg16") %}
Blocks are the stages between two halvings of the image.
{% elif model == "mlp" %}
Blocks are the hidden layers.
{% else %}
Blocks are the outputs that ``model.blocks`` of config.yaml names, or those of the network's own ``blocks``.
{% endif %}
All blocks have the same axis, from 0. The next panel shows the test error, on a logarithmic axis. All seeds share a
data set. The last two panels show every block at the end of training, a mark for each schedule, with the middle half
of the seeds as a bar: the share of its units that no image activates, and the effective rank of its activations, the
exponential of the entropy of their singular values, which counts directions without a threshold. A block with negative
values is no output of a ReLU: it has no mark of dead units, and its sparsity is the share of units that are distinct.
{% if experiment["measures"]["units_per_block"] %}

*The draw of units.* Of a block at most {{ experiment["measures"]["units_per_block"] }} units are looked at, drawn at
random once for all runs. Where a block has more, the panel says after "±" by how many points another draw would change
the sparsity: its standard error at the end, of the schedule in which it is largest. The paper's values carry such an
error too: its code draws 1,000 units anew at every evaluation.
{% endif %}

*What the paper claims.* The longer the large steps last, the sparser the features, above all in the late blocks, and
the lower the test error. With a small step size the early and middle blocks stay as they were at the start.

*What to look for.* Curves that fall while the step size is large and stay low after the decay, ordered by colour,
and the same order in the test error. A block near 0% has almost no active unit left. Do the last panels tell the
same of a block: is it sparser because units died, and does its rank fall too?

{{ bands }} {{ decays }} {{ published }}

{{ peaks }}

{{ annealing }}

{{ lost }}
"""
# Inches: of a row of panels, and of legend and notes together.
ROW_HEIGHT, AROUND = 1.7, 1.0
# What is shown of every block at the end of training: title, units and what to multiply by.
AT_THE_END = {
    "dead_fraction": ("dead units at the end", "never active (%)", 100.0),
    "feature_effective_rank": ("effective rank at the end", "singular values (count)", 1.0),
}
# Of the distance between two blocks: what the marks of all cells share.
SPREAD = 0.6


@style.house()
def draw(experiment: xr.Dataset) -> Figure:
    """A panel per block, one for the error, and one per measure of all blocks, over the experiment's first arm."""
    arm = str(experiment["arm"].values[0])
    experiment = experiment.sel(arm=[arm])
    errors = [panel for panel in panels_of(experiment) if panel.title.startswith("test")]
    panels = sparsity_panels(experiment, most=experiment.sizes["block"]) + errors
    ends = [name for name in AT_THE_END if name in experiment]
    shown = [*panels, *ends]
    groups = style.parted(shown)
    figure = style.Book([style.shape(len(group))[0] * ROW_HEIGHT + AROUND for group in groups])
    said = " At the end: median and middle half over the same runs, cells in the order of the legend." if ends else ""
    if "feature_sparsity_error" in experiment:
        said += " ±: standard error of the sparsity at the end by the draw of units, where not all are looked at."
    letters, drawn = itertools.count(), []
    for part, group in zip(figure.pages, groups, strict=True):
        axes = part.subplots(*style.shape(len(group)), squeeze=False).ravel()
        for ax, each in zip(axes, group, strict=False):
            if isinstance(each, Panel):
                show(ax, each, experiment, arm)
                if "block" in each.values.coords:
                    another_draw(ax, experiment.sel(block=int(each.values["block"])))
                style.letter(ax, next(letters), each.title)
            else:
                at_the_end(ax, experiment, each, arm)
                style.letter(ax, next(letters), AT_THE_END[each][0])
        for ax in axes[len(group) :]:
            ax.remove()
        drawn += [*axes[: len(group)]]
        style.legend(part, experiment, arm)
        style.note(part, note(experiment) + said, experiment)
    # One scale from 0, so that the blocks can be compared.
    sparsity = drawn[: experiment.sizes["block"]]
    highest = max(ax.get_ylim()[1] for ax in sparsity)
    for ax in sparsity:
        ax.set_ylim(0, highest)
    return figure


def another_draw(ax: Axes, experiment: xr.Dataset) -> None:
    """Say by how much another draw of a block's units would change its sparsity at the end, where they are a sample.

    The largest of the medians of all cells over the runs that survive, in points.
    """
    if "feature_sparsity_error" not in experiment:
        return
    error = 100 * at_paper(experiment["feature_sparsity_error"]).isel(snapshot_step=-1)
    largest = float(error.where(survived(experiment)).median("seed").max())
    if largest > 0:
        ax.text(
            0.97,
            0.95,
            f"± {largest:.2g}",
            transform=ax.transAxes,
            ha="right",
            va="top",
            bbox=style.BEHIND_TEXT,
            zorder=5,
        )


def at_the_end(ax: Axes, experiment: xr.Dataset, name: str, arm: str) -> None:
    """A measure of every block at the end of training: a mark for every cell, with its middle half as a bar."""
    _, units, factor = AT_THE_END[name]
    alive = survived(experiment).sel(arm=arm)
    cells = schedules(experiment)
    blocks = experiment["block"].values
    for place, schedule in enumerate(cells):
        measured = experiment[name].sel(cell=schedule.cell, arm=arm).isel(snapshot_step=-1)
        runs = factor * measured.transpose("seed", "block").values[alive.sel(cell=schedule.cell).values]
        if not len(runs):
            continue
        x = blocks + SPREAD * ((place + 0.5) / len(cells) - 0.5)
        low, middle, high = style.quartiles(runs)
        shade = style.colour(schedule.decay_fraction)
        ax.vlines(x, low, high, color=style.tint(shade, 0.6), linewidth=1.2)
        mark = style.MARKS[schedule.twin % len(style.MARKS)]
        ax.plot(x, middle, mark, color=shade, markersize=2.8, markeredgewidth=0, clip_on=False)
    ax.set_xticks(blocks)
    ax.set_xlim(blocks[0] - 0.6, blocks[-1] + 0.6)
    ax.set_xlabel("block")
    ax.set_ylabel(units)
    ax.set_ylim(bottom=0)
    if not alive.any():
        style.empty(ax)
