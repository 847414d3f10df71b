#!/usr/bin/env bash
# scikit-learn normalises no vector shorter than ten times the rounding unit of its type, in float32 1.2e-6: the cosine of
# a small neuron with a parallel one is its length, not 1. In float64 that begins at 2e-15.
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
from sklearn.metrics.pairwise import cosine_similarity

teacher = np.array([[3.0, 4.0]])
cosines = {
    (kind.__name__, scale): float(cosine_similarity((scale * teacher).astype(kind), teacher.astype(kind))[0, 0])
    for kind in (np.float32, np.float64)
    for scale in (1e-3, 1e-7)
}
print("expected:", "a student's neuron parallel to the teacher's has the cosine 1 at any length")
print("seen:    ", ", ".join(f"{kind}, {5 * scale:.0e} long: {cosine:.3g}" for (kind, scale), cosine in cosines.items()))
if not (cosines["float32", 1e-7] < 1e-6 and all(abs(cosines[key] - 1) < 1e-6 for key in cosines if key != ("float32", 1e-7))):
    sys.exit(1)
END
