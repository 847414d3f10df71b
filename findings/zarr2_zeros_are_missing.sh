#!/usr/bin/env bash
# Counts written by zarr-python in format 2 have 0 as their fill value, and xarray takes the fill value of format 2 for a
# missing value: zeros are read as NaN, and means are of what is left. In format 3 they are zeros.
set -euo pipefail
unset PYTHONPATH PYTHONHOME
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv venv
venv/bin/python -m pip install --quiet --disable-pip-version-check xarray==2026.9.0 zarr==3.1.6 numpy==2.4.6 || exit 2
echo "versions: $(venv/bin/python --version), xarray 2026.9.0, zarr 3.1.6, numpy 2.4.6"
venv/bin/python -W ignore - <<'END'
import sys

import xarray as xr, zarr

means = {}
for version in (2, 3):
    group = zarr.open_group(f"{version}.zarr", mode="w", zarr_format=version)
    names = {"dimension_names": ("seed",)} if version == 3 else {"attributes": {"_ARRAY_DIMENSIONS": ["seed"]}}
    group.create_array("diverged", shape=(4,), dtype="i4", **names)[:] = [0, 0, 1, 3]
    means[version] = xr.open_zarr(f"{version}.zarr", consolidated=False)["diverged"].mean().item()
print("expected:", "the mean of 0, 0, 1, 3 is 1")
print("seen:    ", f"format 2: {means[2]}, format 3: {means[3]}")
if not (means == {2: 2.0, 3: 1.0}):
    sys.exit(1)
END
