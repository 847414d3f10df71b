#!/usr/bin/env bash
# Under fastmath=True, or its flag nnan alone, np.isfinite is always true and np.isnan always false: a kernel that stops a
# diverged run never does. The flags that let a sum be vectorised, reassoc and contract, do no such harm.
. "$(dirname "$0")/lib.sh"
install numba==0.68.1 numpy==2.4.6
look <<'END'
import numba, numpy as np
from finding import report


def finite(losses):
    count = 0
    for loss in losses:
        count += np.isfinite(loss)
    return count


losses = np.array([1.0, np.nan, np.inf])
flags = {"True": True, "nnan": {"nnan"}, "reassoc, contract": {"reassoc", "contract"}, "none": False}
counts = {name: numba.njit(fastmath=value)(finite)(losses) for name, value in flags.items()}
report(
    "one of the losses 1, NaN and infinity is finite",
    ", ".join(f"fastmath {name}: {count}" for name, count in counts.items()),
    list(counts.values()) == [3, 3, 1, 1],
)
END
