"""The summary: fixed rules for the answers, sentences made from the rows, and the first page of the report."""

from __future__ import annotations

from io import StringIO
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import yaml
from docutils.core import publish_parts
from jinja2 import Environment
from matplotlib.figure import Figure
from matplotlib.text import Text

from largestep.claims import __main__ as command
from largestep.claims import readme
from largestep.claims.summary import MATCHED, Line, as_rst, asked, conclude, evidence, summarise, tally
from largestep.claims.summary_table import COLUMNS, for_reading, summary_table
from largestep.claims.verdict import Answer, Row
from largestep.figures import scorecard, style
from largestep.report import tables
from largestep.store import StoreError

ROOT = Path(__file__).parents[2]
STATEMENTS = {"C10": "Ten.", "C2": "Two.", "C1": "One."}


def row(
    verdict: Answer, claim: str = "C1", experiment: str = "made_up/order", margin: float = 2.0, **other: object
) -> Row:
    """A row of the table, headline unless said otherwise."""
    settings: dict[str, object] = {
        "statistic": f"{verdict} number",
        "estimate": -0.5,
        "low": -0.75,
        "high": -0.25,
        "seeds": 0 if verdict == "not run" else 20,
        "diverged": 0,
        "without_value": 0,
        "unit": "",
        "survivors": "",
        "beside": "",
        "companion": False,
        "criterion": "below 0",
        "note": "",
        "headline": verdict != "not run",
    }
    return Row(claim, experiment, verdict=verdict, margin=margin, **(settings | other))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("verdicts", "answer"),
    [
        ("s", "holds"),
        ("sss", "holds"),
        ("ssn", "holds"),
        ("ssf", "holds"),
        ("ssu", "holds in part"),
        ("su", "holds in part"),
        ("sssu", "mostly holds"),
        ("sr", "mixed"),
        ("sssssr", "mixed"),
        ("suur", "mixed"),
        ("srr", "does not hold"),
        ("r", "does not hold"),
        ("ru", "does not hold"),
        ("u", "undecided"),
        ("un", "undecided"),
        ("f", "undecided"),
        ("fn", "undecided"),
        ("n", "not run"),
        ("", "not run"),
    ],
)
def test_rules(verdicts: str, answer: str) -> None:
    """One letter per statistic; f: undecided for want of seeds. Sweeps do not count, nor does the order of rows."""
    kinds = {
        "s": row("supported"),
        "r": row("refuted"),
        "u": row("undecided"),
        "n": row("not run"),
        "f": row("undecided", seeds=3),
    }
    rows = [kinds[letter] for letter in verdicts]
    assert conclude(rows) == conclude(rows[::-1]) == answer
    assert conclude([*rows, row("refuted", headline=False), row("supported", headline=False)]) == answer


def test_lines_come_in_order_and_none_is_missing() -> None:
    lines = summarise([row("supported", "C10"), row("refuted", "C1")], STATEMENTS)
    assert [(line.claim, line.statement, line.answer) for line in lines] == [
        ("C1", "One.", "does not hold"),
        ("C2", "Two.", "not run"),
        ("C10", "Ten.", "holds"),
    ]
    assert lines[1].evidence == "No statistic that the answer could rest on was run."


def test_a_claim_without_a_statement_is_an_error() -> None:
    with pytest.raises(ValueError, match="C3: no module says what the paper claims"):
        summarise([row("supported", "C3")], STATEMENTS)


def test_evidence_names_the_clearest() -> None:
    rows = [
        row("supported", experiment="vague", margin=1.1),
        row("supported", experiment="clear", margin=9.0, diverged=4),
        row("supported", experiment="sweep", margin=99.0, headline=False),
        row("refuted", experiment="slightly", margin=1.5),
        row("refuted", experiment="badly", margin=np.inf),
        row("undecided", experiment="open"),
        row("undecided", experiment="few", seeds=3),
        row("not run", experiment="later"),
    ]
    assert evidence(rows) == (
        "Clearest support: supported number (clear) is -0.5 [-0.75, -0.25], asked: below 0; 20 seeds, 4 more diverged. "
        "Clearest refutation: refuted number (badly) is -0.5 [-0.75, -0.25], asked: below 0; 20 seeds. "
        "Fewer than 6 usable seeds: few. Not run: later."
    )
    assert tally(asked(rows)) == "2 / 2 / 1"


def test_a_line_says_on_what_it_rests() -> None:
    """Seeds, units of replication, what survivors alone would say, and statistics at matched training loss."""
    rows = [
        row("supported", seeds=8, unit="data sets"),
        row("undecided", experiment="half/order", unit="runs on one data set", diverged=30, survivors="supported"),
        row("supported", unit="data sets", diverged=2, survivors="supported", without_value=3),
        row("refuted", headline=False, beside=MATCHED),
    ]
    (line,) = summarise(rows, {"C1": "One."})
    assert (line.answer, line.counts, line.seeds) == ("holds in part", "2 / 0 / 1", "8 to 20")
    assert line.units == "data sets: 2; runs on one data set: 1"
    assert (line.survivors, line.matched) == ("1 otherwise", "0 / 1 / 0")
    assert "Survivors alone would say otherwise: half/order. At matched training loss: 0 / 1 / 0." in line.evidence
    assert "20 seeds, 2 more diverged, 3 without a value, data sets" in evidence(rows[2:3])
    (plain,) = summarise([row("supported")], {"C1": "One."})
    assert (plain.units, plain.survivors, plain.matched) == ("", "", "")


