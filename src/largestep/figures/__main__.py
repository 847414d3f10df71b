"""Draw one view of one experiment of `results/largestep.nc`, or of a study's store, as PNG and PDF."""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure

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
    figure = drawn(options.input, options.view, options.experiment, options.made_from)
    style.save(figure, options.png, options.pdf)


def drawn(path: Path, name: str, experiment: str | None = None, made_from: str | None = None) -> Figure:
    """A view of one experiment of an aggregate, or of a study's store where none is given.

    made_from: as of `store.read`. Raises StoreError for what cannot be read or lacks what the view needs.
    """
    if experiment:
        shown, what = store.read_group(path, experiment), f"experiment {experiment}"
    else:
        shown, what = store.read(path, made_from=made_from), "the study"
    view = stages.worker("figures", name)
    for key in view.NEEDS:
        if key not in shown:
            raise StoreError(f"{path}: {what} has no variable {key}; view {name} cannot be drawn")
    figure: Figure = view.draw(shown)
    return figure


if __name__ == "__main__":
    run(main)
