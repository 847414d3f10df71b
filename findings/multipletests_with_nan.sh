#!/usr/bin/env bash
# One p that is NaN, of a claim that could not be tested, among those handed to multipletests: Benjamini-Hochberg gives NaN
# for all and still rejects, Hommel rejects nothing, Holm and Bonferroni count it as a test.
set -euo pipefail
unset PYTHONPATH PYTHONHOME
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv venv
venv/bin/python -m pip install --quiet --disable-pip-version-check statsmodels==0.15.0 scipy==1.17.1 pandas==3.1.1 numpy==2.4.6 || exit 2
echo "versions: $(venv/bin/python --version), statsmodels 0.15.0, scipy 1.17.1, pandas 3.1.1, numpy 2.4.6"
venv/bin/python -W ignore - <<'END'
import sys

import numpy as np
from statsmodels.stats.multitest import multipletests

values, with_nan = [0.010, 0.020, 0.030], [0.010, np.nan, 0.020, 0.030]
seen, held = [], True
for method in ("fdr_bh", "hommel", "holm"):
    alone, among = (multipletests(p, method=method)[:2] for p in (values, with_nan))
    seen.append(f"{method}: rejects {among[0].tolist()} with {among[1].round(3).tolist()}, alone {alone[0].tolist()}")
    if method == "fdr_bh":
        held &= bool(np.isnan(among[1]).all() and among[0].any())
    elif method == "hommel":
        held &= bool(not among[0].any() and alone[0].any())
    else:
        held &= bool(among[1][0] > alone[1][0])
print("expected:", "an error, or the three others as without it")
print("seen:    ", "; ".join(seen))
if not (held):
    sys.exit(1)
END
