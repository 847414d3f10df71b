"""How far every layer of an image classifier ends from its init (paper, Fig. 17), and every part along training."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from largestep.figures import style
from largestep.figures.curves import Panel, show
from largestep.figures.labels import Schedule, schedules
from largestep.measures.outcomes import survived
from largestep.registered import Suits

NEEDS = ("weight_distance", "distance")
SUITS = Suits(images=True)
CAPTION = """
*What is plotted.* How far the weights have moved from the init, relative to their norm there, on logarithmic axes.
First panel: every layer at the end of training, numbered from the input on; parts of the network are shaded in
turn{% if model in ("resnet18", "resnet34") %}, and triangles are the convolutions in the shortcuts, which have no
number{% endif %}. The other panels: each part of the network along training, from the first snapshot after the start
on.

*What the paper claims.* A small step size leaves the early and middle layers at the init (C14).

*What to look for.* Does the line of the small step size (grey) lie well below 1 but for the last layers, and the
coloured ones above it everywhere? Distances grow with the size of the step anyway, and where activations are
normalised the size of the weights means nothing to the network: compare the shapes of the lines, not their heights
alone.

{{ bands }} {{ decays }}

{{ peaks }}

{{ annealing }}

{{ lost }}
"""
LAYERS_HEIGHT, ROW_HEIGHT, HEADING = 2.3, 1.5, 1.0
UNITS = "‖W − W₀‖ / ‖W₀‖"
# What the convolutions of shortcuts are called in state dictionaries.
SHORTCUTS = ("downsample", "shortcut")
# Inches: the width of the panel of all layers, and that of a character of its labels.
PANEL_WIDTH, CHARACTER = 6.2, 0.062
SHADE = "#f2f2f2"


@dataclass(frozen=True)
class Layers:
    """The layers of a network as the panel shows them, in the order of the state dictionary.

    x: (layers,), whole numbers from 1 on; a shortcut stands between the last two layers that it goes around.
    shortcut: (layers,). parts: names of parts, each with the first and last x of its own layers.
    """

    x: NDArray[np.float64]
    shortcut: NDArray[np.bool_]
    parts: list[tuple[str, float, float]]


@style.house()
def draw(experiment: xr.Dataset) -> Figure:
    """A panel of all layers at the end of training and one of every part along it, over the experiment's first arm."""
    arm = str(experiment["arm"].values[0])
    experiment = experiment.sel(arm=[arm])
    groups = style.parted(experiment["layer"].values.tolist())
    heights = [LAYERS_HEIGHT, *(style.shape(len(group))[0] * ROW_HEIGHT for group in groups)]
    figure = style.Book([height + HEADING for height in heights])
    letters = itertools.count()
    layers = layers_of([str(name) for name in experiment["weight"].values])
    first, *others = figure.pages
    ax = first.subplots()
    all_layers(ax, experiment, arm, layers)
    style.letter(ax, next(letters), "every layer at the end of training")
    for page, group in zip(others, groups, strict=True):
        axes = page.subplots(*style.shape(len(group)), squeeze=False).ravel()
        for ax, part in zip(axes, group, strict=False):
            distance = experiment["distance"].sel(layer=part)
            nothing = xr.full_like(experiment["decay_fraction"], np.nan)
            # All start at 0, which a logarithmic axis cannot show.
            show(ax, Panel(part, UNITS, distance.where(distance > 0), nothing, logarithmic=True), experiment, arm)
            style.letter(ax, next(letters), part)
        for ax in axes[len(group) :]:
            ax.remove()
    for page in figure.pages:
        style.legend(page, experiment, arm)
        style.note(page, note(layers), experiment)
    return figure


def note(layers: Layers) -> str:
    """How to read the figure."""
    lines = [
        style.BAND_NOTE,
        "Distances are relative to the norm at the start, and 0 there. a: layers with more than one dimension, "
        "numbered from the input on, in the order of the state dictionary.",
    ]
    if layers.shortcut.any():
        lines.append("Triangles: shortcuts, above the layers that they go around; bars: the middle half.")
    return " ".join([*lines, "Dotted lines: the step size is divided."])


