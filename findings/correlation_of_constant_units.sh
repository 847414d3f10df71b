#!/usr/bin/env bash
# The correlation of two units that never change is not NaN but 1 or -1 wherever the mean of equal numbers is off by a
# rounding error, which depends on value and length. Always-on constant units then count as copies of each other.
. "$(dirname "$0")/lib.sh"
install numpy==2.4.6
look <<'END'
import numpy as np
from finding import report

found = {
    (one, other, n): float(np.corrcoef(np.full(n, one), np.full(n, other))[0, 1])
    for one, other in ((0.5, 0.25), (0.1, 0.2), (0.1, 0.3), (0.7, 0.3))
    for n in (100, 1000)
}
report(
    "NaN, since a constant has no correlation",
    ", ".join(f"{one} with {other}, {n} examples: {value:.3g}" for (one, other, n), value in found.items()),
    any(abs(value) > 0.99 for value in found.values()) and any(map(np.isnan, found.values())),
)
END
