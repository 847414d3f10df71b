#!/usr/bin/env bash
# Where every seed of one group is above every seed of the other, the clearest there can be, the Brunner-Munzel test gives
# p = NaN: its variance is zero. The Mann-Whitney test gives its smallest p.
. "$(dirname "$0")/lib.sh"
install scipy==1.17.1 numpy==2.4.6
look <<'END'
import numpy as np
from scipy.stats import brunnermunzel, mannwhitneyu
from finding import report

small, large = np.arange(5.0), np.arange(5.0) + 10
p, ranks = brunnermunzel(small, large), mannwhitneyu(small, large)
report(
    "a small p for five seeds all below five others",
    f"Brunner-Munzel: statistic {p.statistic}, p {p.pvalue}; Mann-Whitney: p {ranks.pvalue:.4f}",
    np.isnan(p.pvalue) and ranks.pvalue < 0.01,
)
END
