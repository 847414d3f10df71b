"""Extract what the measures need of each snapshot of one cell."""

from __future__ import annotations

from pathlib import Path

from largestep import stages, store
from largestep.cli import existing, run, spec_parser
from largestep.measures import RUN
from largestep.specs.cells import FeaturesSpec


def main() -> None:
    """Read the snapshots of one cell and write its features."""
    arguments = spec_parser("features", __doc__, FeaturesSpec.read, threads=True)
    arguments.add_argument("--data", required=True, type=existing, help="what the data or the images stage made")
    arguments.add_argument("--snapshots", required=True, type=existing, help="snapshots of the training stage")
    arguments.add_argument("--output", required=True, type=Path, help="NetCDF store to write")
    options = arguments.parse_args()
    clock = store.Clock()
    spec: FeaturesSpec = options.spec
    trained = spec.train
    kinds = trained.data.data.kind, trained.model.kind
    data = stages.reader(kinds[0]).read_problem(options.data, trained.data)
    with store.opened(options.snapshots, spec=trained.text(), code=stages.chain("train", *kinds)) as snapshots:
        worker = stages.worker("features", kinds[1])
        dataset = worker.features(
            trained.model, spec.measures, data, snapshots, label=spec.cell, threads=options.threads
        )
        dataset = dataset.assign_coords({name: snapshots.variables[name].load() for name in RUN})
        seeds = snapshots.attrs["seeds"]
    store.write(
        options.output,
        dataset,
        title=f"Features of {spec.cell}",
        stage="features",
        spec=spec.text(),
        code=stages.chain("features", *kinds),
        seeds=seeds,
        clock=clock,
    )


if __name__ == "__main__":
    run(main)
