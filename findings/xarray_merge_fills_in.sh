#!/usr/bin/env bash
# xr.merge of two runs of the same seeds: where one diverged (NaN) the other's value is taken, so that neither result is
# what was merged. Values that differ raise; NaN and a number do not count as different.
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

import numpy as np, xarray as xr


def losses(*values: float) -> xr.Dataset:
    return xr.Dataset({"loss": ("seed", list(values))}, {"seed": range(len(values))})


merged = xr.merge([losses(0.5, np.nan), losses(0.5, 0.1)])["loss"].values
try:
    xr.merge([losses(0.5, 0.2), losses(0.5, 0.1)])
    raises = False
except xr.MergeError:
    raises = True
print("expected:", "the run in which seed 1 diverged and the one in which it did not are in conflict, as 0.2 and 0.1 are")
print("seen:    ", f"{merged}; 0.2 and 0.1 raise MergeError: {raises}")
if not (merged.tolist() == [0.5, 0.1] and raises):
    sys.exit(1)
END
