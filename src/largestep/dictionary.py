"""docs/variables.md: the dictionary of all variables of `results/largestep.nc`, from what stores say of themselves."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import xarray as xr

from largestep import store
from largestep.cli import existing, parser, run

NOTICE = "<!-- Written by `make variables` from results/largestep.nc: what is wrong here is wrong in a store. -->\n\n"
HEAD = """# The variables of largestep.nc

{count} variables in {groups} groups of the study at laptop scale, as its stores describe them; of variables that other
scales and settings add, `ncdump -h` says the same. Dimensions are in the order in which xarray has them; a unit of 1 is
a number without one. [stores.md](stores.md) reads them.
"""


@dataclass(frozen=True, order=True)
class Row:
    """A variable as its store describes it."""

    name: str
    dims: str
    units: str
    meaning: str

    def cells(self) -> str:
        """The row of a table, without its ends. Bars would end a cell."""
        meaning = self.meaning.replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*")
        return f"`{self.name}` | {self.dims} | {self.units} | {meaning}"


def main() -> None:
    """Write the page."""
    arguments = parser("dictionary", __doc__)
    arguments.add_argument("--input", type=existing, default=Path("results/largestep.nc"), help="aggregate to describe")
    arguments.add_argument("--output", type=Path, default=Path("docs/variables.md"), help="page to write")
    options = arguments.parse_args()
    try:
        rows = variables(options.input)
    except OSError as error:
        sys.exit(f"error: {options.input}: is no aggregate: {error}")
    store.write_text(options.output, page(rows))


def variables(path: Path) -> dict[str, list[Row]]:
    """The variables of every group of an aggregate that has any, by group, in order of their names."""
    with xr.open_datatree(path, engine="netcdf4") as tree:
        return {
            node.path.strip("/"): sorted(_rows(node.to_dataset(inherit=False)))
            for node in tree.subtree
            if node.to_dataset(inherit=False).variables
        }


def _rows(group: xr.Dataset) -> Iterator[Row]:
    for name, values in group.variables.items():
        said = (str(values.attrs.get(key, "")) for key in ("units", "long_name"))
        yield Row(str(name), ", ".join(map(str, values.dims)), *said)


def page(groups: Mapping[str, list[Row]]) -> str:
    """The page: what experiments hold in one table, each variable once, and a table for every study."""
    prefix = f"{store.STUDIES}/"
    experiments = {name: rows for name, rows in groups.items() if not name.startswith(prefix)}
    text = NOTICE + HEAD.format(count=sum(map(len, groups.values())), groups=len(groups))
    text += "\n## Experiments\n\n| variable | dimensions | units | what it is | of |\n|---|---|---|---|---|\n"
    for row in sorted({row for rows in experiments.values() for row in rows}):
        has = [name for name, rows in experiments.items() if row in rows]
        text += f"| {row.cells()} | {'all' if len(has) == len(experiments) else ', '.join(has)} |\n"
    for name in sorted(set(groups) - set(experiments)):
        text += f"\n## Study {name.removeprefix(prefix)}\n\n| variable | dimensions | units | what it is |\n"
        text += "|---|---|---|---|\n"
        text += "".join(f"| {row.cells()} |\n" for row in groups[name])
    return text


if __name__ == "__main__":
    run(main)
