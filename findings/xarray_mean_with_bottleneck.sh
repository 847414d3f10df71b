#!/usr/bin/env bash
# The same line of xarray has other digits once bottleneck is installed: xarray hands it the mean, and it adds float32
# in float32, one by one. From 2^24 on a one adds nothing.
set -euo pipefail
unset PYTHONPATH PYTHONHOME
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv venv
venv/bin/python -m pip install --quiet --disable-pip-version-check xarray==2026.9.0 bottleneck==1.6.0 numpy==2.4.6 || exit 2
echo "versions: $(venv/bin/python --version), xarray 2026.9.0, bottleneck 1.6.0, numpy 2.4.6"
venv/bin/python -W ignore - <<'END'
import sys

import numpy as np, xarray as xr

loss = xr.DataArray(np.ones(2**25, np.float32), dims="step")
means = {}
for use in (True, False):
    with xr.set_options(use_bottleneck=use, use_numbagg=False):
        means[use] = loss.mean().item()
print("expected:", "the mean of 2^25 ones in float32 is 1, whatever else is installed")
print("seen:    ", f"{means[True]} with bottleneck, {means[False]} without")
if not (means == {True: 0.5, False: 1.0}):
    sys.exit(1)
END
