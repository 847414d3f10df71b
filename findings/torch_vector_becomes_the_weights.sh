#!/usr/bin/env bash
# vector_to_parameters does not copy: the parameters become parts of the vector. A vector kept to come back to, or to measure
# the distance from, moves with the training that follows, and that distance stays 0.
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
from torch.nn.utils import parameters_to_vector, vector_to_parameters

net = torch.nn.Linear(3, 2)
init = torch.arange(8.0)
vector_to_parameters(init, net.parameters())
optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
net(torch.ones(1, 3)).sum().backward()
optimizer.step()
distance = (parameters_to_vector(net.parameters()) - init).norm().item()
moved = (init - torch.arange(8.0)).norm().item()
print("expected:", "after a step the network is 0.28 from the vector that was put in, and the vector as it was")
print("seen:    ", f"distance {distance}, the vector moved by {moved:.2f}")
if not (distance == 0 and moved > 0.2):
    sys.exit(1)
END
