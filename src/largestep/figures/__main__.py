"""Draw one view of one experiment of `results/largestep.nc` as PNG and PDF."""

from __future__ import annotations

from pathlib import Path

from largestep import stages, store
from largestep.cli import existing, parser, run
from largestep.figures import style
from largestep.store import StoreError


def main() -> None:
    """Read one experiment of the aggregate and draw it."""
    arguments = parser("figures", __doc__)
    arguments.add_argument("--experiment", required=True, help="group of the aggregate, an experiment of config.yaml")
    arguments.add_argument("--view", required=True, choices=sorted(stages.WORKERS["figures"]), help="what to draw")
    arguments.add_argument("--input", required=True, type=existing, help="results/largestep.nc")
    arguments.add_argument("--png", required=True, type=Path, help="picture to write")
    arguments.add_argument("--pdf", required=True, type=Path, help="the same for print")
    options = arguments.parse_args()
    experiment = store.read_group(options.input, options.experiment)
    view = stages.worker("figures", options.view)
    for key in view.NEEDS:
        if key not in experiment:
            raise StoreError(
                f"{options.input}: experiment {options.experiment} has no variable {key}; "
                f"view {options.view} cannot be drawn"
            )
    style.save(view.draw(experiment), options.png, options.pdf)


if __name__ == "__main__":
    run(main)