@pytest.mark.parametrize(
    ("units", "scope"),
    [
        (("runs on one data set",), "for this data set"),
        (("runs on one data set", "runs on one data set", "draws, without data"), "for this data set"),
        (("runs on one data set", "data sets"), ""),
        (("data sets",), ""),
        (("draws, without data",), ""),
        ((), ""),
    ],
)
def test_an_answer_for_one_data_set_says_so(units: tuple[str, ...], scope: str) -> None:
    """In words, wherever it is read; rows that it does not rest on do not count."""
    others = [row("refuted", headline=False, unit="data sets"), row("not run", unit="data sets")]
    lines = summarise([*(row("supported", unit=unit) for unit in units), *others], {"C1": "One."})
    said = f"{lines[0].answer} {scope}".rstrip()
    assert lines[0].scope == scope
    assert summary_table(lines)["scope"].tolist() == [scope]
    assert for_reading(lines)["answer"].tolist() == [said]
    assert f"**{lines[0].answer}** {scope}".rstrip() + "\n" in as_rst(lines)
    assert f"| {said} |" in readme.answers(summary_table(lines))
    assert ("For one data set: 1 of 2." in lines[0].evidence) == (units == ("runs on one data set", "data sets"))


def test_the_report_says_for_what_a_verdict_is(tmp_path: Path) -> None:
    """Beside the verdict of every statistic."""
    units = ("runs on one data set", "data sets", "draws, without data")
    table = command.as_table([row("supported", unit=unit) for unit in units])
    table.to_csv(tmp_path / "claims.csv", index=False)
    shown = tables.verdicts(tables.rows_of(tmp_path / "claims.csv"))
    place = shown.head.index("verdict")
    assert shown.head[place + 1] == "for"
    assert [each[place : place + 2] for each in shown.rows] == [
        ("supported", scope) for scope in ("this data set", "data sets", "draws, without data")
    ]
    assert {shown.head[index] for index in shown.numbers} == {"estimate [95% interval]", "seeds", "diverged"}


def test_the_telling_statistics_have_columns_of_their_own() -> None:
    """With all digits of the table of claims: its row can be found by experiment and statistic."""
    rows = [
        row("supported", "C1", "vague", 1.5),
        row("supported", "C1", "clear", 9.0, estimate=-1 / 3, unit="data sets"),
        row("undecided", "C1", "open"),
        row("supported", "C2", "one"),
        row("undecided", "C10", "open", diverged=4),
    ]
    table = summary_table(summarise(rows, STATEMENTS)).set_index("claim")
    claims = command.as_table([each for each in rows if each.experiment == "clear"])
    for column in ("statistic", "estimate", "low", "high", "criterion", "verdict", "seeds", "diverged", "unit"):
        assert table[f"support {column}"]["C1"] == claims[column][0]
    assert table["objection experiment"].fillna("").tolist() == ["open", "", "open"]
    assert table["support experiment"].fillna("").tolist() == ["clear", "one", ""]
    assert table["objection diverged"]["C10"] == 4
    read = pd.read_csv(StringIO(table.to_csv()), keep_default_na=False)
    assert read["support estimate"].tolist() == [str(-1 / 3), "-0.5", ""]
    assert read["support seeds"].tolist() == ["20", "20", ""]


def test_evidence_names_the_weakest_of_many_supported() -> None:
    rows = [row("supported", experiment=name, margin=margin) for name, margin in (("b", 2.0), ("a", 5.0), ("c", 1.2))]
    text = evidence(rows)
    assert text.index("Clearest support: supported number (a)") < text.index("Weakest support: supported number (c)")
    assert "(b)" not in text
    assert "Weakest" not in evidence(rows[:1])


def test_long_lists_are_cut() -> None:
    text = evidence([row("not run", experiment=name) for name in "abacdefg"])
    assert text == "Not run: a, b, c, d and 3 more."


AWKWARD = "log|β| of `x`_ and *y* [1]_ at a\\b, u_j_"


def page(scale: str, files: list[str]) -> str:
    """The first page of the report as Snakemake renders it, in HTML; anything amiss in it is an error."""
    config = yaml.safe_load((ROOT / "config.yaml").read_text()) | {"scale": scale}
    links = "".join(
        f"\n.. _{name}: javascript:x\n" for name in ("Claims", "Figures", "Tables", "Statistics", "Workflow")
    )
    environment = Environment(trim_blocks=True, lstrip_blocks=True)
    text = environment.from_string((ROOT / "workflow/report/workflow.rst").read_text() + links).render(
        snakemake=SimpleNamespace(config=config),
        files=[SimpleNamespace(path=Path(file)) for file in files],
        categories={},
    )
    strict = {"halt_level": 2, "report_level": 2}
    return str(publish_parts(text, writer="html", settings_overrides=strict)["html_body"])


