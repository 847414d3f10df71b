#!/usr/bin/env bash
# numba's np.median of values of which one is NaN is a number, where NumPy's is NaN, and it depends on their order; its
# max, min and quantile do give NaN.
set -euo pipefail
unset PYTHONPATH PYTHONHOME
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv venv
venv/bin/python -m pip install --quiet --disable-pip-version-check numba==0.68.1 numpy==2.4.6 || exit 2
echo "versions: $(venv/bin/python --version), numba 0.68.1, numpy 2.4.6"
venv/bin/python -W ignore - <<'END'
import sys

import numba, numpy as np


@numba.njit
def statistics(losses):
    return np.median(losses), np.quantile(losses, 0.5), np.max(losses)


losses = np.array([3.0, np.nan, 1.0, 2.0, 5.0])
median, quantile, largest = statistics(losses)
print("expected:", "the median of the losses of five seeds, one of which diverged, is NaN")
print("seen:    ", f"median {median}, quantile at one half {quantile}, max {largest}, NumPy's median {np.median(losses)}")
if not (np.isfinite(median) and all(map(np.isnan, (quantile, largest, np.median(losses))))):
    sys.exit(1)
END
