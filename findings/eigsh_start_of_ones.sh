#!/usr/bin/env bash
# A vector of ones as eigsh's start makes a run repeatable, and misses eigenvalues: two neurons that are alike make the
# Hessian symmetric under their exchange, ARPACK never leaves the symmetric half, and it reports convergence.
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
from scipy.sparse.linalg import LinearOperator, eigsh

# Of two neurons: the curvature of each by itself, and minus half of it between one and the other.
own = np.linspace(1, 8, 50)


def product(v):
    one, other = np.split(np.ravel(v), 2)
    return np.concatenate([own * (one - 0.5 * other), own * (other - 0.5 * one)])


hessian = LinearOperator((100, 100), matvec=product, dtype=np.float64)
true = np.linalg.eigvalsh(hessian @ np.eye(100))[-1]
ones, drawn = (
    eigsh(hessian, k=1, which="LA", v0=v0)[0][0] for v0 in (np.ones(100), np.random.default_rng(0).standard_normal(100))
)
print("expected:", f"the largest eigenvalue, {true:.6g}")
print("seen:    ", f"{ones:.6g} from ones, {drawn:.6g} from a drawn start")
if not (np.isclose(true, 12) and np.isclose(ones, 4) and np.isclose(drawn, 12)):
    sys.exit(1)
END
