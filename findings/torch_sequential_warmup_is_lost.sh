#!/usr/bin/env bash
# SequentialLR starts its second schedule from the initial step size, not from the one that the first has reached, and counts
# that one's milestones from the change: a step size warmed up exponentially falls back, and decays come late.
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
from torch.optim.lr_scheduler import ExponentialLR, MultiStepLR, SequentialLR

optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=1.0)
parts = [ExponentialLR(optimizer, 2.0), MultiStepLR(optimizer, [6], 0.1)]
schedule = SequentialLR(optimizer, parts, milestones=[4])
rates = []
for _ in range(12):
    rates.append(round(schedule.get_last_lr()[0], 3))
    optimizer.step()
    schedule.step()
print("expected:", "1, 2, 4, 8, then 16 until step 6 and 1.6 after")
print("seen:    ", f"{rates}")
if not (rates == [1.0, 2.0, 4.0, 8.0] + [1.0] * 6 + [0.1] * 2):
    sys.exit(1)
END
