#!/usr/bin/env bash
# Thresholds with the most used one first are not sorted, and a slice over them goes from place to place, not from value to
# value: it has labels outside of its bounds in it, or none at all, and says nothing.
set -euo pipefail
unset PYTHONPATH PYTHONHOME
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv venv
venv/bin/python -m pip install --quiet --disable-pip-version-check xarray==2026.9.0 numpy==2.4.6 || exit 2
echo "versions: $(venv/bin/python --version), xarray 2026.9.0, numpy 2.4.6"
venv/bin/python -W ignore - <<'END'
import sys

import xarray as xr

rank = xr.DataArray([46, 30, 60, 61], {"threshold": [1e-4, 1e-3, 1e-6, 1e-8]}, "threshold")
down, up = (rank.sel(threshold=bounds).threshold.values.tolist() for bounds in (slice(1e-4, 1e-6), slice(1e-6, 1e-4)))
print("expected:", "thresholds between 1e-6 and 1e-4")
print("seen:    ", f"slice(1e-4, 1e-6): {down}; slice(1e-6, 1e-4): {up}")
if not (down == [1e-4, 1e-3, 1e-6] and up == []):
    sys.exit(1)
END
