#!/usr/bin/env bash
# vector_to_parameters does not copy: the parameters become parts of the vector. A vector kept to come back to, or to measure
# the distance from, moves with the training that follows, and that distance stays 0.
. "$(dirname "$0")/lib.sh"
install torch==2.14.1 numpy==2.4.6
look <<'END'
import torch
from torch.nn.utils import parameters_to_vector, vector_to_parameters
from finding import report

net = torch.nn.Linear(3, 2)
init = torch.arange(8.0)
vector_to_parameters(init, net.parameters())
optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
net(torch.ones(1, 3)).sum().backward()
optimizer.step()
distance = (parameters_to_vector(net.parameters()) - init).norm().item()
moved = (init - torch.arange(8.0)).norm().item()
report(
    "after a step the network is 0.28 from the vector that was put in, and the vector as it was",
    f"distance {distance}, the vector moved by {moved:.2f}",
    distance == 0 and moved > 0.2,
)
END
