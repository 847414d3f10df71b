#!/usr/bin/env bash
# scikit-learn's PCA of a matrix with many more rows than columns takes the eigenvalues of the covariance by itself: singular
# values below 1e-8 of the largest are rounding errors or zero, so that a rank at a small threshold is not that of the
# matrix. svd_solver="full" has them.
set -euo pipefail
unset PYTHONPATH PYTHONHOME
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv venv
venv/bin/python -m pip install --quiet --disable-pip-version-check scikit-learn==1.9.1 scipy==1.17.1 numpy==2.4.6 || exit 2
echo "versions: $(venv/bin/python --version), scikit-learn 1.9.1, scipy 1.17.1, numpy 2.4.6"
venv/bin/python -W ignore - <<'END'
import sys

import numpy as np
from sklearn.decomposition import PCA

rng = np.random.default_rng(0)
left, right = (np.linalg.qr(rng.standard_normal((n, 40)))[0] for n in (2000, 40))
features = left * np.logspace(0, -14, 40) @ right.T
features -= features.mean(axis=0)
true = np.linalg.svd(features, compute_uv=False)
auto, full = (PCA(svd_solver=solver).fit(features).singular_values_ for solver in ("auto", "full"))
ranks = [int((values > 1e-11 * values[0]).sum()) for values in (true, auto, full)]
print("expected:", f"{ranks[0]} singular values above 1e-11 of the largest")
print("seen:    ", f"by default {ranks[1]}, with svd_solver='full' {ranks[2]}")
if not (ranks[0] == ranks[2] and abs(ranks[1] - ranks[0]) >= 2):
    sys.exit(1)
END
