#!/usr/bin/env bash
# OneCycleLR and CyclicLR set the optimizer's momentum too: SGD without momentum has momentum 0.95 and 0.9 from then on. Only
# cycle_momentum=False leaves it alone.
set -euo pipefail
unset PYTHONPATH PYTHONHOME
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv venv
venv/bin/python -m pip install --quiet --disable-pip-version-check torch==2.14.1 numpy==2.4.6 || exit 2
echo "versions: $(venv/bin/python --version), torch 2.14.1, numpy 2.4.6"
venv/bin/python -W ignore - <<'END'
import sys

import torch
from torch.optim.lr_scheduler import CyclicLR, OneCycleLR

momenta = {}
for kind, settings in ((OneCycleLR, {"max_lr": 1.0, "total_steps": 10}), (CyclicLR, {"base_lr": 0.1, "max_lr": 1.0})):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=0.1, momentum=0)
    kind(optimizer, **settings)
    momenta[kind.__name__] = optimizer.param_groups[0]["momentum"]
print("expected:", "momentum 0, as asked for")
print("seen:    ", f"{momenta}")
if not (momenta == {"OneCycleLR": 0.95, "CyclicLR": 0.9}):
    sys.exit(1)
END
