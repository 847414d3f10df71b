#!/usr/bin/env bash
# Thresholds with the most used one first are not sorted, and a slice over them goes from place to place, not from value to
# value: it has labels outside of its bounds in it, or none at all, and says nothing.
. "$(dirname "$0")/lib.sh"
install xarray==2026.9.0 numpy==2.4.6
look <<'END'
import xarray as xr
from finding import report

rank = xr.DataArray([46, 30, 60, 61], {"threshold": [1e-4, 1e-3, 1e-6, 1e-8]}, "threshold")
down, up = (rank.sel(threshold=bounds).threshold.values.tolist() for bounds in (slice(1e-4, 1e-6), slice(1e-6, 1e-4)))
report(
    "thresholds between 1e-6 and 1e-4",
    f"slice(1e-4, 1e-6): {down}; slice(1e-6, 1e-4): {up}",
    down == [1e-4, 1e-3, 1e-6] and up == [],
)
END
