#!/usr/bin/env bash
# A state dictionary comes back from safetensors in another order: by size of the type and then by name, layer 10 before
# layer 2 and bias before weight. Its tensors, joined to one vector, are not the network's parameters in their order.
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

names = ["layers.2.weight", "layers.2.bias", "layers.10.weight", "layers.10.bias"]
state = {name: np.full(1, index, np.float32) for index, name in enumerate(names)}
save_file(state, "state.safetensors")
loaded = load_file("state.safetensors")
print("expected:", f"{names}")
print("seen:    ", f"{list(loaded)}; joined {np.concatenate(list(loaded.values())).tolist()}")
if not (list(loaded) == sorted(names) != names):
    sys.exit(1)
END
