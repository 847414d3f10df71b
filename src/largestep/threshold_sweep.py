"""The thresholds of a measure: ascending, so that slices hold what they say, with the paper's named."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr

from largestep.store import variable

# How the dimensions of thresholds end.
SUFFIX = "_threshold"
# The attribute of such a coordinate that gives the paper's threshold.
PAPER = "paper"


def coordinate(name: str, thresholds: Sequence[float], long_name: str) -> xr.Variable:
    """The coordinate of a measure's thresholds, ascending.

    thresholds: as config.yaml lists them, the paper's first.
    """
    axis = variable((name,), sorted(thresholds), "1", long_name)
    axis.attrs[PAPER] = float(thresholds[0])
    return axis


def paper_first(values: xr.DataArray) -> xr.DataArray:
    """Values with the paper's threshold before all others along every dimension of thresholds."""
    # One threshold alone is the paper's.
    for dim in (str(each) for each in values.dims if str(each).endswith(SUFFIX) and values.sizes[each] > 1):
        levels = values[dim]
        papers = levels.values == levels.attrs[PAPER]
        values = values.isel({dim: np.argsort(~papers, kind="stable")})
    return values


def at_paper(values: xr.DataArray) -> xr.DataArray:
    """Values at the paper's threshold alone, which stays as a coordinate without a dimension."""
    values = paper_first(values)
    return values.isel({dim: 0 for dim in values.dims if str(dim).endswith(SUFFIX)})
