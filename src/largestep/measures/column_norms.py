"""l2 norms of the columns of the Jacobian on the training inputs (paper, section 2).

The noise of SGD enters through phi(X) = [grad h(x_i)], and the paper's conjecture is that it shrinks the norms of
its columns, one for each parameter.
"""

from __future__ import annotations

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from largestep.measures import RUN
from largestep.registered import Measure, Panel
from largestep.store import variable

MEASURES = {
    "jacobian_norm": Measure(Panel("‖Jacobian‖", "Frobenius norm"), row=None),
    "column_norm": Measure(
        Panel("column of Jacobian", "median l2 norm", logarithmic=True, at={"column_quantile": 0.5}), row=None
    ),
    "small_columns": Measure(Panel("short columns", "columns (%)", percent=True), row=None),
}
CAPTION = """
{% if not images %}
- The Jacobian of the outputs on the training examples in the parameters: its Frobenius norm, the median l2 norm of
  its columns (one for each parameter), and the share of columns that are short beside the longest at the start of
  the run.
{% endif %}
"""
Array = NDArray[np.float64]
QUANTILES = (0.25, 0.5, 0.75, 1.0)
# A column this much shorter than the longest at the start of the run counts as gone.
SMALL = 1e-2


def column_statistics(norms: Array) -> xr.Dataset:
    """What is kept of the column norms, from values of shape (arm, seed, snapshot_step, p); NaN where diverged."""
    norms = np.where(np.isfinite(norms).all(axis=-1, keepdims=True), norms, np.nan)
    longest_at_start = norms[:, :, :1].max(axis=-1, keepdims=True)
    gone = np.where(np.isnan(norms), np.nan, norms < SMALL * longest_at_start).mean(axis=-1)
    return xr.Dataset(
        {
            "jacobian_norm": variable(
                RUN, np.sqrt((norms**2).sum(axis=-1)), "1", "Frobenius norm of the Jacobian on the training inputs"
            ),
            "column_norm": variable(
                (*RUN, "column_quantile"),
                np.moveaxis(np.quantile(norms, QUANTILES, axis=-1), 0, -1),
                "1",
                "quantile over parameters of the l2 norms of the Jacobian's columns on the training inputs",
            ),
            "small_columns": variable(
                RUN, gone, "1", f"share of columns below {SMALL:g} of the run's longest column at the start"
            ),
        },
        {"column_quantile": variable(("column_quantile",), list(QUANTILES), "1", "quantile over the columns")},
    )
