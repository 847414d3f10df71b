"""Units rescaled without a change of the network's function (Dinh et al. 2017): what of a measure is the scale's doing.

What goes into a unit is multiplied by s and what goes out of it divided by it, with log s from N(0, 1), drawn for each
unit and seed. Losses and predictors stay as they are; the Jacobian and the share of a unit in the activations do not.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from largestep import elementary
from largestep.measures.units import feature_sparsity, unit_statistics
from largestep.registered import Measure, Row
from largestep.store import variable

if TYPE_CHECKING:
    from largestep.toys.network import Rescalable

MEASURES = {
    "rescaled_rank": Measure(panel=None, row=Row("rank of the Jacobian, units rescaled", "count")),
    "rescaled_effective_rank": Measure(panel=None, row=Row("effective rank of the Jacobian, units rescaled")),
    "rescaled_feature_sparsity": Measure(panel=None, row=Row("feature sparsity, units rescaled", "%")),
}
Array = NDArray[np.float64]
# Of a run, at the end of training.
END = ("arm", "seed")
# Tells the draws from those of data sets and orders.
RESCALING = 20_170


def rescaled(net: Rescalable, snapshots: xr.Dataset) -> Array:
    """The last parameters of every run with its units rescaled, (arm, seed, p); the same draw for a seed in all arms.

    snapshots: `parameters` (arm, seed, snapshot_step, p).
    """
    last = snapshots["parameters"].isel(snapshot_step=-1).values
    units = net.rescalable_units()
    draws = [np.random.default_rng([RESCALING, int(seed)]).standard_normal(units) for seed in snapshots["seed"].values]
    return net.rescaled(last, elementary.exp(np.broadcast_to(np.stack(draws), (*last.shape[:2], units))))


def singular_values(values: Array) -> xr.Variable:
    """Singular values of the Jacobian of rescaled runs, (arm, seed, singular value), for the features."""
    return variable(
        (*END, "singular_value"), values, "1", "singular values of the Jacobian with rescaled units, largest first"
    )


def redundancy(
    blocks_of_runs: Sequence[Sequence[NDArray[np.floating]]], runs: tuple[int, int]
) -> dict[str, xr.Variable]:
    """Activity and redundancy of the units of rescaled runs, for the features.

    blocks_of_runs: of every run, in the order of (arm, seed), the activations (examples, units) of its blocks.
    runs: sizes of these two dimensions.
    """
    statistics = [[unit_statistics(block) for block in blocks] for blocks in blocks_of_runs]
    count = np.stack([np.concatenate([block.active for block in blocks]) for blocks in statistics])
    later = np.stack([np.concatenate([block.later for block in blocks]) for blocks in statistics])
    dims, active = (*END, "unit"), "training examples on which the unit is active, units rescaled"
    alike = "largest absolute correlation with a later unit of the same block, units rescaled"
    return {
        "rescaled_active_count": variable(dims, count.reshape(*runs, -1), "1", active),
        "rescaled_later_correlation": variable(dims, later.reshape(*runs, -1), "1", alike),
    }


def sparsity(features: xr.Dataset, sweep: list[float]) -> xr.Variable:
    """Feature sparsity of rescaled runs at every threshold, (arm, seed, block, correlation_threshold)."""
    dims, blocks = (*END, "unit"), features["unit_block"].values
    count, later = (
        features[f"rescaled_{name}"].transpose(*dims).values for name in ("active_count", "later_correlation")
    )
    examples = int(features["examples"])
    shares = [
        [feature_sparsity(count[..., blocks == b], later[..., blocks == b], examples, t) for t in sorted(sweep)]
        for b in np.unique(blocks)
    ]
    return variable(
        (*END, "block", "correlation_threshold"),
        np.moveaxis(np.array(shares), (0, 1), (-2, -1)),
        "1",
        "feature sparsity with rescaled units",
    )
