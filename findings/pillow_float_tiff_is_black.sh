#!/usr/bin/env bash
# A TIFF of floating-point levels from 0 to 1 becomes black when Pillow converts it to grey or colour, as torchvision's
# ImageFolder does with every image: levels are cut to whole numbers, not scaled.
. "$(dirname "$0")/lib.sh"
install pillow==13.0.0 numpy==2.4.6
look <<'END'
import numpy as np
from PIL import Image
from finding import report

Image.fromarray(np.linspace(0, 1, 16, dtype=np.float32).reshape(4, 4)).save("a.tif")
levels = np.asarray(Image.open("a.tif").convert("RGB"))
report("levels from 0 to 255, or an error", f"levels {np.unique(levels).tolist()}", levels.max() <= 1)
END
