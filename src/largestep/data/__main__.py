"""Prepare an experiment's data sets: the fixed problem and, for the arm that varies it, one per seed."""

from __future__ import annotations

from pathlib import Path

from largestep import stages, store
from largestep.cli import run, spec_parser
from largestep.specs.cells import DataSpec


def main() -> None:
    """Draw the data sets that the spec describes and write them to one store."""
    arguments = spec_parser("data", __doc__, DataSpec.read)
    arguments.add_argument("--output", required=True, type=Path, help="NetCDF store to write")
    options = arguments.parse_args()
    clock = store.Clock()
    spec: DataSpec = options.spec
    kind = spec.data.kind
    dataset = stages.worker("data", kind).draw(spec.data, spec.draws)
    store.write(
        options.output,
        dataset,
        title=f"Data sets of kind {kind}",
        stage="data",
        spec=spec.text(),
        code=stages.chain("data", kind),
        seeds=f"fixed problem: {spec.data.seed}; further draws: {spec.draws}",
        clock=clock,
    )


if __name__ == "__main__":
    run(main)