@pytest.mark.parametrize("scale", ["laptop", "workstation", "paper"])
def test_the_first_page_shows_the_summary(scale: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "results").mkdir()
    lines = [
        Line("C1", AWKWARD, "holds", "for this data set", "99%", "1 / 0 / 0", "20", "", "", "", AWKWARD),
        Line("C2", "Two.", "does not hold", "", "52%", "0 / 1 / 0", "20", "data sets: 1", "", "", "why"),
    ]
    (tmp_path / "results/summary.rst").write_text(as_rst(lines))
    body = page(scale, ["results/claims.csv", "results/summary.csv"])
    assert "Of 2 claims: holds 1, does not hold 1." in body
    assert body.count(AWKWARD) == 2
    assert "<td>52%</td>" in body
    assert "<strong>holds</strong> for this data set" in body
    assert body.index("Which claims hold") < body.index("<strong>does not hold</strong>") < body.index("What is asked")
    assert ("digits_matched" in body) == (scale != "laptop")
    assert "was made without" not in body


def test_the_first_page_says_that_the_summary_is_missing() -> None:
    body = page("laptop", ["results/figures/digits_curves.png"])
    assert "This report was made without" in body


@pytest.mark.parametrize("caption", ["claims", "summary", "scorecard"])
def test_captions_are_well_formed(caption: str) -> None:
    text = (ROOT / f"workflow/report/{caption}.rst").read_text()
    publish_parts(text, writer="html", settings_overrides={"halt_level": 2, "report_level": 2})


@pytest.mark.parametrize(
    ("verdicts", "meaning"),
    [
        ({"supported"}, "all supported"),
        ({"supported", "not run"}, "all supported"),
        ({"supported", "undecided"}, "some supported, others undecided"),
        ({"supported", "refuted"}, "some supported, others refuted"),
        ({"supported", "refuted", "undecided", "not run"}, "some supported, others refuted"),
        ({"refuted", "undecided"}, "some refuted, others undecided"),
        ({"not run"}, "nothing measured"),
        ({"supported", "not asked"}, "all supported"),
    ],
)
def test_marks(verdicts: set[str], meaning: str) -> None:
    assert scorecard.mark(verdicts)[0] == meaning


def card() -> Figure:
    claims = pd.DataFrame(
        [
            ("C10", "late/order", "supported"),
            ("C1", "early/order", "supported"),
            ("C1", "early/data", "refuted"),
            ("C1", "never", "not run"),
            ("C2", "late/order", "not run"),
        ],
        columns=["claim", "experiment", "verdict"],
    )
    lines = [
        ("C1", "One.", "holds in part", "for this data set"),
        ("C2", "Two.", "not run", ""),
        ("C10", "T" * 30, "holds", ""),
    ]
    return scorecard.draw(claims, pd.DataFrame(lines, columns=COLUMNS[:4]))


def test_scorecard_has_a_row_per_claim_and_a_column_per_experiment() -> None:
    figure = card()
    statements, ax = figure.axes[:2]
    assert [text.get_text() for text in ax.get_xticklabels()] == ["early", "late"]
    assert [text.get_text() for text in statements.texts] == ["C1", "One.", "C2", "Two.", "C10", "T" * 30]
    drawn = {(line.get_xdata()[0], line.get_ydata()[0]): line.get_marker() for line in ax.lines}
    assert drawn == {(0, 0): "D", (1, 1): "_", (1, 2): "o"}
    words = [" ".join(text.get_text().split()) for text in figure.findobj(Text)]
    assert any(text.endswith("Not run: 1 of 3 experiments and studies (claims.csv).") for text in words)
    assert {"holds", "holds in part †", "not run"} <= set(words)
    assert any("(summary.csv); † for this data set. Not run" in text for text in words)


def test_scorecard_fits_its_page(tmp_path: Path) -> None:
    figure = card()
    style.save(figure, tmp_path / "a.png", tmp_path / "a.pdf")
    with style.house():
        figure.canvas.draw()
        width, height = figure.canvas.get_width_height()
        for text in figure.findobj(Text):
            if text.get_visible() and text.get_text():
                box = text.get_window_extent()
                assert min(box.x0, box.y0) >= -1, text.get_text()
                assert max(box.x1 - width, box.y1 - height) <= 1, text.get_text()


def test_an_unreadable_table_is_one_line(tmp_path: Path) -> None:
    empty = tmp_path / "claims.csv"
    empty.write_text("")
    with pytest.raises(StoreError, match=r"claims\.csv: is not a readable table"):
        scorecard._read(empty, {"claim"})
