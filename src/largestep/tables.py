"""Final values of every measure of one experiment, over the seeds, beside the values that the paper reports."""

from __future__ import annotations

import itertools
import re
from collections.abc import Hashable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray
from scipy.stats import bootstrap

from largestep import store
from largestep.cli import existing, parser, run
from largestep.figures.labels import ARMS, DEAD, schedules
from largestep.measures.outcomes import dead, has_negative, survived
from largestep.registered import Row, measures
from largestep.threshold_sweep import paper_first

THRESHOLDS = {
    "rank_threshold": "above {:g} of the largest",
    "l0_threshold": "above {:g}",
    "correlation_threshold": "correlation {:g}",
}
TIMES = ("step", "snapshot_step")
RESAMPLES = 9999
MISSING = "–"
LATEX = {character: f"\\{character}" for character in "%_&#${}"}
LATEX |= {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "–": "--", "η": r"$\eta$"}
LATEX |= {"<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", "`": r"\textasciigrave{}"}
# Characters of Markdown's own, among them the dollar of formulas.
MARKDOWN = frozenset("\\`*_{}[]<>#|$~^&")
SHOWN = ["median", "interval_low", "interval_high", "published"]
HEADER = ("measure", "unit", "schedule", "median [95% interval]", "runs", "diverged", "dead", "paper")
ALIGNMENT = ("left",) * 3 + ("right",) * 5
NOTE = (
    f"Final values: median over the runs that did not diverge, with its 95% bootstrap interval (percentile method, "
    f"{RESAMPLES} resamples of these runs). {DEAD} Medians and intervals include dead runs. "
    "Dead units, in any run: no example activates them. A block that has negative values is no output of a ReLU: none "
    "of its units is dead or active, and its feature sparsity is the share of units that are distinct. "
    "Where feature sparsity is that of a sample of a block's units, its standard error by their draw has rows of its "
    "own, 0 where all are looked at; intervals over seeds leave it out, as all runs share one draw. "
    "The paper's value is that of a single run, at the first threshold listed. "
    "The last measures are those of the loss in the large-step phase and of its fall, a decade being a factor of ten; "
    "a number of runs behind a median counts those whose loss stabilises, where these are not all."
)


def main() -> None:
    """Read one experiment of the aggregate and write its table in three formats."""
    arguments = parser("tables", __doc__)
    arguments.add_argument("--experiment", required=True, help="group of the aggregate, an experiment of config.yaml")
    arguments.add_argument("--input", required=True, type=existing, help="results/largestep.nc")
    arguments.add_argument("--csv", required=True, type=Path, help="table to write for programs")
    arguments.add_argument("--md", required=True, type=Path, help="table to write in Markdown")
    arguments.add_argument("--tex", required=True, type=Path, help="table to write in LaTeX")
    options = arguments.parse_args()
    experiment = store.read_group(options.input, options.experiment)
    rows = table(experiment)
    title, training = experiment.attrs["title"], experiment.attrs["training"]
    store.write_text(options.csv, rows.to_csv(index=False, lineterminator="\n"))
    store.write_text(options.md, markdown(rows, title, training))
    store.write_text(options.tex, latex(rows, title, training))


def table(experiment: xr.Dataset) -> pd.DataFrame:
    """One row for every arm, measure, block, threshold and cell, in this order; values in the units of the store.

    seeds counts the runs, diverged those of them that diverged, dead those of the others that end with a block no
    training example activates, and measured those that have a value. Where that is none there is no median, and
    where it is one there is no interval.
    """
    names = [name for name in rows_of() if name in experiment]
    rows = [row for arm in experiment["arm"].values for name in names for row in _rows(experiment, name, str(arm))]
    return pd.DataFrame(rows).astype({"block": "Int64"})


def rows_of() -> dict[str, Row]:
    """The measures that tables list, and what they are called; units for readers: shares are shown in percent."""
    return {name: measure.row for name, measure in measures().items() if measure.row}


def _rows(experiment: xr.Dataset, name: str, arm: str) -> Iterator[dict[str, Any]]:
    """The rows of one measure: for every block and threshold that it has, one per cell that has the measure."""
    cells = schedules(experiment)
    values = paper_first(experiment[name]).sel(arm=arm)
    time = next((dim for dim in TIMES if dim in values.dims), None)
    if rows_of()[name].phase:
        cells = [schedule for schedule in cells if schedule.decay_fraction > 0]
    elif time:
        values = values.isel({time: -1})
    alive, died = survived(experiment).sel(arm=arm), dead(experiment).sel(arm=arm)
    reported, negative = _published(experiment, name), has_negative(experiment)
    for place in np.ndindex(values.shape[2:]):
        where = dict(zip(values.dims[2:], place, strict=True))
        threshold = next((dim for dim in where if dim in THRESHOLDS), None)
        for schedule in cells:
            lasted = alive.sel(cell=schedule.cell).values
            final = values.sel(cell=schedule.cell).isel(where).values[lasted]
            final = final[np.isfinite(final)]
            low, high = interval(final)
            paper = reported.sel(cell=schedule.cell).isel(where, missing_dims="ignore")
            block = int(values["block"][where["block"]]) if "block" in where else None
            yield {
                "arm": arm,
                "measure": name,
                "block": block,
                "negative_values": block in negative,
                "threshold_kind": threshold,
                "threshold": float(values[threshold][where[threshold]]) if threshold else np.nan,
                "cell": schedule.cell,
                "schedule": schedule.label,
                "units": values.attrs["units"],
                "median": np.median(final) if len(final) else np.nan,
                "interval_low": low,
                "interval_high": high,
                "seeds": values.sizes["seed"],
                "diverged": int((~lasted).sum()),
                "dead": int(died.sel(cell=schedule.cell).sum()),
                "measured": len(final),
                "published": float(paper) if threshold is None or where[threshold] == 0 else np.nan,
            }


