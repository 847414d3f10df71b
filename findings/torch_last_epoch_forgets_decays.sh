#!/usr/bin/env bash
# A schedule made with last_epoch=k, which is to go on at epoch k, starts at the undecayed step size where it is defined by
# factors from step to step (MultiStepLR, ExponentialLR, CosineAnnealingLR). LambdaLR, from the epoch alone, is right.
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
from torch.optim.lr_scheduler import CosineAnnealingLR, ExponentialLR, LambdaLR, MultiStepLR

kinds = {
    "MultiStepLR": lambda optimizer, last: MultiStepLR(optimizer, [3], 0.1, last_epoch=last),
    "ExponentialLR": lambda optimizer, last: ExponentialLR(optimizer, 0.5, last_epoch=last),
    "CosineAnnealingLR": lambda optimizer, last: CosineAnnealingLR(optimizer, 10, last_epoch=last),
    "LambdaLR": lambda optimizer, last: LambdaLR(optimizer, lambda epoch: 0.5**epoch, last_epoch=last),
}
rates = {}
for name, schedule in kinds.items():
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=1.0)
    through = schedule(optimizer, -1)
    for _ in range(6):
        optimizer.step()
        through.step()
    fresh = torch.optim.SGD([{"params": [torch.nn.Parameter(torch.ones(1))], "initial_lr": 1.0}], lr=1.0)
    rates[name] = through.get_last_lr()[0], schedule(fresh, 5).get_last_lr()[0]
print("expected:", "at epoch 6 the same step size, gone through or resumed at")
print("seen:    ", ", ".join(f"{name} {through:.4g}, resumed {resumed:.4g}" for name, (through, resumed) in rates.items()))
if not ({name for name, (through, resumed) in rates.items() if through != resumed} == set(kinds) - {"LambdaLR"}):
    sys.exit(1)
END
