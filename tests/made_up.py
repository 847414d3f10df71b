"""Made-up experiments, in the layout of the aggregate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from largestep.schedules import NO_DECAY
from largestep.store import variable
from largestep.threshold_sweep import PAPER

RUN = ("cell", "arm", "seed")


def experiment(
    cells: Mapping[str, float],
    steps: ArrayLike,
    measures: Mapping[str, tuple[Any, ...]],
    coords: Mapping[str, Any] | None = None,
    *,
    arms: Sequence[str] = ("order",),
    sizes: tuple[float, float, float] = (0.1, 1.0, 0.1),
    diverged_step: NDArray[np.int64] | None = None,
    **attributes: str,
) -> xr.Dataset:
    """What training and measures leave of some runs.

    cells: fraction of training before the decay, by name, as in `with_schedules`; steps: those recorded; measures:
    dimensions behind (cell, arm, seed), values and, where it is not 1, the unit, by name, of all runs; coords: their
    further coordinates, of which a threshold's first value is the paper's; sizes: the constant step size, the large one
    and what it is divided to; diverged_step: of the runs, none of which diverges without it; attributes: of the store.
    """
    dims, first, *_ = next(iter(measures.values()))
    runs = np.shape(first)[: np.ndim(first) - len(dims)]
    recorded, fractions = np.asarray(steps), np.array(list(cells.values()))
    small, large, divided = sizes
    decayed = recorded >= np.where(fractions > 0, _decay_steps(fractions, recorded), recorded[-1] + 1)[:, None]
    step_size = np.where(decayed, divided, np.where(fractions == 0, small, large)[:, None])
    lost = np.full(runs, -1) if diverged_step is None else diverged_step
    variables = {
        name: variable((*RUN, *dims), values, units[0] if units else "1", name.replace("_", " "))
        for name, (dims, values, *units) in measures.items()
    }
    return with_schedules(
        xr.Dataset(
            variables
            | {
                "step_size": variable(("cell", "step"), step_size, "1", "step size"),
                "diverged_step": variable(RUN, lost, "step", "divergence"),
            },
            {
                "cell": variable(("cell",), list(cells), "1", "cell"),
                "arm": variable(("arm",), list(arms), "1", "arm"),
                "seed": variable(("seed",), np.arange(runs[2]), "1", "seed"),
                "step": variable(("step",), recorded, "step", "step"),
            }
            | {name: _axis(name, values) for name, values in (coords or {}).items()},
            {"algorithm": "SGD", **attributes},
        ),
        fractions,
    )


def with_schedules(experiment: xr.Dataset, fractions: Sequence[float] | NDArray[np.float64]) -> xr.Dataset:
    """The experiment with the variables of schedules that follow from the fraction of training before each decay.

    fractions: of every cell, 0 for a constant step size, NaN for an annealed one. The step size is divided before the
    update of the step at which the decay falls due.
    """
    known = np.asarray(fractions, dtype=float)
    steps = np.where(known > 0, _decay_steps(known, experiment["step"].values), NO_DECAY)
    scheduled = experiment.assign(
        decay_fraction=variable(("cell",), known, "1", "fraction before the decay"),
        decay_step=variable(("cell", "decay"), steps[:, None], "1", "first step of the divided size"),
    )
    if "step_size" in scheduled:
        set_peaks(scheduled)
    return scheduled


def set_peaks(experiment: xr.Dataset) -> None:
    """Make the peaks those of the step sizes, which have changed."""
    peaks = experiment["step_size"].transpose("cell", "step").values.max(axis=1)
    experiment["peak_step_size"] = variable(("cell",), peaks, "1", "largest step size")


def _decay_steps(fractions: NDArray[np.float64], steps: NDArray[np.int64]) -> NDArray[np.int64]:
    return (np.nan_to_num(fractions) * (steps[-1] + 1)).astype(np.int64)


def _axis(name: str, values: Any) -> xr.Variable:
    axis = variable((name,), values, "step" if name == "snapshot_step" else "1", name.replace("_", " "))
    if name.endswith("_threshold"):
        axis.attrs[PAPER] = float(values[0])
    return axis
