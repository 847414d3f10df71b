#!/usr/bin/env bash
# Names read from a store remember their width. Joined with longer ones and written again, they are all cut to the first
# store's width, without a word: two cells have one name. In memory they are right; drop_encoding() mends it.
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

import xarray as xr

names = ["decay50", "decay50_larger"]
for name in names:
    xr.Dataset(coords={"cell": ("cell", [name])}).to_netcdf(f"{name}.nc")
both = xr.concat([xr.load_dataset(f"{name}.nc") for name in names], "cell")
both.to_netcdf("both.nc")
both.drop_encoding().to_netcdf("mended.nc")
found, mended = (xr.load_dataset(f"{file}.nc").cell.values.tolist() for file in ("both", "mended"))
print("expected:", f"{names}, as in memory")
print("seen:    ", f"{found}; after drop_encoding {mended}")
if not (both.cell.values.tolist() == mended == names and found == ["decay50", "decay50"]):
    sys.exit(1)
END
