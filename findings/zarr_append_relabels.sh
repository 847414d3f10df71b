#!/usr/bin/env bash
# to_zarr(append_dim="seed") with another coordinate along another dimension appends by position and overwrites the
# coordinate: values that were there now stand at steps at which they were not taken.
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

import xarray as xr


def run(seed: int, steps: list[int], losses: list[float]) -> xr.Dataset:
    return xr.Dataset({"loss": (("seed", "step"), [losses])}, {"seed": [seed], "step": steps})


run(0, [0, 10], [4.0, 2.0]).to_zarr("runs.zarr")
run(1, [0, 1000], [4.0, 0.1]).to_zarr("runs.zarr", append_dim="seed")
runs = xr.open_zarr("runs.zarr").load()
print("expected:", "an error, or steps 0, 10 and 1000")
print("seen:    ", f"steps {runs.step.values}; loss of seed 0 at step 1000: {runs.loss.sel(seed=0, step=1000).item()}")
if not (runs.step.values.tolist() == [0, 1000] and runs.loss.sel(seed=0, step=1000).item() == 2.0):
    sys.exit(1)
END
