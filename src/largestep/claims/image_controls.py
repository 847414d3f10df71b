"""C16 on images: what helps SGD in the manner of a large step size, or permits one, each against plain SGD.

Data: the control experiments of `config.yaml`, each of which differs from `digits_matched` in one thing; the
seeds that diverge in neither, paired. Statistics at the end of training, at the first correlation threshold:
the difference in the sparsity of the last block, in percentage points; its ratio as a logarithm to base 2;
and, over all seeds, how often the control diverges more than plain SGD at the same peak step size.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from largestep import elementary
from largestep.claims.permitting import CLAIM, CLAIMS, SAME
from largestep.claims.results import Results
from largestep.claims.verdict import Criterion, Measured, Values, above, below, missing
from largestep.measures.outcomes import survived
from largestep.threshold_sweep import at_paper

__all__ = ["CLAIMS", "measured"]

BASELINE = "digits_matched"


@dataclass(frozen=True)
class Comparison:
    """One cell of a control against the cell of `BASELINE` with the same (effective) step size."""

    control: str
    cell: str
    statistic: str
    values: Callable[[xr.Dataset, xr.Dataset], Values]
    criterion: Criterion


def _sparsity(runs: xr.Dataset) -> Values:
    last = at_paper(runs["feature_sparsity"]).isel(snapshot_step=-1, block=-1)
    return np.asarray(last.values, dtype=np.float64)


def _difference(control: xr.Dataset, plain: xr.Dataset) -> Values:
    return 100.0 * (_sparsity(control) - _sparsity(plain))


def _ratio(control: xr.Dataset, plain: xr.Dataset) -> Values:
    floor = 1e-4  # a dead block has no logarithm
    return elementary.log2(np.maximum(_sparsity(control), floor) / np.maximum(_sparsity(plain), floor))


def _divergence(control: xr.Dataset, plain: xr.Dataset) -> Values:
    return survived(plain).values.astype(float) - survived(control).values.astype(float)


def _lost(control: xr.Dataset, plain: xr.Dataset) -> NDArray[np.bool_]:
    return np.asarray(~(survived(control) & survived(plain)).values)


SPARSER = "sparsity of the last block minus that of plain SGD at the same small step size"
ALIKE = "log2 ratio of the sparsity of the last block to that of plain SGD at the same large step size"
DIVERGES = "share of runs that diverge minus that of plain SGD with BatchNorm at the same peak"
COMPARISONS = (
    Comparison("digits_label_noise", "small", SPARSER, _difference, below(0.0, "percentage points")),
    Comparison("digits_sam", "small", SPARSER, _difference, below(0.0, "percentage points")),
    Comparison("digits_momentum", "decay50", f"{ALIKE} / (1 - momentum)", _ratio, SAME),
    Comparison("digits_batch", "decay50", f"{ALIKE} / batch size", _ratio, SAME),
    Comparison("digits_no_norm", "decay50", DIVERGES, _divergence, above(0.0)),
)


def measured(results: Results) -> Iterator[Measured]:
    """A row for each comparison; those whose experiments this scale does not run say so."""
    for each in COMPARISONS:
        needed = (each.control, BASELINE)
        absent = [name for name in needed if name not in results.experiments]
        if absent:
            yield missing(CLAIM, each.control, each.statistic, each.criterion, results.why_not_run(absent[0]))
            continue
        if not all(each.cell in results.experiments[name]["cell"] for name in needed):
            why = f"not run: {' or '.join(needed)} has no cell {each.cell}"
            yield missing(CLAIM, each.control, each.statistic, each.criterion, why)
            continue
        control, plain = (results.experiments[name].sel(cell=each.cell).isel(arm=0) for name in needed)
        shared = np.intersect1d(control["seed"], plain["seed"])
        control, plain = control.sel(seed=shared), plain.sel(seed=shared)
        values = each.values(control, plain)
        # Of how often runs diverge every seed tells.
        lost = None if each.statistic == DIVERGES else _lost(control, plain)
        yield Measured(CLAIM, each.control, each.statistic, values, each.criterion, lost, headline=True)
