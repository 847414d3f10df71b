"""Put the seeds of one cell of an image classifier together, which were trained apart, and measure them.

One job does both, since it takes longer to start than to do either.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

import xarray as xr

from largestep import stages, store
from largestep.cli import existing, run, spec_parser
from largestep.sparsity import measures
from largestep.specs.cells import SparsitySpec, part_named

if TYPE_CHECKING:
    from largestep.specs.cells import ImageTrainSpec

TITLES = {"train": "Training", "features": "Features", "sparsity": "Rank and sparsity"}


def main() -> None:
    """Read the losses and the features of all seeds, and write those of the cell and its measures."""
    arguments = spec_parser("sparsity_images", __doc__, SparsitySpec.read)
    arguments.add_argument(
        "--seeds", required=True, nargs="+", type=part_named, help="what each job trained, such as 0-9 10-19"
    )
    arguments.add_argument("--losses", required=True, nargs="+", type=existing, help="what training made of each")
    arguments.add_argument("--features", required=True, nargs="+", type=existing, help="the features of each")
    arguments.add_argument("--cell-losses", required=True, type=Path, help="NetCDF store of all losses to write")
    arguments.add_argument("--cell-features", required=True, type=Path, help="NetCDF store of all features to write")
    arguments.add_argument("--output", required=True, type=Path, help="NetCDF store of the measures to write")
    options = arguments.parse_args()
    clock = store.Clock()
    spec: SparsitySpec = options.spec
    features, train = spec.features, cast("ImageTrainSpec", spec.features.train)
    seeds = range(train.training.seeds)
    if [seed for part in options.seeds for seed in part] != list(seeds):
        arguments.error(f"--seeds must be 0 to {seeds[-1]}, in this order")
    codes = {stage: stages.chain(stage, train.data.data.kind, train.model.kind) for stage in TITLES}
    parts = {
        stage: [
            store.read(path, spec=whole_spec.part(part).text(), code=codes[stage])
            for path, part in zip(paths, options.seeds, strict=True)
        ]
        for stage, whole_spec, paths in (("train", train, options.losses), ("features", features, options.features))
    }
    whole = joined(parts["features"], options.features)
    for stage, path, dataset, text, taken in (
        ("train", options.cell_losses, joined(parts["train"], options.losses), train.text(), _Together(parts["train"])),
        ("features", options.cell_features, whole, features.text(), _Together(parts["features"])),
        ("sparsity", options.output, measures(whole, spec.measures), spec.text(), clock),
    ):
        store.write(
            path,
            dataset,
            title=f"{TITLES[stage]} of {spec.cell}",
            stage=stage,
            spec=text,
            code=codes[stage],
            seeds=f"0 to {seeds[-1]}, arms: {', '.join(train.training.arms)}",
            clock=taken,
            device=dataset.attrs.get("device"),
        )


def joined(parts: Sequence[xr.Dataset], paths: Sequence[Path]) -> xr.Dataset:
    """One dataset of all seeds, which has the attributes of the first.

    parts: of some seeds each, in the order of the seeds. paths: where they lie, for errors.
    Raises StoreError where two differ in what does not depend on the seed.
    """
    first = parts[0]
    for path, part in zip(paths, parts, strict=True):
        differ = [
            str(name)
            for name, values in part.variables.items()
            if "seed" not in values.dims and not values.identical(first.variables[name])
        ]
        # What a user's own function returned may have changed between two jobs.
        if part.attrs.get("images_sha256") != first.attrs.get("images_sha256"):
            differ.append("images")
        if differ:
            raise store.StoreError(f"{path}: its {differ[0]} are not those of {paths[0]}; delete both and run again")
    return xr.concat(parts, "seed", data_vars="minimal", coords="minimal", compat="override", join="override")


class _Together(store.Clock):
    """The wall time of all jobs that made some stores."""

    def __init__(self, parts: Sequence[xr.Dataset]) -> None:
        self._seconds = [float(part.attrs["wall_time_s"]) for part in parts]

    def seconds(self) -> float:
        """Their sum."""
        return sum(self._seconds)


if __name__ == "__main__":
    run(main)
