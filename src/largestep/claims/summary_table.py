"""The columns of results/summary.csv, and those of them that results/summary.md shows.

Each claim has two of its headline statistics in columns of their own, with the digits of results/claims.csv: *support*,
the clearest for it, and *objection*, the clearest against it, or else an undecided one or the weakest support.
"""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from largestep.claims.summary import HEADINGS, Line
from largestep.claims.verdict import Row

# Columns of the table of claims that the support and the objection have here.
OF_A_STATISTIC = (
    "experiment",
    "statistic",
    "estimate",
    "low",
    "high",
    "criterion",
    "verdict",
    "seeds",
    "diverged",
    "without_value",
    "unit",
)
STATISTICS = [f"{which} {column}" for which in ("support", "objection") for column in OF_A_STATISTIC]
COLUMNS = [*HEADINGS[:3], "scope", *HEADINGS[3:-1], *STATISTICS, HEADINGS[-1]]


def summary_table(lines: Iterable[Line]) -> pd.DataFrame:
    """One row for each claim; a statistic that a claim does not have is left empty."""
    rows = [
        _texts(line, line.answer)
        | {"scope": line.scope}
        | _statistic("support", line.support)
        | _statistic("objection", line.objection)
        for line in lines
    ]
    return pd.DataFrame(rows, columns=COLUMNS, dtype=object)


def for_reading(lines: Iterable[Line]) -> pd.DataFrame:
    """The same under `HEADINGS`: the scope stands in the answer, and the statistics in the evidence."""
    return pd.DataFrame([_texts(line, line.verdict) for line in lines], columns=list(HEADINGS))


def _texts(line: Line, answer: str) -> dict[str, object]:
    values = (
        line.claim,
        line.statement,
        answer,
        line.recurs,
        line.counts,
        line.seeds,
        line.units,
        line.survivors,
        line.matched,
        line.evidence,
    )
    return dict(zip(HEADINGS, values, strict=True))


def _statistic(which: str, row: Row | None) -> dict[str, object]:
    return {f"{which} {column}": getattr(row, column) for column in OF_A_STATISTIC} if row else {}
