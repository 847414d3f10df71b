#!/usr/bin/env bash
# netCDF4-python masks missing values; np.concatenate, which puts seeds of several files together, drops the mask without
# a word, so that the fill value -1 of runs that did not diverge counts as a step.
set -euo pipefail
unset PYTHONPATH PYTHONHOME
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv venv
venv/bin/python -m pip install --quiet --disable-pip-version-check netCDF4==1.7.5.1.post1 numpy==2.4.6 || exit 2
echo "versions: $(venv/bin/python --version), netCDF4 1.7.5.1.post1, numpy 2.4.6"
venv/bin/python -W ignore - <<'END'
import sys

import netCDF4, numpy as np

steps = []
for name in ("a.nc", "b.nc"):
    with netCDF4.Dataset(name, "w") as file:
        file.createDimension("seed", 3)
        file.createVariable("diverged_step", "i8", ("seed",), fill_value=-1)[:] = [-1, 30, 50]
    with netCDF4.Dataset(name) as file:
        steps.append(file["diverged_step"][:])
each, joined = steps[0].mean(), np.concatenate(steps).mean()
print("expected:", f"the mean of both files is that of each, {each}")
print("seen:    ", f"{joined:.3f}; with np.ma.concatenate {np.ma.concatenate(steps).mean()}")
if not (each == 40 and np.isclose(joined, 79 / 3) and np.ma.concatenate(steps).mean() == 40):
    sys.exit(1)
END
