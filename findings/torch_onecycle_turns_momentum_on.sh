#!/usr/bin/env bash
# OneCycleLR and CyclicLR set the optimizer's momentum too: SGD without momentum has momentum 0.95 and 0.9 from then on. Only
# cycle_momentum=False leaves it alone.
. "$(dirname "$0")/lib.sh"
install torch==2.14.1 numpy==2.4.6
look <<'END'
import torch
from torch.optim.lr_scheduler import CyclicLR, OneCycleLR
from finding import report

momenta = {}
for kind, settings in ((OneCycleLR, {"max_lr": 1.0, "total_steps": 10}), (CyclicLR, {"base_lr": 0.1, "max_lr": 1.0})):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=0.1, momentum=0)
    kind(optimizer, **settings)
    momenta[kind.__name__] = optimizer.param_groups[0]["momentum"]
report("momentum 0, as asked for", f"{momenta}", momenta == {"OneCycleLR": 0.95, "CyclicLR": 0.9})
END
