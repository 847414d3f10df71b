"""Every claim against every experiment and study: which of its statistics were supported, refuted or undecided."""

from __future__ import annotations

from pathlib import Path
from textwrap import fill
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from largestep.cli import existing, parser, run
from largestep.figures import style
from largestep.store import RefusedError

# Blue and vermilion of Okabe and Ito; the shapes differ too.
FOR, AGAINST, NEITHER = style.ALGORITHMS["sgd"][1], style.ALGORITHMS["catapult"][1], style.CONSTANT
# By the verdicts found among the statistics of a cell: what they come to, and its symbol.
MARKS: dict[frozenset[str], tuple[str, dict[str, Any]]] = {
    frozenset({"supported"}): ("all supported", {"marker": "o", "color": FOR}),
    frozenset({"supported", "undecided"}): (
        "some supported, others undecided",
        {"marker": "o", "color": FOR, "markerfacecoloralt": "white", "fillstyle": "left"},
    ),
    frozenset({"supported", "refuted"}): (
        "some supported, others refuted",
        {"marker": "D", "color": FOR, "markeredgecolor": "black", "markerfacecoloralt": AGAINST, "fillstyle": "left"},
    ),
    frozenset({"refuted"}): ("all refuted", {"marker": "X", "color": AGAINST}),
    frozenset({"refuted", "undecided"}): (
        "some refuted, others undecided",
        {"marker": "X", "color": AGAINST, "markerfacecoloralt": "white", "fillstyle": "left"},
    ),
    frozenset({"undecided"}): ("undecided", {"marker": "o", "color": NEITHER, "markerfacecolor": "white"}),
    frozenset({"not asked"}): ("nothing measured", {"marker": "_", "color": NEITHER}),
}
ROW_HEIGHT = 0.27
MARGINS = 1.9
# Characters of a line of what the paper claims, of which there are at most two.
STATEMENT = 61
# What the paper claims, beside the symbols.
WIDTHS = (2.75, 3.35)
# Of an answer that has a scope.
DAGGER = " †"
NOTE = (
    "A symbol sums up all statistics of a claim in one experiment or study, at every threshold and in both arms; the "
    "answer on the right rests on the headline statistics alone (summary.csv)"
)


def main() -> None:
    """Read the table of claims and the summary and draw them."""
    arguments = parser("figures.scorecard", __doc__)
    arguments.add_argument("--claims", required=True, type=existing, help="results/claims.csv")
    arguments.add_argument("--summary", required=True, type=existing, help="results/summary.csv")
    arguments.add_argument("--png", required=True, type=Path, help="picture to write")
    arguments.add_argument("--pdf", required=True, type=Path, help="the same for print")
    options = arguments.parse_args()
    claims = _read(options.claims, {"claim", "experiment", "verdict"})
    summary = _read(options.summary, {"claim", "what the paper claims", "answer", "scope"})
    style.save(draw(claims, summary), options.png, options.pdf)


@style.house()
def draw(claims: pd.DataFrame, summary: pd.DataFrame) -> Figure:
    """One row per claim of the summary, one column per experiment or study that was run.

    claims, summary: as in `results/claims.csv` and `results/summary.csv`.
    """
    claims = claims.assign(experiment=claims["experiment"].str.split("/").str[0])
    cells = claims.groupby(["claim", "experiment"])["verdict"].agg(set)
    columns = _columns(claims)
    figure = Figure(figsize=(style.TEXT_WIDTH, MARGINS + ROW_HEIGHT * len(summary)))
    words, ax = figure.subplots(1, 2, sharey=True, width_ratios=WIDTHS)
    for y, claim in enumerate(summary["claim"]):
        for x, name in enumerate(columns):
            if (claim, name) in cells.index:
                ax.plot(x, y, linestyle="none", markersize=5.0, **mark(cells[claim, name])[1])
    _statements(words, summary)
    _axes(ax, columns, summary)
    entries = [Line2D([], [], linestyle="none", markersize=5.0, label=text, **drawn) for text, drawn in MARKS.values()]
    style.key(figure, entries, "Statistics of the claim in this experiment or study", columns=3)
    asked = claims["experiment"].nunique()
    absent = asked - len(columns)
    scopes = "".join(f";{DAGGER} {scope}" for scope in dict.fromkeys(summary["scope"]) if scope)
    text = f"{NOTE}{scopes}." + (
        f" Not run: {absent} of {asked} experiments and studies (claims.csv)." if absent else ""
    )
    figure.supxlabel(fill(text, style.WHOLE_PAGE), fontsize=style.RC["font.size"], color="#404040", x=0.01, ha="left")
    return figure


def mark(verdicts: set[str]) -> tuple[str, dict[str, Any]]:
    """What the verdicts of several statistics come to, in words and as a symbol; those not measured only alone."""
    decided = frozenset(verdicts - {"not run", "not asked"}) or frozenset({"not asked"})
    if {"supported", "refuted"} <= decided:
        decided -= {"undecided"}
    return MARKS[decided]


def _columns(claims: pd.DataFrame) -> list[str]:
    """What was run, in the order of the first claim that asks it."""
    order = claims.assign(number=claims["claim"].str.removeprefix("C").astype(int))
    ran = order[order["verdict"] != "not run"].sort_values("number", kind="stable")
    return list(dict.fromkeys(ran["experiment"]))


def _statements(ax: Axes, summary: pd.DataFrame) -> None:
    ax.set_axis_off()
    for y, (claim, text) in enumerate(zip(summary["claim"], summary["what the paper claims"], strict=True)):
        ax.text(0.0, y, claim, va="center", fontsize=6.5)
        shown = fill(text, STATEMENT, max_lines=2, placeholder=" …")
        ax.text(0.1, y, shown, va="center", fontsize=6.0)


def _axes(ax: Axes, columns: list[str], summary: pd.DataFrame) -> None:
    ax.set_yticks(range(len(summary)))
    ax.tick_params(axis="y", labelleft=False)
    ax.set_xticks(range(len(columns)), columns, rotation=90, fontsize=6.0)
    ax.set_xlim(-0.6, max(len(columns), 1) - 0.4)
    ax.set_ylim(len(summary) - 0.4, -0.6)
    ax.tick_params(length=0)
    answers = ax.secondary_yaxis("right")
    said = [
        answer + (DAGGER if scope else "") for answer, scope in zip(summary["answer"], summary["scope"], strict=True)
    ]
    answers.set_yticks(range(len(summary)), said, fontsize=6.5)
    answers.tick_params(length=0)
    answers.spines["right"].set_visible(False)


def _read(path: Path, needed: set[str]) -> pd.DataFrame:
    try:
        table = pd.read_csv(path, keep_default_na=False)
    except ValueError as error:
        raise RefusedError(path, "is not a readable table", " ".join(str(error).split())) from error
    if missing := sorted(needed - set(table.columns)):
        raise RefusedError(path, f"has no column {missing[0]}")
    return table


if __name__ == "__main__":
    run(main)
