"""Controls: every measure at the end of training against the one quantity that a sweep varies."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from largestep.figures import style
from largestep.figures.labels import DEAD
from largestep.measures.outcomes import survived
from largestep.measures.stabilisation import NO_LEVEL
from largestep.threshold_sweep import at_paper

NEEDS = ("train_loss", "phase_loss", "diverged_step", "dead", "sweep", "vary", "value", "x", "base")
CAPTION = """
*What is plotted.* Every panel is a sweep: one quantity takes several values, all else is that of one base run (step
size {{ study["base"]["step_size"] }} until {{ (100 * study["base"]["decay_at"]) | round | int }}% of training, then
{{ study["base"]["decayed_step_size"] }}), but for the step sizes that the panel's title gives. Where a quantity
stands for another size of step (momentum, batch size), the step sizes follow it so that the effective one stays. The
pages are the test loss at the end (the training loss where there is no test set), the simplicity measures at the end,
the training loss in the second half of the large-step phase, and the share of the {{ study["seeds"] }} seeds whose
run is lost.
{% if study["arm"] == "order" %}All seeds share a data set.{% else %}Each seed has its own data set.{% endif %} Open
markers are the base.

*What the paper claims.* A longer phase of large steps gives better generalisation and simpler networks (C4, C5); too
large a step simplifies too much (C11); warm-up and weight decay help by permitting larger steps, a batch of B acts
as a step B times smaller, and label noise and sharpness-aware minimisation (SAM) resemble large steps (C16). The
paper's own schedules change duration, peak and decayed step size together.

*What to look for.* Duration alone: do rank and sparsity fall from left to right, and is the loss before the decay a
level at all, or does it just converge? Size alone: how much of the effect comes with the size of the step, and how
close to divergence? Order, momentum and batch size: panels that should be flat. Label noise and SAM at a small step
size: do they lower rank and sparsity, and at what price in test loss? Warm-up and weight decay: does the share of
lost runs fall, and does the sparsity that the survivors of the large step have come back?
"""
# Inches: of a row of panels, and of legend and notes together.
ROW_HEIGHT, AROUND = 1.75, 0.95
# Medians of fewer survivors are not shown.
FEWEST = 3
# Labels of an axis that fit side by side.
MOST_CHARACTERS = 24
LINES: tuple[tuple[Any, str], ...] = (("-", "o"), ((0, (3, 1.2)), "s"))
SHADES = (style.ALGORITHMS["sgd"][1], style.ALGORITHMS["gd"][1])
DIVERGED, DIED = "#767676", "#d0d0d0"
AXES = {
    "decay_at": "decay (% of training)",
    "sampling": "order of the examples",
    "batch_size": "batch size (examples)",
    "momentum": "momentum",
    "weight_decay": "weight decay",
    "label_noise": "label noise (std. dev.)",
    "sam_radius": "SAM radius ρ",
    "warmup_from": "warm-up from step size",
    "step_size": "large step size η",
    "decayed_step_size": "decayed step size",
    "steps": "training steps",
}
ORDERS = {
    "with_replacement": "with\nreplac.",
    "without_replacement": "without\nreplac.",
    "reshuffled": "re-\nshuffled",
    "cyclic": "cyclic",
}


@dataclass(frozen=True)
class Panel:
    """One row: its label, and one or two measures with their names, of dimensions (point, seed)."""

    label: str
    measures: dict[str, xr.DataArray]
    logarithmic: bool = False


@style.house()
def draw(study: xr.Dataset) -> Figure:
    """Every measure, and the runs that are lost, over all sweeps: a panel for each, on the same axis."""
    sweeps = list(dict.fromkeys(study["sweep"].values.tolist()))
    points = {sweep: study.isel(point=np.flatnonzero(study["sweep"].values == sweep)) for sweep in sweeps}
    shown = [*range(len(panels_of(study))), None]
    pages = [(index, group) for index in shown for group in style.parted(sweeps)]
    figure = style.Book([style.shape(len(group))[0] * ROW_HEIGHT + AROUND for _, group in pages])
    letters = itertools.count()
    first: dict[int | None, Axes] = {}
    for part, (index, group) in zip(figure.pages, pages, strict=True):
        axes = part.subplots(*style.shape(len(group)), squeeze=False)
        for ax in axes.ravel():
            # Not by subplots: the panels of other pages would keep their own ticks.
            if first.setdefault(index, ax) is not ax:
                ax.sharey(first[index])
        for ax in axes[:, 1:].ravel():
            ax.tick_params(labelleft=False)
        for ax, sweep in zip(axes.ravel(), group, strict=False):
            style.letter(ax, next(letters), f"{sweep.replace('_', ' ')}\n{schedule(points[sweep])}")
            if index is None:
                lost(ax, points[sweep])
            else:
                show(ax, panels_of(points[sweep])[index], points[sweep])
            ticks(ax, points[sweep])
        for ax in axes.ravel()[len(group) :]:
            ax.remove()
        panel = None if index is None else panels_of(study)[index]
        for ax in axes[:, 0]:
            ax.set_ylabel(panel.label if panel else "runs lost (%)")
        legend(part, panel)
        style.note(part, note(study))
    for index, ax in first.items():
        if index is not None and panels_of(study)[index].logarithmic:
            style.log_axis(ax)
    return figure


def panels_of(study: xr.Dataset) -> list[Panel]:
    """The measures to show, as far as the study has them; all thresholds are the paper's."""
    panels = []
    for name in ("test_loss", "train_loss"):
        if name in study:
            panels.append(Panel(name.replace("_", " "), {"": study[name]}, logarithmic=True))
            break
    if "l0" in study:
        panels.append(Panel("non-zeros (count)", {"": at_paper(study["l0"])}))
    if "feature_sparsity" in study:
        percent = 100.0 * at_paper(study["feature_sparsity"])
        names = [f"hidden layer {block}" for block in study["block"].values] if percent.sizes["block"] > 1 else [""]
        measures = {name: percent.isel(block=index) for index, name in enumerate(names)}
        panels.append(Panel("distinct activations (%)", measures))
    if "rank" in study:
        ranks = {
            "rank above the paper's threshold": at_paper(study["rank"]),
            "effective rank": study["effective_rank"],
        }
        panels.append(Panel("rank (count)", ranks))
    panels.append(Panel("loss before the decay", {"": study["phase_loss"].clip(NO_LEVEL)}, logarithmic=True))
    return panels


