#!/usr/bin/env bash
# A TIFF of floating-point levels from 0 to 1 becomes black when Pillow converts it to grey or colour, as torchvision's
# ImageFolder does with every image: levels are cut to whole numbers, not scaled.
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

Image.fromarray(np.linspace(0, 1, 16, dtype=np.float32).reshape(4, 4)).save("a.tif")
levels = np.asarray(Image.open("a.tif").convert("RGB"))
print("expected:", "levels from 0 to 255, or an error")
print("seen:    ", f"levels {np.unique(levels).tolist()}")
if not (levels.max() <= 1):
    sys.exit(1)
END