def layers_of(names: list[str]) -> Layers:
    """Number the layers of a network by their names in its state dictionary, and gather them into parts."""
    shortcut = np.array([any(mark in name for mark in SHORTCUTS) for name in names])
    number = np.cumsum(~shortcut)
    x = np.where(shortcut, number - 0.5, number)
    parts = [
        (part, float(min(x[index] for index in places)), float(max(x[index] for index in places)))
        for part, group in itertools.groupby(np.flatnonzero(~shortcut), key=lambda index: part_of(names[index]))
        for places in [list(group)]
    ]
    return Layers(x, shortcut, parts)


def part_of(name: str) -> str:
    """The part of a network that a layer belongs to, by its name in the state dictionary.

    "stages.0.1.conv2" is in "stage 1", "stem.0" in "stem", "layer1.0.conv1" in "layer1".
    """
    first, *rest = name.split(".")
    if len(rest) > 1 and rest[0].isdigit() and not first[-1].isdigit():
        return f"{first.removesuffix('s')} {int(rest[0]) + 1}"
    return first


def all_layers(ax: Axes, experiment: xr.Dataset, arm: str, layers: Layers) -> None:
    """The distances of all layers at the end of training, a line for every cell."""
    alive = survived(experiment).sel(arm=arm)
    for schedule in schedules(experiment):
        moved = experiment["weight_distance"].sel(cell=schedule.cell, arm=arm).isel(snapshot_step=-1)
        runs = moved.transpose("seed", "weight").values[alive.sel(cell=schedule.cell).values]
        style.band(ax, layers.x[~layers.shortcut], runs[:, ~layers.shortcut], schedule)
        if len(runs) and layers.shortcut.any():
            _shortcuts(ax, layers.x[layers.shortcut], runs[:, layers.shortcut], schedule)
    ax.set_xlim(0.4, layers.x.max() + 0.6)
    ax.xaxis.set_major_locator(MaxNLocator(12, integer=True, steps=[1, 2, 5, 10]))
    ax.set_xlabel("layer, from the input on")
    ax.set_ylabel(UNITS)
    if not alive.any():
        style.empty(ax)
        return
    style.log_axis(ax)
    _parts(ax, layers)


def _shortcuts(ax: Axes, x: NDArray[np.float64], runs: NDArray[np.float64], schedule: Schedule) -> None:
    low, middle, high = style.quartiles(runs)
    shade = style.colour(schedule.decay_fraction)
    ax.vlines(x, low, high, color=shade, linewidth=0.8, alpha=0.5)
    ax.plot(x, middle, "^", color="white", markeredgecolor=shade, markeredgewidth=0.8, markersize=3.5)


def _parts(ax: Axes, layers: Layers) -> None:
    """Shade every second part and write the names of those that have room for them at the top of the panel."""
    low, high = ax.get_ylim()
    ax.set_ylim(low, high * (high / low) ** 0.12)
    per_layer = PANEL_WIDTH / (layers.x.max() + 0.2)
    names = [name for name, _, _ in layers.parts]
    spans = [per_layer * (last - first + 1.0) for _, first, last in layers.parts]
    spare = [span - CHARACTER * len(name) for name, span in zip(names, spans, strict=True)]
    for index, (name, first, last) in enumerate(layers.parts):
        if index % 2:
            ax.axvspan(first - 0.5, last + 0.5, color=SHADE, linewidth=0, zorder=0)
        # At either end a name may reach into the part beside it, as far as the name there leaves room.
        beside = {0: spare[1:2], len(names) - 1: spare[-2:-1]}.get(index, [])
        if spare[index] < 0 and not any(spare[index] + room / 2 > 0 for room in beside):
            continue
        place, align = (first + last) / 2, "center"
        if spare[index] < 0:
            place, align = (first - 0.5, "left") if index == 0 else (last + 0.5, "right")
        ax.text(place, 0.97, name, transform=ax.get_xaxis_transform(), ha=align, va="top", color="#404040")
