"""Write the answers into README.md, from results/summary.csv: a table between two markers, nothing by hand."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pandas as pd

from largestep import store
from largestep.claims.summary import SYMBOLS
from largestep.cli import existing, parser, run

BEGIN, END = "<!-- answers: make readme -->", "<!-- end of answers -->"
COLUMNS = ["claim", "what the paper claims", "answer", "scope", "recurs"]


def main() -> None:
    """Read the summary and put its answers into the page."""
    arguments = parser("claims.readme", __doc__)
    arguments.add_argument("--summary", type=existing, default=Path("results/summary.csv"), help="one line per claim")
    arguments.add_argument("--readme", type=existing, default=Path("README.md"), help="page with the two markers")
    options = arguments.parse_args()
    page = options.readme.read_text(encoding="utf-8")
    try:
        summary = pd.read_csv(options.summary, keep_default_na=False)[COLUMNS]
    except (KeyError, ValueError) as error:
        raise store.StoreError(f"{options.summary}: is no summary of claims: {error}; run snakemake again") from error
    if not page.count(BEGIN) == page.count(END) == 1 or page.index(BEGIN) > page.index(END):
        raise store.StoreError(f"{options.readme}: needs the lines {BEGIN} and {END}, once each and in this order")
    written = f"{page.partition(BEGIN)[0]}{BEGIN}\n{answers(summary)}\n{END}{page.partition(END)[2]}"
    store.write_text(options.readme, written)


def answers(summary: pd.DataFrame) -> str:
    """How many claims got which answer, and a line for each of them. summary: of `COLUMNS`, all texts."""
    counts = Counter(summary["answer"])
    said = ", ".join(f"{answer} {counts[answer]}" for answer in SYMBOLS if counts[answer])
    lines = [f"Of {len(summary)} claims: {said}.", "", "| | what is claimed | answer | recurs |", "|---|---|---|---|"]
    lines += [
        f"| {claim} | {statement} | {f'{answer} {scope}'.rstrip()} | {recurs} |"
        for claim, statement, answer, scope, recurs in summary[COLUMNS].itertuples(index=False, name=None)
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    run(main)
