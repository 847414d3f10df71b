"""How figures and tables call the cells, the arms and the measures of an experiment, and count its runs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr

from largestep.measures.outcomes import dead, survived, without_value
from largestep.measures.small_step import small_step
from largestep.schedules import NO_DECAY, in_words

ARMS = {
    "order": "Fixed data set: a seed varies the order of the examples and, where it is random, the init",
    "data": "A data set for every seed; order and init vary with it where they are random",
}
DEAD = "Dead: at the end no unit of some block is active on any training example (perfectly sparse, but constant)."


@dataclass(frozen=True)
class Schedule:
    """A cell as readers see it.

    decay_fraction: 0 for a constant step size, NaN for an annealed one. twin: 0 for the first cell of an experiment
    with this decay fraction, 1 for the second, and so on.
    """

    cell: str
    label: str
    decay_fraction: float
    twin: int


def schedules(experiment: xr.Dataset) -> list[Schedule]:
    """The cells of an experiment in their order, each with a label that no other one has.

    Labels give the peak step sizes of cells that divide or anneal them where these differ, as with a warm-up that lasts
    until the decay, and the step sizes of constant cells where those differ. Cells that are still alike are told apart
    by whether they have a warm-up, then by their names.
    """
    cells = [str(cell) for cell in experiment["cell"].values]
    fractions = [float(fraction) for fraction in experiment["decay_fraction"].values]
    labels = [_label(*each) for each in zip(fractions, small_step(experiment).values, strict=True)]
    peaks = [f"{peak:.2g}" for peak in experiment["peak_step_size"].values]
    for constant, size in ((False, "peak η"), (True, "η")):
        group = [index for index, fraction in enumerate(fractions) if (fraction == 0) == constant]
        if len({peaks[index] for index in group}) > 1:
            for index in group:
                labels[index] += f", {size} {peaks[index]}"
    rises = (experiment["step_size"].transpose("cell", "step").diff("step") > 0).any("step").values
    labels = _told_apart(labels, ["warm-up" if rise else "" for rise in rises])
    labels = _told_apart(labels, cells)
    kinds = ["annealed" if np.isnan(fraction) else fraction for fraction in fractions]
    twins = [kinds[:index].count(kind) for index, kind in enumerate(kinds)]
    return [Schedule(*each) for each in zip(cells, labels, fractions, twins, strict=True)]


def decays(experiment: xr.Dataset, schedule: Schedule) -> list[int]:
    """The first steps of the divided sizes of a cell; none where it is annealed."""
    steps = experiment["decay_step"].sel(cell=schedule.cell).values
    return [int(step) for step in steps if step != NO_DECAY and not np.isnan(schedule.decay_fraction)]


def _label(fraction: float, small: bool) -> str:
    if fraction == 0:
        return "small step, constant" if small else "constant step"
    return in_words(fraction) if np.isnan(fraction) else f"large step, {in_words(fraction)}"


def _told_apart(labels: list[str], marks: list[str]) -> list[str]:
    """The labels, with a mark after each that another cell has too, where the marks of these cells differ."""
    marks_of: dict[str, set[str]] = {}
    for label, mark in zip(labels, marks, strict=True):
        marks_of.setdefault(label, set()).add(mark)
    return [
        f"{label}, {mark}" if mark and len(marks_of[label]) > 1 else label
        for label, mark in zip(labels, marks, strict=True)
    ]


def outcomes(experiment: xr.Dataset, cell: str, arm: str) -> str:
    """How many runs of a cell diverged, and how many are dead if any, in words."""
    runs = experiment.sel(cell=cell, arm=arm)
    lost, died = ~survived(runs), int(dead(runs).sum())
    said = f"{int(lost.sum())} of {lost.size} diverged"
    said += f", {died} dead" if died else ""
    unknown = int(without_value(runs).sum())
    return f"{said}, {unknown} not finite" if unknown else said


def run_label(experiment: xr.Dataset, cell: str, arm: str, seed: int) -> str:
    """Which run a panel shows, and that it is dead if it is."""
    return f"seed {seed}, dead" if dead(experiment).sel(cell=cell, arm=arm, seed=seed) else f"seed {seed}"


def paper_arm(experiment: xr.Dataset) -> str:
    """The arm to show the paper's values in: the one of a fixed data set, where there is one."""
    arms = [str(arm) for arm in experiment["arm"].values]
    return "order" if "order" in arms else arms[0]
