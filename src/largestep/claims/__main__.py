"""Test the claims on `results/largestep.nc` and write one row per claim and experiment."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pandas as pd
import xarray as xr

from largestep import store
from largestep.claims import duration, stabilisation
from largestep.claims.verdict import Row
from largestep.cli import existing, parser, run

CLAIMS = (stabilisation.rows, duration.generalisation, duration.simplicity)


def main() -> None:
    """Read the aggregate and write the table of claims."""
    arguments = parser("claims", __doc__)
    arguments.add_argument("--input", required=True, type=existing, help="results/largestep.nc")
    arguments.add_argument("--csv", required=True, type=Path, help="table to write")
    arguments.add_argument("--md", required=True, type=Path, help="the same in Markdown")
    options = arguments.parse_args()
    table = verdicts(store.read_all(options.input))
    store.write_text(options.csv, table.to_csv(index=False))
    store.write_text(options.md, table.to_markdown(index=False, floatfmt=".3g") + "\n")


def verdicts(experiments: dict[str, xr.Dataset]) -> pd.DataFrame:
    """One row per claim, experiment and statistic; gradient descent is left out: these claims are on SGD."""
    stochastic = {name: group for name, group in experiments.items() if group.attrs["algorithm"] == "SGD"}
    found = [row for claim in CLAIMS for name, group in sorted(stochastic.items()) for row in claim(name, group)]
    return pd.DataFrame([dataclasses.asdict(row) for row in found], columns=[f.name for f in dataclasses.fields(Row)])


if __name__ == "__main__":
    run(main)
