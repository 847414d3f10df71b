"""How figures and tables call the cells, the arms and the measures of an experiment, and count its runs."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import xarray as xr

from largestep.measures.outcomes import dead, survived

ARMS = {
    "order": "Fixed data set: a seed varies the order of the examples and, where it is random, the init",
    "data": "A data set for every seed; order and init vary with it where they are random",
}
DEAD = "Dead: at the end no unit of some block is active on any training example (perfectly sparse, but constant)."


@dataclass(frozen=True)
class Schedule:
    """A cell as readers see it.

    twin: 0 for the first cell of an experiment with this decay fraction, 1 for the second, and so on.
    """

    cell: str
    label: str
    decay_fraction: float
    twin: int


def schedules(experiment: xr.Dataset) -> list[Schedule]:
    """The cells of an experiment in their order, each with a label that no other one has.

    Labels give the peak step sizes of decayed cells where these differ, as with a warm-up, and likewise
    those of constant cells.
    """
    cells = [str(cell) for cell in experiment["cell"].values]
    fractions = [float(fraction) for fraction in experiment["decay_fraction"].values]
    peaks = [f"peak η {peak:.2g}" for peak in experiment["step_size"].max("step").values]
    labels = [_label(fraction) for fraction in fractions]
    for decayed in (True, False):
        group = [index for index, fraction in enumerate(fractions) if (fraction > 0) == decayed]
        if len({peaks[index] for index in group}) > 1:
            for index in group:
                labels[index] += f", {peaks[index]}"
    times = Counter(labels)
    labels = [f"{label}, {cell}" if times[label] > 1 else label for label, cell in zip(labels, cells, strict=True)]
    twins = [fractions[:index].count(fraction) for index, fraction in enumerate(fractions)]
    return [Schedule(*each) for each in zip(cells, labels, fractions, twins, strict=True)]


def _label(fraction: float) -> str:
    return f"large step, decay at {100 * fraction:.3g}%" if fraction > 0 else "small step, constant"


def outcomes(experiment: xr.Dataset, cell: str, arm: str) -> str:
    """How many runs of a cell diverged, and how many are dead if any, in words."""
    runs = experiment.sel(cell=cell, arm=arm)
    lost, died = ~survived(runs), int(dead(runs).sum())
    said = f"{int(lost.sum())} of {lost.size} diverged"
    return f"{said}, {died} dead" if died else said


def run_label(experiment: xr.Dataset, cell: str, arm: str, seed: int) -> str:
    """Which run a panel shows, and that it is dead if it is."""
    return f"seed {seed}, dead" if dead(experiment).sel(cell=cell, arm=arm, seed=seed) else f"seed {seed}"


def paper_arm(experiment: xr.Dataset) -> str:
    """The arm to show the paper's values in: the one of a fixed data set, where there is one."""
    arms = [str(arm) for arm in experiment["arm"].values]
    return "order" if "order" in arms else arms[0]
