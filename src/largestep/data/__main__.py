"""Prepare an experiment's data sets: the fixed problem and, for the arm that varies it, one per seed."""

from __future__ import annotations

from pathlib import Path

from largestep import stages, store
from largestep.cli import run, spec_parser
from largestep.keys import canonical


def main() -> None:
    """Draw the data sets that the spec describes and write them to one store."""
    arguments = spec_parser("data", __doc__)
    arguments.add_argument("--output", required=True, type=Path, help="NetCDF store to write")
    options = arguments.parse_args()
    clock = store.Clock()
    settings = options.spec["data"]
    dataset = stages.worker("data", settings["kind"]).draw(settings, options.spec["draws"])
    store.write(
        options.output,
        dataset,
        title=f"Data sets of kind {settings['kind']}",
        stage="data",
        spec=canonical(options.spec),
        code=stages.chain("data", settings["kind"]),
        seeds=f"fixed problem: {settings['seed']}; further draws: {options.spec['draws']}",
        clock=clock,
    )


if __name__ == "__main__":
    run(main)
