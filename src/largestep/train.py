"""Train every seed of one cell of a toy network and record its losses and snapshots of its parameters."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from largestep import stages, store
from largestep.cli import existing, run, spec_parser
from largestep.recording import Trained
from largestep.specs.cells import SeedsSpec, ToyTrainSpec


def main() -> None:
    """Train one cell and write its two stores."""
    options = arguments("train", __doc__, ToyTrainSpec.read).parse_args()
    clock = store.Clock()
    spec: ToyTrainSpec = options.spec
    data = stages.reader(spec.data.data.kind).read_problem(options.data, spec.data)
    worker = stages.worker("train", spec.model.kind)
    trained = worker.train(spec.model, spec.training, spec.schedule, data, label=spec.cell, threads=options.threads)
    code = stages.chain("train", spec.data.data.kind, spec.model.kind)
    write(Trained(*trained), spec, range(spec.training.seeds), options, code, clock)


def arguments(
    stage: str, description: str | None, read: Callable[[str], ToyTrainSpec | SeedsSpec]
) -> argparse.ArgumentParser:
    """The arguments that every trainer takes; read: as of `cli.spec_parser`."""
    parser = spec_parser(stage, description, read, threads=True)
    parser.add_argument("--data", required=True, type=existing, help="what the data or the images stage made")
    parser.add_argument("--output", required=True, type=Path, help="NetCDF store of the losses to write")
    parser.add_argument("--snapshots", required=True, type=Path, help="NetCDF store of the parameters to write")
    return parser


def write(
    trained: Trained,
    spec: ToyTrainSpec | SeedsSpec,
    seeds: range,
    options: argparse.Namespace,
    code: str,
    clock: store.Clock,
) -> None:
    """Write both stores of a job that trained some seeds. Raises StoreError when one cannot be written."""
    # The losses last: the stage is done when they are there.
    for path, dataset, streamed, what in (
        (options.snapshots, trained.snapshots, trained.streamed, "Snapshots"),
        (options.output, trained.losses, None, "Training"),
    ):
        store.write(
            path,
            dataset,
            title=f"{what} of {spec.cell}",
            stage="train",
            spec=spec.text(),
            code=code,
            seeds=f"{seeds[0]} to {seeds[-1]}, arms: {', '.join(spec.training.arms)}",
            clock=clock,
            streamed=streamed,
            device=trained.device,
        )


if __name__ == "__main__":
    run(main)
