#!/usr/bin/env bash
# Under fastmath=True, or its flag nnan alone, np.isfinite is always true and np.isnan always false: a kernel that stops a
# diverged run never does. The flags that let a sum be vectorised, reassoc and contract, do no such harm.
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


def finite(losses):
    count = 0
    for loss in losses:
        count += np.isfinite(loss)
    return count


losses = np.array([1.0, np.nan, np.inf])
flags = {"True": True, "nnan": {"nnan"}, "reassoc, contract": {"reassoc", "contract"}, "none": False}
counts = {name: numba.njit(fastmath=value)(finite)(losses) for name, value in flags.items()}
print("expected:", "one of the losses 1, NaN and infinity is finite")
print("seen:    ", ", ".join(f"fastmath {name}: {count}" for name, count in counts.items()))
if not (list(counts.values()) == [3, 3, 1, 1]):
    sys.exit(1)
END
