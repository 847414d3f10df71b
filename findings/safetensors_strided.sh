#!/usr/bin/env bash
# safetensors.numpy writes an array that is not contiguous, such as a transpose or every second row, as the memory lies:
# other numbers than it holds, under its shape, without a word.
. "$(dirname "$0")/lib.sh"
install safetensors==0.8.0 numpy==2.4.6
look <<'END'
import numpy as np
from safetensors.numpy import load_file, save_file
from finding import report

weights = np.arange(6.0).reshape(2, 3).T
save_file({"transposed": weights, "second": np.arange(6.0)[::2]}, "a.safetensors")
loaded = load_file("a.safetensors")
report(
    f"{weights.tolist()} and [0.0, 2.0, 4.0], or an error",
    f"{loaded['transposed'].tolist()} and {loaded['second'].tolist()}",
    loaded["transposed"].tolist() == [[0, 1], [2, 3], [4, 5]] and loaded["second"].tolist() == [0, 1, 2],
)
END
