"""Train every seed of one cell and record its losses and snapshots of its parameters."""

from __future__ import annotations

from pathlib import Path

from largestep import stages, store
from largestep.cli import existing, run, spec_parser
from largestep.keys import canonical


def main() -> None:
    """Train one cell and write its two stores."""
    arguments = spec_parser("train", __doc__, threads=True)
    arguments.add_argument("--data", required=True, type=existing, help="store of the data stage")
    arguments.add_argument("--output", required=True, type=Path, help="NetCDF store of the losses to write")
    arguments.add_argument("--snapshots", required=True, type=Path, help="NetCDF store of the parameters to write")
    options = arguments.parse_args()
    clock = store.Clock()
    spec = options.spec
    kinds = spec["data"]["data"]["kind"], spec["model"]["kind"]
    data = store.read(options.data, spec=canonical(spec["data"]), code=stages.chain("data", *kinds))
    losses, snapshots = stages.worker("train", kinds[1]).train(spec, data, options.threads)
    # The losses last: the stage is done when they are there.
    for path, dataset, what in ((options.snapshots, snapshots, "Snapshots"), (options.output, losses, "Training")):
        store.write(
            path,
            dataset,
            title=f"{what} of {spec['cell']}",
            stage="train",
            spec=canonical(spec),
            code=stages.chain("train", *kinds),
            seeds=f"0 to {spec['training']['seeds'] - 1}, arms: {', '.join(spec['training']['arms'])}",
            clock=clock,
        )


if __name__ == "__main__":
    run(main)
