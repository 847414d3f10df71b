#!/usr/bin/env bash
# The correlation of two units that never change is not NaN but 1 or -1 wherever the mean of equal numbers is off by a
# rounding error, which depends on value and length. Always-on constant units then count as copies of each other.
set -euo pipefail
unset PYTHONPATH PYTHONHOME
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv venv
venv/bin/python -m pip install --quiet --disable-pip-version-check numpy==2.4.6 || exit 2
echo "versions: $(venv/bin/python --version), numpy 2.4.6"
venv/bin/python -W ignore - <<'END'
import sys

import numpy as np

found = {
    (one, other, n): float(np.corrcoef(np.full(n, one), np.full(n, other))[0, 1])
    for one, other in ((0.5, 0.25), (0.1, 0.2), (0.1, 0.3), (0.7, 0.3))
    for n in (100, 1000)
}
print("expected:", "NaN, since a constant has no correlation")
print("seen:    ", ", ".join(f"{one} with {other}, {n} examples: {value:.3g}" for (one, other, n), value in found.items()))
if not (any(abs(value) > 0.99 for value in found.values()) and any(map(np.isnan, found.values()))):
    sys.exit(1)
END
