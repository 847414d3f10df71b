"""What is measured of a toy network's Jacobian on the training inputs, each run on its own."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from largestep.toys.network import Network

Array = NDArray[np.float64]


def column_norms(net: Network, parameters: Array, inputs: Array, data_set: NDArray[np.int64]) -> Array:
    """l2 norms of the columns, each run's on its own training inputs, NaN where it diverged.

    parameters: (arm, seed, snapshot_step, p), the shape of the result. inputs: (data sets, n, d). data_set: (arm,
    seed), which of them a run is trained on.
    """
    norms = np.full(parameters.shape, np.nan)
    # The runs of a data set together: those of the arm `order` share one.
    for each in np.unique(data_set):
        finite = (data_set == each)[..., None] & np.isfinite(parameters).all(axis=-1)
        norms[finite] = net.column_norms(parameters[finite], inputs[each])
    return norms
