#!/usr/bin/env bash
# numba adds a float32 array in float32, from the first to the last: sums of more than 2^24 terms of one size stop growing.
# NumPy adds the same in pairs.
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


def mean(values):
    return values.mean()


ones = np.ones(2**25, np.float32)
compiled, plain = numba.njit(mean)(ones), mean(ones)
print("expected:", "a compiled mean of 2^25 ones is 1, as NumPy's")
print("seen:    ", f"{compiled}, NumPy's {plain}")
if not ((compiled, plain) == (0.5, 1.0)):
    sys.exit(1)
END
