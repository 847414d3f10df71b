"""Rows of results/claims.csv and results/tables as readers see them."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from largestep.config.studies.base import ONE_DATA_SET
from largestep.figures.labels import ARMS

NOTHING = "–"
# What a verdict is for where the seeds replicate runs on one data set.
THIS_DATA_SET = "this data set"
Row = dict[str, str]


@dataclass(frozen=True)
class Table:
    """A heading for every column, and the rows; numbers: columns that are aligned to the right."""

    head: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    numbers: frozenset[int]


def rows_of(path: Path) -> list[Row]:
    """The rows of a CSV file by column."""
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def losses(rows: Iterable[Row]) -> Table:
    """How many runs of every schedule diverged, and how many ended dead."""
    counts = {(row["arm"], row["schedule"]): (row["seeds"], row["diverged"], row["dead"]) for row in rows}
    said = [(_arm(arm), schedule, *numbers) for (arm, schedule), numbers in counts.items()]
    return Table(("data", "schedule", "runs", "diverged", "dead"), said, frozenset({2, 3, 4}))


def beside_the_paper(rows: Iterable[Row]) -> Table:
    """Our median with its interval beside each value that the paper reports, in the first arm: that of its data set."""
    given = [row for row in rows if row["published"]]
    said = [
        (_measure(row), row["schedule"], number(row["published"]), _median(row), row["measured"], row["units"])
        for row in given
        if row["arm"] == given[0]["arm"]
    ]
    head = ("measure", "schedule", "paper, one run", "here: median [95% interval]", "runs", "units")
    return Table(head, said, frozenset({2, 3, 4}))


def all_values(rows: Iterable[Row]) -> Table:
    """Every measure at the end of training."""
    said = [
        (
            _arm(row["arm"]),
            _measure(row),
            row["schedule"],
            _median(row),
            row["measured"],
            number(row["published"]),
            row["units"],
        )
        for row in rows
    ]
    head = ("data", "measure", "schedule", "median [95% interval]", "runs", "paper", "units")
    return Table(head, said, frozenset({3, 4, 5}))


def verdicts(rows: Iterable[Row]) -> Table:
    """Statistics behind the claims, with what was asked of them."""
    said = [
        (
            row["claim"],
            row["experiment"],
            row["statistic"],
            _between(row["estimate"], row["low"], row["high"]),
            row["criterion"],
            row["verdict"],
            THIS_DATA_SET if row["unit"] == ONE_DATA_SET else row["unit"],
            row["seeds"],
            row["diverged"],
        )
        for row in rows
    ]
    head = ("claim", "of", "statistic", "estimate [95% interval]", "asked", "verdict", "for", "seeds", "diverged")
    return Table(head, said, frozenset({3, 7, 8}))


def number(text: str) -> str:
    """Three digits of a number; a dash where there is none."""
    return f"{float(text):.3g}" if text else NOTHING


def _arm(name: str) -> str:
    return re.split("[:;]", ARMS[name])[0].lower()


def _measure(row: Row) -> str:
    name = row["measure"].replace("_", " ")
    name += f", block {row['block']}" if row["block"] else ""
    return f"{name}, threshold {float(row['threshold']):g}" if row["threshold"] else name


def _median(row: Row) -> str:
    return _between(row["median"], row["interval_low"], row["interval_high"])


def _between(middle: str, low: str, high: str) -> str:
    return f"{number(middle)} [{number(low)}, {number(high)}]" if low and high else number(middle)
