"""Curvature in units of the edge of stability, which is 2 / step size."""

from __future__ import annotations

import numpy as np
import xarray as xr
from numpy.typing import NDArray


def of_edge(run: xr.Dataset, measure: str = "sharpness") -> NDArray[np.float64]:
    """A measure of curvature x step size / 2, at every point: (seed, point)."""
    return np.asarray((run[measure] * run["step_size"] / 2.0).transpose("seed", "point").values, dtype=np.float64)
