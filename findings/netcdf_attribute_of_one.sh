#!/usr/bin/env bash
# A list of one text or number as an attribute comes back from NetCDF as the text or the number. A loop over the names of
# arms or blocks then goes through letters, one over thresholds raises; with two entries both work. Zarr keeps the list.
set -euo pipefail
unset PYTHONPATH PYTHONHOME
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv venv
venv/bin/python -m pip install --quiet --disable-pip-version-check netCDF4==1.7.5.1.post1 xarray==2026.9.0 zarr==3.1.6 numpy==2.4.6 || exit 2
echo "versions: $(venv/bin/python --version), netCDF4 1.7.5.1.post1, xarray 2026.9.0, zarr 3.1.6, numpy 2.4.6"
venv/bin/python -W ignore - <<'END'
import sys

import xarray as xr

names = {}
for arms in (["order", "data"], ["order"]):
    made = xr.Dataset(attrs={"arms": arms, "thresholds": [1e-4] * len(arms)})
    made.to_netcdf("a.nc", engine="netcdf4")
    made.to_zarr("a.zarr", mode="w")
    names[len(arms)] = list(xr.open_dataset("a.nc").attrs["arms"]), list(xr.open_zarr("a.zarr").attrs["arms"])
threshold = xr.open_dataset("a.nc").attrs["thresholds"]
print("expected:", "['order'] is read as ['order']")
print("seen:    ", f"NetCDF {names[1][0]}, Zarr {names[1][1]}; the threshold {threshold!r}")
if not (names == {2: (["order", "data"],) * 2, 1: (list("order"), ["order"])} and not hasattr(threshold, "__len__")):
    sys.exit(1)
END
