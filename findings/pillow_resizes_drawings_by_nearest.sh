#!/usr/bin/env bash
# A black-and-white drawing (mode 1) or one with a palette (P) is resized by taking the nearest pixel, whatever filter is
# asked for: thin lines are thickened or lost. Converted to grey first, it is smoothed.
set -euo pipefail
unset PYTHONPATH PYTHONHOME
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv venv
venv/bin/python -m pip install --quiet --disable-pip-version-check pillow==13.0.0 numpy==2.4.6 || exit 2
echo "versions: $(venv/bin/python --version), pillow 13.0.0, numpy 2.4.6"
venv/bin/python -W ignore - <<'END'
import sys

import numpy as np
from PIL import Image

comb = np.zeros((32, 32), np.uint8)
comb[:, ::4] = 255
drawing = Image.fromarray(comb)
means = {}
for mode in ("1", "P", "L"):
    small = drawing.convert(mode).resize((8, 8), Image.Resampling.BILINEAR)
    means[mode] = float(np.asarray(small.convert("L")).mean() / 255)
print("expected:", "a quarter of the comb is white, and of its eighth in size")
print("seen:    ", ", ".join(f"mode {mode}: {mean:.3f}" for mode, mean in means.items()))
if not (means["1"] == means["P"] in (0.0, 1.0) and abs(means["L"] - 0.25) < 0.02):
    sys.exit(1)
END
