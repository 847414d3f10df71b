#!/usr/bin/env bash
# numba's np.median of values of which one is NaN is a number, where NumPy's is NaN, and it depends on their order; its
# max, min and quantile do give NaN.
. "$(dirname "$0")/lib.sh"
install numba==0.68.1 numpy==2.4.6
look <<'END'
import numba, numpy as np
from finding import report


@numba.njit
def statistics(losses):
    return np.median(losses), np.quantile(losses, 0.5), np.max(losses)


losses = np.array([3.0, np.nan, 1.0, 2.0, 5.0])
median, quantile, largest = statistics(losses)
report(
    "the median of the losses of five seeds, one of which diverged, is NaN",
    f"median {median}, quantile at one half {quantile}, max {largest}, NumPy's median {np.median(losses)}",
    np.isfinite(median) and all(map(np.isnan, (quantile, largest, np.median(losses)))),
)
END
