#!/usr/bin/env bash
# A state dictionary comes back from safetensors in another order: by size of the type and then by name, layer 10 before
# layer 2 and bias before weight. Its tensors, joined to one vector, are not the network's parameters in their order.
. "$(dirname "$0")/lib.sh"
install safetensors==0.8.0 numpy==2.4.6
look <<'END'
import numpy as np
from safetensors.numpy import load_file, save_file
from finding import report

names = ["layers.2.weight", "layers.2.bias", "layers.10.weight", "layers.10.bias"]
state = {name: np.full(1, index, np.float32) for index, name in enumerate(names)}
save_file(state, "state.safetensors")
loaded = load_file("state.safetensors")
report(
    f"{names}",
    f"{list(loaded)}; joined {np.concatenate(list(loaded.values())).tolist()}",
    list(loaded) == sorted(names) != names,
)
END
