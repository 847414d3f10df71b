#!/usr/bin/env bash
# Counts written by zarr-python in format 2 have 0 as their fill value, and xarray takes the fill value of format 2 for a
# missing value: zeros are read as NaN, and means are of what is left. In format 3 they are zeros.
. "$(dirname "$0")/lib.sh"
install xarray==2026.9.0 zarr==3.1.6 numpy==2.4.6
look <<'END'
import xarray as xr, zarr
from finding import report

means = {}
for version in (2, 3):
    group = zarr.open_group(f"{version}.zarr", mode="w", zarr_format=version)
    names = {"dimension_names": ("seed",)} if version == 3 else {"attributes": {"_ARRAY_DIMENSIONS": ["seed"]}}
    group.create_array("diverged", shape=(4,), dtype="i4", **names)[:] = [0, 0, 1, 3]
    means[version] = xr.open_zarr(f"{version}.zarr", consolidated=False)["diverged"].mean().item()
report("the mean of 0, 0, 1, 3 is 1", f"format 2: {means[2]}, format 3: {means[3]}", means == {2: 2.0, 3: 1.0})
END
