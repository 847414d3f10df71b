#!/usr/bin/env bash
# Within one autocast block the bfloat16 copy of a weight is kept: after a change in place a second forward pass still
# computes with the old one. The second gradient of SAM, a slice through the loss and finite differences are then those
# of the unchanged network. cache_enabled=False, or a block for each pass, mends it.
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

losses = {}
for cached in (True, False):
    torch.manual_seed(0)
    net, inputs = torch.nn.Linear(8, 1), torch.ones(4, 8)
    with torch.autocast("cpu", torch.bfloat16, cache_enabled=cached):
        before = net(inputs).float().square().mean()
        before.backward()
        with torch.no_grad():
            net.weight.add_(1.0)
        losses[cached] = before.item(), net(inputs).float().square().mean().item()
print("expected:", "another loss after 1 was added to every weight")
print("seen:    ", f"by default {losses[True]}, without the cache {losses[False]}")
if not (losses[True][0] == losses[True][1] and losses[False][0] != losses[False][1]):
    sys.exit(1)
END
