#!/usr/bin/env bash
# A byte image written without a fill value by xarray or netCDF4-python: netCDF4-python masks its white pixels when it
# reads them, since 255 is the library's default fill value of unsigned bytes; xarray reads them.
set -euo pipefail
unset PYTHONPATH PYTHONHOME
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv venv
venv/bin/python -m pip install --quiet --disable-pip-version-check netCDF4==1.7.5.1.post1 xarray==2026.9.0 numpy==2.4.6 || exit 2
echo "versions: $(venv/bin/python --version), netCDF4 1.7.5.1.post1, xarray 2026.9.0, numpy 2.4.6"
venv/bin/python -W ignore - <<'END'
import sys

import netCDF4, numpy as np, xarray as xr

image = np.array([[0, 100], [200, 255]], np.uint8)
xr.Dataset({"image": (("row", "column"), image)}).to_netcdf("image.nc", engine="netcdf4")
with netCDF4.Dataset("image.nc") as file:
    masked = file["image"][:]
read = xr.open_dataset("image.nc")["image"].values
print("expected:", f"the mean level is {image.mean()}")
print("seen:    ", f"netCDF4-python {masked.mean()} with {np.ma.count_masked(masked)} pixel masked, xarray {read.mean()}")
if not (masked.mean() == 100.0 and np.ma.count_masked(masked) == 1 and np.array_equal(read, image)):
    sys.exit(1)
END
