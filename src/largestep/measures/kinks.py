"""Kinks of the piecewise linear function of a two-layer ReLU network of one input (paper, section 3.2, Fig. 4).

Hidden unit j bends the function at x = -b_j / w_j, where its slope changes by a_j |w_j|. So the kinks are read off the
parameters exactly; nothing is evaluated on a grid.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from largestep.registered import Measure, Panel

MEASURES = {
    "kinks": Measure(Panel("kinks of the function", "kinks (count)"), row=None),
    "slope_variation": Measure(Panel("variation of the slope", "∫|f″| dx", logarithmic=True), row=None),
}
CAPTION = """
{% if data == "points" %}
- The kinks of the fitted function between the training inputs, read off the parameters, and the total variation of
  its slope, which needs no threshold.
{% endif %}
"""
Array = NDArray[np.float64]
# Of the range of the inputs: kinks closer than a reader could tell apart in the figure of the fits are one kink.
APART = 0.01
# Of the largest change of slope of the same function: smaller ones do not count.
VISIBLE = 0.01


def slope_changes(weights: Array, biases: Array, output_weights: Array) -> tuple[Array, Array]:
    """Where each hidden unit bends the function and by how much the slope changes there.

    All of shape (..., units); a unit of weight 0 bends nothing and gets the position NaN.
    """
    positions = np.divide(-biases, weights, out=np.full_like(weights, np.nan), where=weights != 0)
    return positions, output_weights * np.abs(weights)


def number_of_kinks(positions: Array, changes: Array, low: float, high: float) -> Array:
    """Kinks strictly between low and high, from positions and changes of slope of shape (..., units).

    From left to right, a kink and all within `APART` of the range to its right count as one, whose change of slope is
    their sum; those below `VISIBLE` of the largest are not counted. NaN where the run diverged.
    """
    shape = positions.shape[:-1]
    rows = zip(positions.reshape(-1, positions.shape[-1]), changes.reshape(-1, positions.shape[-1]), strict=True)
    return np.array([_count(*row, low, high) for row in rows], dtype=np.float64).reshape(shape)


def slope_variation(positions: Array, changes: Array, low: float, high: float) -> Array:
    """Total variation of the slope strictly between low and high, which needs no threshold; shapes as above.

    Units are taken one by one, so that changes of opposite sign at one place do not cancel. NaN where the run diverged.
    """
    inside = (positions > low) & (positions < high)
    total = np.where(inside, np.abs(changes), 0.0).sum(axis=-1)
    return np.asarray(np.where(np.isfinite(changes).all(axis=-1), total, np.nan))


def _count(positions: Array, changes: Array, low: float, high: float) -> float:
    if not np.isfinite(changes).all():
        return np.nan
    inside = (positions > low) & (positions < high)
    order = np.argsort(positions[inside], kind="stable")
    positions, changes = positions[inside][order], changes[inside][order]
    merged, start = [], 0
    while start < len(positions):
        end = int(np.searchsorted(positions, positions[start] + APART * (high - low), side="right"))
        merged.append(abs(changes[start:end].sum()))
        start = end
    sizes = np.array(merged)
    return float(np.count_nonzero(sizes > VISIBLE * sizes.max())) if merged else 0.0
