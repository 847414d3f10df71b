"""Figures of a study that has run, laid out again for one column of a page of two: 3.4 inches.

Each becomes a PDF with its panels below each other, at most three a page, and on every page their key and the note. No
text is below 7 points at that width: use a page as it is (`\\includegraphics[page=2]{...}`), and do not scale it.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any, NamedTuple

from largestep import config, grid, verify
from largestep.cli import command_parser, run
from largestep.config.meant import similar
from largestep.figures import column
from largestep.figures.__main__ import drawn

# What of the results is no figure of an experiment or study.
AS_WIDE_AS_A_PAGE = "scorecard"


class Source(NamedTuple):
    """What a figure is drawn of: a store below the results folder, perhaps an experiment of it, and the view."""

    store: str
    experiment: str | None
    view: str


def main() -> None:
    """Write what the command line asks for, and say where."""
    arguments = command_parser("column", __doc__)
    arguments.formatter_class = argparse.RawDescriptionHelpFormatter
    arguments.add_argument(
        "figures", nargs="+", metavar="FIGURE", help="as its file in results/figures: NAME of NAME.pdf"
    )
    arguments.add_argument("--panels", nargs="+", default=[], metavar="LETTER", help="these alone (default: all)")
    arguments.add_argument("--to", type=Path, help="folder to write to (default: column in the results folder)")
    verify.add_configuration(arguments)
    arguments.add_argument("--results", type=Path, default=Path("results"), help="folder to read (default: results)")
    arguments.add_argument("--json", action="store_true", help="print JSON")
    options = arguments.parse_args()
    options.panels = list(dict.fromkeys(options.panels))
    settings = verify.configured(options)
    known = sources(settings)
    for name in options.figures:
        if name not in known:
            sys.exit(_unknown(name, known))
    made = [_made(name, known[name], settings, options) for name in options.figures]
    lines = [f"{each['path']}: panels {' '.join(each['panels'])}, pages: {each['pages']}" for each in made]
    print(json.dumps(made, indent=2) if options.json else "\n".join(lines))


def sources(settings: config.Config) -> dict[str, Source]:
    """What every figure of the configuration at its scale is drawn of, by the name of its files."""
    studies = {
        name: Source(f"studies/{name}.nc", None, study.kind) for name, study in settings.studies_at_scale().items()
    }
    views = {
        f"{name}_{view}": Source("largestep.nc", name, view)
        for name, experiment in settings.at_scale().items()
        for view in experiment.views
    }
    return studies | views


def _unknown(name: str, known: dict[str, Source]) -> str:
    if name == AS_WIDE_AS_A_PAGE:
        return f"error: {name} is one table as wide as a page; for a column take results/summary.md"
    meant = similar(Path(name).stem, known)
    return f"error: there is no figure {name!r} at this scale (names: see results/figures){meant}"


def _made(name: str, source: Source, settings: config.Config, options: argparse.Namespace) -> dict[str, Any]:
    """Write one figure; returns what is to be said of it. Raises StoreError for a store that is not of today."""
    path, made_from = options.results / source.store, None
    if not path.is_file():
        sys.exit(f"error: {path}: there is no such file; run snakemake, or name another folder with --results")
    if source.experiment is None:
        made_from = grid.study_made_from(settings, name)
    elif not (options.results / verify.made_file(settings)).is_file():
        sys.exit(f"error: {path}: was made from other settings or code; run snakemake")
    figure = drawn(path, source.view, source.experiment, made_from)
    panels = list(column.panels(figure))
    for letter in options.panels:
        if letter not in panels:
            sys.exit(f"error: --panels {letter!r}: {name} has {', '.join(panels)}")
    pdf = (options.to or options.results / "column") / f"{name}.pdf"
    pages = column.save(figure, pdf, options.panels)
    return {"figure": name, "path": str(pdf), "pages": pages, "panels": options.panels or panels}


if __name__ == "__main__":
    run(main)
