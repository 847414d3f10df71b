"""Test the claims on `results/largestep.nc`: one row per claim, experiment and statistic, and a summary."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType

import pandas as pd

from largestep import store
from largestep.claims import (
    alignment,
    batch_sharpness,
    blocks,
    bouncing,
    column_norms,
    controls,
    duration,
    exact_law,
    image_controls,
    initial_scale,
    kinks,
    label_noise,
    layers,
    noise_needed,
    noise_shape,
    over_regularisation,
    permitting,
    phase_diagram,
    pruning,
    regimes,
    saddles,
    sde,
    several_decays,
    stabilisation,
    support,
    valley_walls,
)
from largestep.claims.own import with_own
from largestep.claims.recurrence import with_recurrence
from largestep.claims.results import Results
from largestep.claims.summary import as_rst, summarise
from largestep.claims.summary_table import for_reading, summary_table
from largestep.claims.verdict import Measured, Row, decide
from largestep.cli import existing, file_parser, read_spec, run
from largestep.specs.aggregates import ClaimsSpec

# Each has CLAIMS, from id to what the paper claims in a sentence, and measured(results).
MODULES = (
    label_noise,
    bouncing,
    stabilisation,
    duration,
    phase_diagram,
    blocks,
    saddles,
    regimes,
    controls,
    over_regularisation,
    permitting,
    image_controls,
    support,
    column_norms,
    kinks,
    alignment,
    layers,
    sde,
    noise_needed,
    batch_sharpness,
    exact_law,
    pruning,
    noise_shape,
    initial_scale,
    several_decays,
    valley_walls,
)
# Of a row, only for the summary.
NOT_IN_TABLE = ("beside", "companion", "margin")


def main() -> None:
    """Read the aggregate and write the table of claims and the summary."""
    arguments = file_parser("claims", __doc__)
    arguments.add_argument("--input", required=True, type=existing, help="results/largestep.nc")
    arguments.add_argument("--csv", required=True, type=Path, help="table to write")
    arguments.add_argument("--md", required=True, type=Path, help="the same in Markdown")
    arguments.add_argument("--summary-csv", required=True, type=Path, help="one line per claim")
    arguments.add_argument("--summary-md", required=True, type=Path, help="the same in Markdown")
    arguments.add_argument("--summary-rst", required=True, type=Path, help="the same for the first page of the report")
    options = arguments.parse_args()
    experiments, studies = store.read_all(options.input)
    results = Results.of_run(experiments, studies, read_spec(options, ClaimsSpec.read))
    statistics = measured(results)
    rows = decide(statistics)
    lines = with_recurrence(summarise(rows, statements(MODULES)), statistics)
    if results.own:
        others = summarise(decide(measured(results.without_own())), statements(MODULES))
        lines = with_own(lines, rows, results.own, others)
    table = as_table(rows)
    store.write_text(options.csv, table.to_csv(index=False))
    store.write_text(options.md, as_markdown(table))
    store.write_text(options.summary_csv, summary_table(lines).to_csv(index=False))
    store.write_text(options.summary_md, as_markdown(for_reading(lines)))
    store.write_text(options.summary_rst, as_rst(lines))


def measured(results: Results) -> list[Measured]:
    """Every statistic of every claim."""
    estimates = (each for module in MODULES for each in module.measured(results))
    return [dataclasses.replace(each, unit=results.unit(each.experiment)) for each in estimates]


def statements(modules: Iterable[ModuleType]) -> dict[str, str]:
    """What the paper claims, by id. Raises ValueError when two modules say it differently."""
    sentences: dict[str, str] = {}
    for module in modules:
        for claim, sentence in module.CLAIMS.items():
            if sentences.setdefault(claim, sentence) != sentence:
                raise ValueError(f"{module.__name__}: {claim} is stated differently by another module")
    return sentences


def as_table(rows: list[Row]) -> pd.DataFrame:
    """The table of claims, one line per row."""
    columns = [field.name for field in dataclasses.fields(Row) if field.name not in NOT_IN_TABLE]
    return pd.DataFrame([dataclasses.asdict(row) for row in rows], columns=columns)


def as_markdown(table: pd.DataFrame) -> str:
    """A table in Markdown; a bar in a text does not end its cell."""
    texts = table.map(lambda value: value.replace("|", "\\|") if isinstance(value, str) else value)
    return str(texts.to_markdown(index=False, floatfmt=".3g")) + "\n"


if __name__ == "__main__":
    run(main)
