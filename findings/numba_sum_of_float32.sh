#!/usr/bin/env bash
# numba adds a float32 array in float32, from the first to the last: sums of more than 2^24 terms of one size stop growing.
# NumPy adds the same in pairs.
. "$(dirname "$0")/lib.sh"
install numba==0.68.1 numpy==2.4.6
look <<'END'
import numba, numpy as np
from finding import report


def mean(values):
    return values.mean()


ones = np.ones(2**25, np.float32)
compiled, plain = numba.njit(mean)(ones), mean(ones)
report("a compiled mean of 2^25 ones is 1, as NumPy's", f"{compiled}, NumPy's {plain}", (compiled, plain) == (0.5, 1.0))
END
