"""How figures and tables call the cells, the arms and the measures of an experiment, and count its runs."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import xarray as xr

ARMS = {
    "order": "Fixed data set: a seed varies the training (initial weights, order of the examples)",
    "data": "A data set for every seed: a seed varies the data as well as the training",
}


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
    """The cells of an experiment in their order, each with a label that no other one has."""
    cells = [str(cell) for cell in experiment["cell"].values]
    fractions = [float(fraction) for fraction in experiment["decay_fraction"].values]
    peaks = [float(peak) for peak in experiment["step_size"].max("step").values]
    labels = [_label(fraction) for fraction in fractions]
    for distinction in ([f"peak η {peak:.2g}" for peak in peaks], cells):
        times = Counter(labels)
        pairs = zip(labels, distinction, strict=True)
        labels = [f"{label}, {more}" if times[label] > 1 else label for label, more in pairs]
    twins = [fractions[:index].count(fraction) for index, fraction in enumerate(fractions)]
    return [Schedule(*each) for each in zip(cells, labels, fractions, twins, strict=True)]


def _label(fraction: float) -> str:
    return f"large step, decay at {100 * fraction:.3g}%" if fraction > 0 else "small step, constant"


def survived(experiment: xr.Dataset) -> xr.DataArray:
    """Which runs never diverged: booleans of dimensions (cell, arm, seed)."""
    return experiment["diverged_step"] < 0


def divergence(experiment: xr.Dataset, cell: str, arm: str) -> str:
    """How many runs of a cell diverged, in words."""
    lost = ~survived(experiment).sel(cell=cell, arm=arm)
    return f"{int(lost.sum())} of {lost.size} diverged"