def schedule(points: xr.Dataset) -> str:
    """Large and decayed step size of a sweep, where they are the same for all of its points."""
    peak, decayed = points["step_size"].values, points["decayed_step_size"].values
    vary = str(points["vary"].values[0])
    if len(set(peak)) == len(set(decayed)) == 1:
        return f"η = {peak[0]:.3g} → {decayed[0]:.3g}" if peak[0] != decayed[0] else f"η = {peak[0]:.3g}, constant"
    if vary == "step_size":
        return f"η → {decayed[0]:.3g}" if len(set(decayed)) == 1 else f"η → {decayed[0] / peak[0]:.2g} η"
    return f"η = {peak[0]:.3g} to {peak[-1]:.3g}"


def show(ax: Axes, panel: Panel, points: xr.Dataset) -> None:
    """Median and middle half of the survivors at every point, joined where the quantity is a number."""
    alive = survived(points).values
    x = np.arange(points.sizes["point"], dtype=float)
    for index, values in enumerate(panel.measures.values()):
        quantiles = np.full((3, len(x)), np.nan)
        for place in np.flatnonzero(alive.sum(axis=1) >= FEWEST):
            quantiles[:, place] = style.quartiles(values.values[place, alive[place]])
        low, middle, high = quantiles
        line, marker = LINES[index]
        shift = 0.12 * index
        ax.vlines(x + shift, low, high, color=SHADES[index], linewidth=1.6, alpha=0.45)
        joined = np.isfinite(points["x"].values).all()
        ax.plot(x + shift, middle, color=SHADES[index], linestyle=line if joined else "none", linewidth=0.9)
        for base, face in ((False, SHADES[index]), (True, "white")):
            chosen = points["base"].values.astype(bool) == base
            ax.plot(
                x[chosen] + shift, middle[chosen], marker, color=SHADES[index], markerfacecolor=face, markersize=3.2
            )


def lost(ax: Axes, points: xr.Dataset) -> None:
    """Share of the seeds that diverge, and on top of it of those that end dead."""
    x = np.arange(points.sizes["point"])
    gone = 100.0 * (~survived(points)).mean("seed").values
    died = 100.0 * points["dead"].mean("seed").values
    ax.bar(x, gone, width=0.6, color=DIVERGED)
    ax.bar(x, died, width=0.6, bottom=gone, color=DIED)
    ax.set_ylim(0, 100)


def ticks(ax: Axes, points: xr.Dataset) -> None:
    """The values of the quantity, equally spaced."""
    vary = str(points["vary"].values[0])
    labels = [
        _tick(vary, str(value), float(x)) for value, x in zip(points["value"].values, points["x"].values, strict=True)
    ]
    crowded = vary != "sampling" and sum(map(len, labels)) > MOST_CHARACTERS
    ax.set_xlim(-0.5, len(labels) - 0.4)
    ax.set_xticks(range(len(labels)), labels=labels, rotation=45 if crowded else 0)
    ax.set_xlabel(AXES[vary])


def _tick(vary: str, value: str, x: float) -> str:
    if vary == "sampling":
        return ORDERS[value]
    if not np.isfinite(x):
        return value
    number = f"{100 * x:.3g}" if vary == "decay_at" else f"{x:.2g}"
    return number.replace("e-0", "e-")


def legend(part: SubFigure, panel: Panel | None) -> None:
    """The names of the measures of a page; of that of the lost runs (None), the two ways in which a run is lost."""
    entries: list[Line2D | Patch] = [Patch(color=DIVERGED, label="diverged"), Patch(color=DIED, label="dead")]
    if panel is not None:
        entries = [_entry(place, name) for place, name in enumerate(panel.measures) if name]
        entries.append(
            Line2D([], [], label="base", color=SHADES[0], marker="o", markerfacecolor="white", linestyle="none")
        )
    style.key(part, entries, panel.label if panel else "runs lost (%)", columns=4)


def _entry(place: int, name: str) -> Line2D:
    line, marker = LINES[place]
    return Line2D([], [], color=SHADES[place], linestyle=line, marker=marker, markersize=3.2, label=name)


def note(study: xr.Dataset) -> str:
    """How to read the figure."""
    said = (
        f"{study.sizes['seed']} seeds, the same at every point. Markers: median over the runs that never diverge; "
        f"bars: their middle half (25–75%); none where fewer than {FEWEST} are left. A panel varies one quantity; all "
        "else is that of the base, but for the step sizes given above it (large → decayed). Values are equally spaced. "
        f"Losses are squared errors; those before the decay are cut at {NO_LEVEL:g}. Rank: of the Jacobian."
    )
    return f"{said} {DEAD} Dead runs are not left out." if study["dead"].any() else said
