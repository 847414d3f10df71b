"""Draw one view of one experiment of `results/largestep.nc`, or of a study's store, as PNG and PDF."""

from __future__ import annotations

from pathlib import Path

from largestep import stages, store
from largestep.cli import existing, parser, run
from largestep.figures import style
from largestep.store import StoreError


def main() -> None:
    """Read one experiment of the aggregate and draw it."""
    arguments = parser("figures", __doc__)
    arguments.add_argument(
        "--experiment", help="group of the aggregate, an experiment of config.yaml; none for a study"
    )
    arguments.add_argument("--view", required=True, choices=sorted(stages.WORKERS["figures"]), help="what to draw")
    arguments.add_argument("--input", required=True, type=existing, help="results/largestep.nc or a study")
    arguments.add_argument("--made-from", help="digest of the spec and the code that the study has to be made from")
    arguments.add_argument("--png", required=True, type=Path, help="picture to write")
    arguments.add_argument("--pdf", required=True, type=Path, help="the same for print")
    options = arguments.parse_args()
    if options.experiment:
        shown, what = store.read_group(options.input, options.experiment), f"experiment {options.experiment}"
    else:
        shown, what = store.read(options.input, made_from=options.made_from), "the study"
    view = stages.worker("figures", options.view)
    for key in view.NEEDS:
        if key not in shown:
            raise StoreError(f"{options.input}: {what} has no variable {key}; view {options.view} cannot be drawn")
    style.save(view.draw(shown), options.png, options.pdf)


if __name__ == "__main__":
    run(main)
