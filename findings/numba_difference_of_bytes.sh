#!/usr/bin/env bash
# In a numba kernel the difference of two bytes is an unsigned number of 64 bits: 0 - 255 is 2^64 - 255. NumPy's wraps to
# 1. A distance of images that is right in neither is off by 2^64 in one.
. "$(dirname "$0")/lib.sh"
install numba==0.68.1 numpy==2.4.6
look <<'END'
import numba, numpy as np
from finding import report


def difference(one, other):
    return one[0] - other[0]


black, white = np.array([0], np.uint8), np.array([255], np.uint8)
compiled, plain = int(numba.njit(difference)(black, white)), int(difference(black, white))
report("-255, or 1 as NumPy's", f"{compiled}, NumPy's {plain}", (compiled, plain) == (2**64 - 255, 1))
END
