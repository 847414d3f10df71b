#!/usr/bin/env bash
# SequentialLR starts its second schedule from the initial step size, not from the one that the first has reached, and counts
# that one's milestones from the change: a step size warmed up exponentially falls back, and decays come late.
. "$(dirname "$0")/lib.sh"
install torch==2.14.1 numpy==2.4.6
look <<'END'
import torch
from torch.optim.lr_scheduler import ExponentialLR, MultiStepLR, SequentialLR
from finding import report

optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=1.0)
parts = [ExponentialLR(optimizer, 2.0), MultiStepLR(optimizer, [6], 0.1)]
schedule = SequentialLR(optimizer, parts, milestones=[4])
rates = []
for _ in range(12):
    rates.append(round(schedule.get_last_lr()[0], 3))
    optimizer.step()
    schedule.step()
report(
    "1, 2, 4, 8, then 16 until step 6 and 1.6 after",
    f"{rates}",
    rates == [1.0, 2.0, 4.0, 8.0] + [1.0] * 6 + [0.1] * 2,
)
END
