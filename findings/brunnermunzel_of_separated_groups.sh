#!/usr/bin/env bash
# Where every seed of one group is above every seed of the other, the clearest there can be, the Brunner-Munzel test gives
# p = NaN: its variance is zero. The Mann-Whitney test gives its smallest p.
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
from scipy.stats import brunnermunzel, mannwhitneyu

small, large = np.arange(5.0), np.arange(5.0) + 10
p, ranks = brunnermunzel(small, large), mannwhitneyu(small, large)
print("expected:", "a small p for five seeds all below five others")
print("seen:    ", f"Brunner-Munzel: statistic {p.statistic}, p {p.pvalue}; Mann-Whitney: p {ranks.pvalue:.4f}")
if not (np.isnan(p.pvalue) and ranks.pvalue < 0.01):
    sys.exit(1)
END
