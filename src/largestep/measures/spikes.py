"""Spikes of a loss curve, and how far it is from falling monotonically."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.signal import find_peaks

from largestep import elementary

Array = NDArray[np.float64]
# A spike stands out by this factor from the lowest losses between it and the next higher ones, on either side.
FACTOR = 2.0
# Updates: of spikes closer together than this, the highest counts for all.
APART = 100
# Losses below this are rounding errors; they count as equal.
FLOOR = 1e-16


def spikes(losses: Array, every: int) -> int:
    """How many spikes there are in losses, (evaluations,), evaluated every so many updates.

    A monotone curve has none, whatever its slope, and nor has the first rise of one that never falls again.
    """
    apart = max(1, round(APART / every))
    return len(find_peaks(_decades(losses), prominence=math.log10(FACTOR), distance=apart)[0])


def rise_after_peak(losses: Array) -> float:
    """The largest rise of the loss after its maximum, in decades: 0 where it falls monotonically from there."""
    decades = _decades(losses)
    falling = decades[decades.argmax() :]
    return float(np.max(falling - np.minimum.accumulate(falling)))


def _decades(losses: Array) -> Array:
    return np.asarray(elementary.log10(np.maximum(losses, FLOOR)))
