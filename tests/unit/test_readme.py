"""README's answers are those of the summary that is shipped, which is that of the reference, for every claim."""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd
import pytest

from largestep import cli
from largestep.claims import readme
from largestep.claims.__main__ import MODULES, statements
from largestep.claims.summary import THIS_DATA_SET
from largestep.compare import reference
from largestep.config.studies.base import NO_DATA, ONE_DATA_SET

ROOT = Path(__file__).parents[2]
SUMMARY = ROOT / "docs/results/summary.csv"
HEAD = ",".join(readme.COLUMNS)
PAGE = f"before\n{readme.BEGIN}\nold\n{readme.END}\nafter\n"


def write(monkeypatch: pytest.MonkeyPatch, *arguments: str | Path) -> None:
    monkeypatch.setattr(sys, "argv", ["readme", *map(str, arguments)])
    cli.run(readme.main)


@pytest.mark.parametrize("name", ["README.md", "docs/index.md"])
def test_pages_say_what_the_shipped_summary_says(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After `make reference` of a new run, `make readme`. The second is the first page of the site."""
    page = tmp_path / "page.md"
    page.write_bytes((ROOT / name).read_bytes())
    write(monkeypatch, "--summary", SUMMARY, "--readme", page)
    assert page.read_text() == (ROOT / name).read_text()


def test_the_shipped_summary_is_that_of_the_reference() -> None:
    """Of every claim, with what the paper claims in the words of today, and how often the answer recurs."""
    summary = pd.read_csv(SUMMARY, keep_default_na=False).set_index("claim")
    shipped = reference.read(reference.SHIPPED, "laptop")
    assert summary["answer"].to_dict() == shipped.answers
    assert summary["what the paper claims"].to_dict() == statements(MODULES)
    assert (summary["recurs"].str.fullmatch(r"\d+%") | (summary["answer"] == "not run")).all()
    assert reference.SHIPPED.stat().st_size < 1e6


def test_answers_for_one_data_set_say_so() -> None:
    """In the shipped summary, and so in README: those none of whose seeds has a data set of its own."""
    summary = pd.read_csv(SUMMARY, keep_default_na=False)
    units = summary["replicated over"].str.replace(r": \d+", "", regex=True).str.split("; ").map(set)
    alone = units.map(lambda each: each - {NO_DATA} == {ONE_DATA_SET})
    assert alone.any()
    assert (summary["scope"] == alone.map({True: THIS_DATA_SET, False: ""})).all()
    assert (ROOT / "README.md").read_text().count(f"{THIS_DATA_SET} |") == alone.sum()


def test_the_shipped_intervals_are_those_of_the_evidence() -> None:
    """Every claim with an answer has its clearest support or what speaks least for it, with an interval."""
    summary = pd.read_csv(SUMMARY).set_index("claim")
    for which in ("support", "objection"):
        for row in summary[summary[f"{which} estimate"].notna()].to_dict("records"):
            estimate, low, high = (row[f"{which} {name}"] for name in ("estimate", "low", "high"))
            assert low <= estimate <= high
            assert f"({row[f'{which} experiment']}) is {estimate:.3g} [{low:.3g}, {high:.3g}]" in row["evidence"]
    answered = summary[summary["answer"] != "not run"]
    assert (answered["support low"].notna() | answered["objection low"].notna()).all()


def test_only_what_lies_between_the_markers_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page, summary = tmp_path / "README.md", tmp_path / "summary.csv"
    page.write_text(PAGE)
    summary.write_text(
        'claim,what the paper claims,answer,scope,recurs\nC1,"One, two.",holds,for this data set,99%\n'
        "C2,Three.,not run,,\n"
    )
    write(monkeypatch, "--summary", summary, "--readme", page)
    assert page.read_text() == (
        f"before\n{readme.BEGIN}\nOf 2 claims: holds 1, not run 1.\n\n| | what is claimed | answer | recurs |\n"
        f"|---|---|---|---|\n| C1 | One, two. | holds for this data set | 99% |\n| C2 | Three. | not run |  |\n"
        f"{readme.END}\nafter\n"
    )


@pytest.mark.parametrize(
    ("page", "summary", "problem"),
    [
        ("no markers", f"{HEAD}\n", "README.md: needs the lines"),
        (f"{readme.END}\n{readme.BEGIN}\n", f"{HEAD}\n", "README.md: needs the lines"),
        (PAGE, "claim,answer\n", "summary.csv: is no summary of claims"),
        (PAGE, "", "summary.csv: is no summary of claims"),
    ],
)
def test_what_cannot_be_written_is_one_line(
    page: str, summary: str, problem: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "README.md").write_text(page)
    (tmp_path / "summary.csv").write_text(summary)
    with pytest.raises(SystemExit, match=problem):
        write(monkeypatch, "--summary", tmp_path / "summary.csv", "--readme", tmp_path / "README.md")
    assert (tmp_path / "README.md").read_text() == page


def test_the_shipped_evidence_is_that_of_the_shipped_summary() -> None:
    """docs/results/summary.md, which `make reference` copies beside it."""
    rows = (ROOT / "docs/results/summary.md").read_text().splitlines()
    cells = [[cell.strip() for cell in row.split(" | ")] for row in rows if row.startswith("| C")]
    summary = pd.read_csv(SUMMARY, keep_default_na=False)
    assert [(row[0].removeprefix("| "), row[2]) for row in cells] == list(
        zip(summary["claim"], (summary["answer"] + " " + summary["scope"]).str.rstrip(), strict=True)
    )
