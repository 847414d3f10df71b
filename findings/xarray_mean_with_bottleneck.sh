#!/usr/bin/env bash
# The same line of xarray has other digits once bottleneck is installed: xarray hands it the mean, and it adds float32
# in float32, one by one. From 2^24 on a one adds nothing.
. "$(dirname "$0")/lib.sh"
install xarray==2026.9.0 bottleneck==1.6.0 numpy==2.4.6
look <<'END'
import numpy as np, xarray as xr
from finding import report

loss = xr.DataArray(np.ones(2**25, np.float32), dims="step")
means = {}
for use in (True, False):
    with xr.set_options(use_bottleneck=use, use_numbagg=False):
        means[use] = loss.mean().item()
report(
    "the mean of 2^25 ones in float32 is 1, whatever else is installed",
    f"{means[True]} with bottleneck, {means[False]} without",
    means == {True: 0.5, False: 1.0},
)
END
