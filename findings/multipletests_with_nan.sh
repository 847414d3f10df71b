#!/usr/bin/env bash
# One p that is NaN, of a claim that could not be tested, among those handed to multipletests: Benjamini-Hochberg gives NaN
# for all and still rejects, Hommel rejects nothing, Holm and Bonferroni count it as a test.
. "$(dirname "$0")/lib.sh"
install statsmodels==0.15.0 scipy==1.17.1 pandas==3.1.1 numpy==2.4.6
look <<'END'
import numpy as np
from statsmodels.stats.multitest import multipletests
from finding import report

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
report("an error, or the three others as without it", "; ".join(seen), held)
END
