#!/usr/bin/env bash
# A run that diverged, as NaN, or one infinite loss in each group: the statistic is NaN, and permutation_test calls it the
# most significant there is, since no comparison with NaN holds. Here the groups are alike.
set -euo pipefail
unset PYTHONPATH PYTHONHOME
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv venv
venv/bin/python -m pip install --quiet --disable-pip-version-check scipy==1.17.1 numpy==2.4.6 || exit 2
echo "versions: $(venv/bin/python --version), scipy 1.17.1, numpy 2.4.6"
venv/bin/python -W ignore - <<'END'
import sys

import numpy as np
from scipy.stats import permutation_test


def difference(x, y, axis):
    return np.mean(x, axis=axis) - np.mean(y, axis=axis)


one, other = np.arange(8.0), np.arange(8.0) + 0.25
found = {}
for name, left, right in (("none", [], []), ("NaN", [np.nan], []), ("infinity in both", [np.inf], [np.inf])):
    groups = np.append(one, left), np.append(other, right)
    found[name] = permutation_test(groups, difference, vectorized=True, n_resamples=999, rng=0)
print("expected:", "p is NaN, or an error, where the statistic is NaN")
print("seen:    ", "; ".join(f"diverged {name}: statistic {test.statistic:.3g}, p {test.pvalue:.3g}" for name, test in found.items()))
if not (found["none"].pvalue > 0.05
and all(np.isnan(test.statistic) and test.pvalue < 0.01 for name, test in found.items() if name != "none")):
    sys.exit(1)
END
