"""Turn the features of one cell into ranks, feature sparsity and numbers of non-zeros, at every threshold."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from largestep import stages, store
from largestep.cli import existing, run, spec_parser
from largestep.measures import RUN, rescaling
from largestep.measures.thresholds import effective_rank, l0_norms, rank
from largestep.measures.units import feature_sparsity, reordered_sparsity, sampling_error, signed
from largestep.specs.cells import SparsitySpec
from largestep.store import variable
from largestep.threshold_sweep import coordinate

if TYPE_CHECKING:
    from largestep.config.measures import Thresholds

# Features that measures are made from here; all others are measures already.
SOURCES = (
    *("singular_values", "predictor", "active_fraction"),
    *("unit_active_count", "unit_later_correlation", "unit_reordered_correlation", "unit_block", "examples", "units"),
    *("negative_fraction", "rescaled_singular_values", "rescaled_active_count", "rescaled_later_correlation"),
)


def main() -> None:
    """Read the features of one cell and write its measures."""
    arguments = spec_parser("sparsity", __doc__, SparsitySpec.read)
    arguments.add_argument("--features", required=True, type=existing, help="store of the features stage")
    arguments.add_argument("--output", required=True, type=Path, help="NetCDF store to write")
    options = arguments.parse_args()
    clock = store.Clock()
    spec: SparsitySpec = options.spec
    kinds = spec.features.train.data.data.kind, spec.features.train.model.kind
    features = store.read(options.features, spec=spec.features.text(), code=stages.chain("features", *kinds))
    store.write(
        options.output,
        measures(features, spec.measures),
        title=f"Rank and sparsity of {spec.cell}",
        stage="sparsity",
        spec=spec.text(),
        code=stages.chain("sparsity", *kinds),
        seeds=features.attrs["seeds"],
        clock=clock,
    )


def measures(features: xr.Dataset, thresholds: Thresholds) -> xr.Dataset:
    """Every measure that the features allow, with one dimension per kind of threshold."""
    dataset = xr.Dataset(coords={name: features.variables[name] for name in RUN})
    if "singular_values" in features:
        sweep = thresholds.rank_thresholds
        for prefix, dims, said in (("", RUN, ""), ("rescaled_", rescaling.END, ", units rescaled")):
            if f"{prefix}singular_values" not in features:
                continue
            values = features[f"{prefix}singular_values"].values
            ranks = np.stack([rank(values, t) for t in sorted(sweep)], axis=-1)
            dataset[f"{prefix}rank"] = variable((*dims, "rank_threshold"), ranks, "1", f"rank of the Jacobian{said}")
            dataset[f"{prefix}effective_rank"] = variable(
                dims,
                effective_rank(values),
                "1",
                "effective rank of the Jacobian: exponential of the entropy of its singular values, normalised to sum "
                f"1{said}",
            )
        dataset = dataset.assign_coords(
            rank_threshold=coordinate(
                "rank_threshold", sweep, "singular values above this fraction of the largest count"
            )
        )
    if "predictor" in features:
        sweep = thresholds.l0_thresholds
        norms = l0_norms(features["predictor"].values, sweep)
        dataset["l0"] = variable(
            (*RUN, "l0_threshold"), norms, "1", "number of non-zero coordinates of the predictor u * v"
        )
        dataset = dataset.assign_coords(
            l0_threshold=coordinate("l0_threshold", sweep, "coordinates above this absolute value count")
        )
    if "unit_active_count" in features:
        dataset = dataset.merge(_sparsity_of_blocks(features, thresholds.correlation_thresholds))
    if "rescaled_active_count" in features:
        dataset["rescaled_feature_sparsity"] = rescaling.sparsity(features, thresholds.correlation_thresholds)
    return dataset


def _sparsity_of_blocks(features: xr.Dataset, sweep: list[float]) -> xr.Dataset:
    count, later = features["unit_active_count"].values, features["unit_later_correlation"].values
    block_of_unit, examples = features["unit_block"].values, int(features["examples"])
    blocks = np.unique(block_of_unit)
    parts = [(count[..., block_of_unit == b], later[..., block_of_unit == b]) for b in blocks]
    distinct = [[feature_sparsity(c, r, examples, t) for t in sorted(sweep)] for c, r in parts]
    active = np.moveaxis(np.array([feature_sparsity(c, r, examples, np.inf) for c, r in parts]), 0, -1)
    if "active_fraction" in features:  # of all units, where statistics are those of a sample
        active = features["active_fraction"].values
    dead = [np.where(np.isnan(r).all(axis=-1), np.nan, (c == 0).mean(axis=-1)) for c, r in parts]
    negative = features["negative_fraction"]
    # Only of the output of a ReLU a unit is dead or active.
    of_relu = ~signed(negative.values)
    reordered = features["unit_reordered_correlation"].transpose(*RUN, "order", "unit").values
    orders = np.array(
        [
            [reordered_sparsity(c, reordered[..., block_of_unit == b], examples, t) for t in sorted(sweep)]
            for b, (c, _) in zip(blocks, parts, strict=True)
        ]
    )
    dataset = xr.Dataset(
        {
            "feature_sparsity": variable(
                (*RUN, "block", "correlation_threshold"),
                np.moveaxis(np.array(distinct), (0, 1), (-2, -1)),
                "1",
                "mean fraction of distinct non-zero activations over the training set",
            ),
            "active_fraction": variable(
                (*RUN, "block"),
                np.where(of_relu, active, np.nan),
                "1",
                "mean fraction of non-zero activations over the training set, correlated units counted apart; none in "
                "a block with negative values",
            ),
            "dead_fraction": variable(
                (*RUN, "block"),
                np.where(of_relu, np.moveaxis(np.array(dead), 0, -1), np.nan),
                "1",
                "share of units that no training example activates; none in a block with negative values",
            ),
            "negative_fraction": negative.variable,
            "feature_sparsity_reordered": variable(
                (*RUN, "block", "correlation_threshold"),
                np.moveaxis(orders[:, :, 0], (0, 1), (-2, -1)),
                "1",
                "feature sparsity, mean over random orders of the units",
            ),
            "feature_sparsity_order_spread": variable(
                (*RUN, "block", "correlation_threshold"),
                np.moveaxis(orders[:, :, 1], (0, 1), (-2, -1)),
                "1",
                "standard deviation of the feature sparsity between random orders of the units",
            ),
        },
        {
            "block": variable(("block",), blocks, "1", "hidden layer or residual stage"),
            "correlation_threshold": coordinate(
                "correlation_threshold", sweep, "units correlated above this absolute value count as one"
            ),
        },
    )
    if "units" in features:
        sizes = features["units"].values
        errors = [
            [sampling_error(*part, examples, t, n) for t in sorted(sweep)] for part, n in zip(parts, sizes, strict=True)
        ]
        dataset["feature_sparsity_error"] = variable(
            (*RUN, "block", "correlation_threshold"),
            np.moveaxis(np.array(errors), (0, 1), (-2, -1)),
            "1",
            "standard error of the feature sparsity by the draw of units",
        )
    return dataset


if __name__ == "__main__":
    run(main)
