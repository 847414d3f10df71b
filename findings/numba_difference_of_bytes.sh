#!/usr/bin/env bash
# In a numba kernel the difference of two bytes is an unsigned number of 64 bits: 0 - 255 is 2^64 - 255. NumPy's wraps to
# 1. A distance of images that is right in neither is off by 2^64 in one.
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


def difference(one, other):
    return one[0] - other[0]


black, white = np.array([0], np.uint8), np.array([255], np.uint8)
compiled, plain = int(numba.njit(difference)(black, white)), int(difference(black, white))
print("expected:", "-255, or 1 as NumPy's")
print("seen:    ", f"{compiled}, NumPy's {plain}")
if not ((compiled, plain) == (2**64 - 255, 1)):
    sys.exit(1)
END