def _published(experiment: xr.Dataset, name: str) -> xr.DataArray:
    """What the paper reports of a measure, of dimension cell and perhaps block; NaN where it reports nothing."""
    if f"published_{name}" not in experiment:
        return xr.full_like(experiment["decay_fraction"], np.nan)
    return experiment[f"published_{name}"]


def interval(values: NDArray[np.float64]) -> tuple[float, float]:
    """95% bootstrap interval of the median; NaN for fewer than two values.

    By the percentile method: the median is not smooth enough for the acceleration that BCa estimates.
    """
    if len(values) < 2:
        return np.nan, np.nan
    resampled = bootstrap(
        (values,), np.median, n_resamples=RESAMPLES, method="percentile", rng=np.random.default_rng(0)
    )
    return float(resampled.confidence_interval.low), float(resampled.confidence_interval.high)


def markdown(rows: pd.DataFrame, title: str, training: str) -> str:
    """The table for readers in Markdown, one part per arm; training: how the runs were, by the keys of config.yaml."""
    parts = [f"# {_plain(title)}", f"Training: {training}.", NOTE]
    for arm, part in rows.groupby("arm", sort=False):
        cells = pd.DataFrame(map(_cells, part.to_dict("records")), columns=HEADER)
        parts += [f"## {ARMS[str(arm)]}", cells.to_markdown(index=False, disable_numparse=True, colalign=ALIGNMENT)]
    return "\n\n".join(parts) + "\n"


def _plain(text: str) -> str:
    """A text in one line of Markdown that shows it as it is."""
    return "".join(f"\\{letter}" if letter in MARKDOWN else letter for letter in " ".join(text.split()))


def latex(rows: pd.DataFrame, title: str, training: str) -> str:
    """The same in LaTeX: one longtable per arm, with a heading per measure in place of its first two columns."""
    parts = ["% Needs \\usepackage{booktabs,longtable}."]
    head = " & ".join(_escape(name) for name in HEADER[2:])
    for arm, part in rows.groupby("arm", sort=False):
        caption = _escape(f"{title}. {ARMS[str(arm)]}. Training: {training}. {NOTE}")
        parts += [
            "\\begingroup\\footnotesize",
            "\\begin{longtable}{lrrrrr}",
            f"\\caption{{{caption}}}\\\\",
            f"\\toprule\n{head} \\\\\n\\midrule\n\\endfirsthead",
            f"\\toprule\n{head} \\\\\n\\midrule\n\\endhead",
            "\\bottomrule\n\\endfoot",
        ]
        for (measure, unit), cells in itertools.groupby(map(_cells, part.to_dict("records")), key=lambda row: row[:2]):
            heading = f"{measure} ({unit})" if unit != "1" else measure
            # The star keeps a heading on the page of its rows.
            parts.append(f"\\addlinespace\n\\multicolumn{{6}}{{l}}{{\\emph{{{_escape(heading)}}}}} \\\\*")
            parts += [" & ".join(map(_escape, row[2:])) + " \\\\" for row in cells]
        parts.append("\\end{longtable}\\endgroup")
    return "\n".join(parts) + "\n"


def _cells(row: Mapping[Hashable, Any]) -> tuple[str, ...]:
    """One row of the table as readers see it, in the order of `HEADER`."""
    declared = rows_of()[str(row["measure"])]
    unit, measure = declared.unit, declared.title
    factor = 100.0 if unit == "%" and row["units"] == "1" else 1.0
    median, low, high, paper = (_number(factor * row[name]) for name in SHOWN)
    if not pd.isna(row["block"]):
        measure += f", block {row['block']}"
    if row["negative_values"]:
        measure += " (has negative values)"
    if not pd.isna(row["threshold"]):
        measure += f", {THRESHOLDS[row['threshold_kind']].format(row['threshold'])}"
    shown = median if low == MISSING else f"{median} [{low}, {high}]"
    if 0 < row["measured"] < row["seeds"] - row["diverged"]:
        shown += f", {row['measured']} runs"
    counts = (str(row[name]) for name in ("seeds", "diverged", "dead"))
    return measure, unit, row["schedule"], shown, *counts, paper


def _number(value: float) -> str:
    """Three significant digits; a dash for no value."""
    if np.isnan(value):
        return MISSING
    return f"{value:.0f}" if 1e3 <= abs(value) < 1e6 else f"{value:.3g}"


def _escape(text: str) -> str:
    """Text as LaTeX; powers of ten as such, and no character that its default fonts lack."""
    text = "".join(LATEX.get(character, character) for character in " ".join(text.split()))
    return re.sub(r"(\d(?:\.\d+)?)e([+-]\d+)", lambda m: rf"${m[1]} \times 10^{{{int(m[2])}}}$", text)


if __name__ == "__main__":
    run(main)
