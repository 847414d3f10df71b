"""What is there of each cell: `largestep cells`, `largestep show CELL` and `largestep why CELL`.

`cells` lists the cells of the configuration: done, diverged (all runs did), missing, stale or damaged. `show` prints
what the stores of one hold, `why` which of its stores the next run would make again, and for what reason. All read the
stores themselves, from end to end, and change nothing; Snakemake's records are not asked.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from largestep import config, grid, store, verify
from largestep.cli import command_parser, run

# The state of a cell is the first of these that one of its stores is in.
WORST = ("damaged", "foreign", "stale", "missing")
ATTRIBUTES = ("title", "stage", "seeds", "created", "machine", "device", "wall_time_s", "content_sha256")


def main() -> None:
    """Run the command of the name under which this module was called."""
    name = sys.argv[0].rpartition(" ")[2]
    commands = {"cells": listed, "show": shown, "why": explained}
    arguments = command_parser(name, __doc__)
    if name != "cells":
        arguments.add_argument("cell", metavar="CELL", help="a cell, as EXPERIMENT.NAME")
    verify.add_configuration(arguments)
    arguments.add_argument("--results", type=Path, default=Path("results"), help="folder to read (default: results)")
    arguments.add_argument("--json", action="store_true", help="print JSON")
    options = arguments.parse_args()
    settings = verify.configured(options)
    if name != "cells" and options.cell not in grid.cells(settings):
        near = [cell for cell in grid.cells(settings) if cell.startswith(options.cell.partition(".")[0])]
        sys.exit(f"error: there is no cell {options.cell} at scale {settings.scale}; see {', '.join(near) or 'cells'}")
    answer, lines = commands[name](settings, options)
    print(json.dumps(answer, indent=2) if options.json else "\n".join(lines))


def listed(settings: config.Config, options: argparse.Namespace) -> tuple[list[dict[str, Any]], list[str]]:
    """Every cell with its state, the number of its runs and of those that diverged; None where that is not known."""
    rows: list[dict[str, Any]] = []
    for name, checked in _checked(settings, options.results, grid.cells(settings)).items():
        faults = {each.finding.fault for each in checked if each.finding}
        runs, diverged = _runs(options.results / f"cells/{name}/train.nc") if not faults else (None, None)
        all_diverged = bool(runs) and runs == diverged
        state = next((fault for fault in WORST if fault in faults), "diverged" if all_diverged else "done")
        rows.append({"cell": name, "state": state, "runs": runs, "diverged": diverged})
    width = max(len(each["cell"]) for each in rows)
    lost = [f"  {each['diverged']} of {each['runs']} runs diverged" if each["diverged"] else "" for each in rows]
    return rows, [f"{each['cell']:{width}s}  {each['state']}{more}" for each, more in zip(rows, lost, strict=True)]


def shown(settings: config.Config, options: argparse.Namespace) -> tuple[list[dict[str, Any]], list[str]]:
    """The stores of a cell that can be read: what they say of themselves, and their variables."""
    stores: list[dict[str, Any]] = []
    lines: list[str] = []
    for each in _checked(settings, options.results, [options.cell])[options.cell]:
        path = options.results / each.expected.path
        if each.content is None:
            lines.append(f"{path}: {each.finding.why if each.finding else 'is not there, nor needed'}")
            continue
        held = _held(path, each.content)
        stores.append({"path": str(path), **held})
        lines += [str(path), *(f"  {key}: {value}" for key, value in held["attributes"].items())]
        for name, variable in held["variables"].items():
            sizes = ", ".join(f"{dim} {size}" for dim, size in variable["sizes"].items())
            lines.append(f"  {name} ({sizes}) [{variable['units']}]: {variable['long_name']}")
    return stores, lines


def explained(settings: config.Config, options: argparse.Namespace) -> tuple[list[dict[str, str]], list[str]]:
    """Which stores of a cell, and of what it is made from, the next run makes again, and why."""
    checked = _checked(settings, options.results, [options.cell])[options.cell]
    findings = [
        {"path": str(options.results / each.finding.path), "fault": each.finding.fault, "why": each.finding.why}
        for each in checked
        if each.finding
    ]
    lines = [f"{each['path']}: {each['fault']}: {each['why']}" for each in findings]
    return findings, lines or [
        f"{options.cell}: nothing would run: its stores are of today's settings, code and libraries"
    ]


def _checked(settings: config.Config, results: Path, cells: Iterable[str]) -> dict[str, list[verify.Checked]]:
    """By cell, its stores and the data that it is made from, in the order of stages."""
    known = grid.cells(settings)
    sources = {name: verify.source(known[name]) for name in cells}
    wanted = [
        each
        for each in verify.expected(settings)
        if (each.owner and each.owner[1] in sources) or each.path in sources.values()
    ]
    checked = verify.check_all(settings, results, wanted)
    return {
        name: [
            each
            for each in checked
            if each.expected.path == source or (each.expected.owner and each.expected.owner[1] == name)
        ]
        for name, source in sources.items()
    }


def _held(path: Path, content: str) -> dict[str, Any]:
    """What a store says of itself, and its variables, without their values."""
    if path.suffix != ".nc":
        return {"attributes": {"content_sha256": content}, "variables": {}}
    with store.opened(path) as dataset:
        # NumPy's numbers are none of JSON's.
        attributes = {key: str(dataset.attrs[key]) for key in ATTRIBUTES if key in dataset.attrs}
        variables = {
            str(name): {
                "sizes": {str(dim): size for dim, size in variable.sizes.items()},
                **{key: str(variable.attrs.get(key, "")) for key in ("units", "long_name")},
            }
            for name, variable in dataset.variables.items()
        }
    return {"attributes": attributes, "variables": variables}


def _runs(path: Path) -> tuple[int, int]:
    """Number of runs of a cell, and of those that diverged."""
    with store.opened(path) as dataset:
        step = dataset["diverged_step"].values
    return int(step.size), int((step >= 0).sum())


if __name__ == "__main__":
    run(main)
