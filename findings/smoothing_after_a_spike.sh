#!/usr/bin/env bash
# A moving mean that is kept as a running sum does not recover from a spike, nor from one infinite value: all later means
# are wrong. So do xarray's rolling with bottleneck and SciPy's uniform_filter1d; xarray alone and pandas do not.
set -euo pipefail
unset PYTHONPATH PYTHONHOME
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv venv
venv/bin/python -m pip install --quiet --disable-pip-version-check xarray==2026.9.0 bottleneck==1.6.0 scipy==1.17.1 pandas==3.1.1 numpy==2.4.6 || exit 2
echo "versions: $(venv/bin/python --version), xarray 2026.9.0, bottleneck 1.6.0, scipy 1.17.1, pandas 3.1.1, numpy 2.4.6"
venv/bin/python -W ignore - <<'END'
import sys

import numpy as np, pandas as pd, xarray as xr
from scipy.ndimage import uniform_filter1d

last = {}
for spike in (1e20, np.inf):
    loss = np.ones(14)
    loss[5] = spike
    curve = xr.DataArray(loss, dims="step")
    with xr.set_options(use_bottleneck=True, use_numbagg=False):
        last["bottleneck", spike] = float(curve.rolling(step=3).mean()[-1])
    with xr.set_options(use_bottleneck=False, use_numbagg=False):
        last["xarray alone", spike] = float(curve.rolling(step=3).mean()[-1])
    last["uniform_filter1d", spike] = float(uniform_filter1d(loss, 3)[-2])
    last["pandas", spike] = float(pd.Series(loss).rolling(3).mean().iloc[-1])
wrong = {name for (name, _), value in last.items() if value != 1}
right = {name for name, _ in last} - wrong
print("expected:", "of a loss that is 1 but for a spike at step 5, the mean of the last three steps is 1")
print("seen:    ", ", ".join(f"{name} after {spike}: {value}" for (name, spike), value in last.items()))
if not (wrong == {"bottleneck", "uniform_filter1d"} and right == {"xarray alone", "pandas"}):
    sys.exit(1)
END
