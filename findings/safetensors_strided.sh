#!/usr/bin/env bash
# safetensors.numpy writes an array that is not contiguous, such as a transpose or every second row, as the memory lies:
# other numbers than it holds, under its shape, without a word.
set -euo pipefail
unset PYTHONPATH PYTHONHOME
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv venv
venv/bin/python -m pip install --quiet --disable-pip-version-check safetensors==0.8.0 numpy==2.4.6 || exit 2
echo "versions: $(venv/bin/python --version), safetensors 0.8.0, numpy 2.4.6"
venv/bin/python -W ignore - <<'END'
import sys

import numpy as np
from safetensors.numpy import load_file, save_file

weights = np.arange(6.0).reshape(2, 3).T
save_file({"transposed": weights, "second": np.arange(6.0)[::2]}, "a.safetensors")
loaded = load_file("a.safetensors")
print("expected:", f"{weights.tolist()} and [0.0, 2.0, 4.0], or an error")
print("seen:    ", f"{loaded['transposed'].tolist()} and {loaded['second'].tolist()}")
if not (loaded["transposed"].tolist() == [[0, 1], [2, 3], [4, 5]] and loaded["second"].tolist() == [0, 1, 2]):
    sys.exit(1)
END
