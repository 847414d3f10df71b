"""How the kernels are compiled, and how runs are given to threads."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numba
import numpy as np
from numpy.typing import NDArray

# reassoc and contract let sums use vector instructions and, unlike full fastmath, keep NaN and infinity,
# by which divergence is found.
kernel = numba.njit(cache=True, nogil=True, error_model="numpy", fastmath={"reassoc", "contract"})


def each_run(advance_run: Callable[[int], int], steps: int, first_step: int, diverged_step: NDArray[np.int64]) -> None:
    """Advance every run that has not diverged, on numba's number of threads, and note which diverge.

    advance_run: takes a run and returns how many of its `steps` it took before it diverged. Runs go to
    plain threads because numba's parallel loops take as long again to compile as the kernels.
    """

    def advance(run: int) -> None:
        taken = advance_run(run)
        if taken < steps:
            diverged_step[run] = first_step + taken

    with ThreadPoolExecutor(numba.get_num_threads()) as pool:
        list(pool.map(advance, np.flatnonzero(diverged_step < 0)))
