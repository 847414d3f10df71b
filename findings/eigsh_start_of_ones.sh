#!/usr/bin/env bash
# A vector of ones as eigsh's start makes a run repeatable, and misses eigenvalues: two neurons that are alike make the
# Hessian symmetric under their exchange, ARPACK never leaves the symmetric half, and it reports convergence.
. "$(dirname "$0")/lib.sh"
install scipy==1.17.1 numpy==2.4.6
look <<'END'
import numpy as np
from scipy.sparse.linalg import LinearOperator, eigsh
from finding import report

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
report(
    f"the largest eigenvalue, {true:.6g}",
    f"{ones:.6g} from ones, {drawn:.6g} from a drawn start",
    np.isclose(true, 12) and np.isclose(ones, 4) and np.isclose(drawn, 12),
)
END
