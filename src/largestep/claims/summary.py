"""The answers in short: one line per claim, for a reader with two minutes.

An answer rests on the claim's headline statistics, without those that were not run or have too few seeds for a
verdict. The claim *holds* if all of them are supported, and *mostly holds* if three quarters are and none is refuted;
it *does not hold* if more of them are refuted than supported; the evidence is *mixed* if some are refuted otherwise;
the claim *holds in part* if fewer are supported and none is refuted; and it is *undecided* if none is supported or
refuted. It is undecided too if all have too few seeds, and *not run* if there is no headline statistic at all.
An answer whose statistics all rest on one data set for each experiment is one *for this data set*.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from largestep.claims.verdict import FEWEST_SEEDS, Row
from largestep.config.studies.base import NO_DATA, ONE_DATA_SET

Conclusion = Literal["holds", "mostly holds", "holds in part", "mixed", "does not hold", "undecided", "not run"]
MOSTLY = 0.75
# A symbol beside each word, so that the column can be skimmed.
SYMBOLS: dict[Conclusion, str] = {
    "holds": "●",
    "mostly holds": "◕",
    "holds in part": "◔",
    "mixed": "◑",
    "does not hold": "✕",
    "undecided": "○",
    "not run": "–",
}
UNMEASURED = ("not run", "not asked")
HEADINGS = (
    "claim",
    "what the paper claims",
    "answer",
    "recurs",
    "supported / refuted / undecided",
    "seeds",
    "replicated over",
    "survivors alone",
    "matched loss",
    "evidence",
)
# What an answer is for if no seed of its statistics has a data set of its own.
THIS_DATA_SET = "for this data set"
# Of the page, which leaves to the evidence what the table has in columns of its own.
WIDTHS = (5, 25, 13, 7, 11, 46)
# Headings under which a claim counts statistics that its answer does not rest on.
MATCHED, PUBLISHED = "At matched training loss", "On the paper's own schedules"
# How the statistics end that ask the same of rescaled units.
RESCALED = ", units rescaled"
# How the evidence calls the statistic that speaks least for the claim, by its verdict.
OBJECTIONS = {
    "refuted": "Clearest refutation",
    "undecided": "Undecided, for one",
    "supported": "Weakest support",
}
# Experiments named in a sentence; the others are counted.
MOST_NAMES = 4


@dataclass(frozen=True)
class Line:
    """One claim: what the paper says, the answer, its scope if that is one data set, in how many samples of the seeds
    it recurs (see `recurrence`), how many statistics it rests on say what, on how many seeds they rest, of what, how
    many say otherwise among the survivors alone, what those at matched training loss say if it has any, and the
    evidence. support, objection: the statistics that speak for it most clearly, and least (`telling`).
    """

    claim: str
    statement: str
    answer: Conclusion
    scope: str
    recurs: str
    counts: str
    seeds: str
    units: str
    survivors: str
    matched: str
    evidence: str
    support: Row | None = None
    objection: Row | None = None

    @property
    def verdict(self) -> str:
        """The answer with what it is for."""
        return f"{self.answer} {self.scope}".rstrip()


def summarise(rows: Iterable[Row], statements: Mapping[str, str]) -> list[Line]:
    """One line per claim of `statements`, from id to sentence, in the order of their numbers.

    Raises ValueError when there are rows of a claim that has no statement.
    """
    by_claim: dict[str, list[Row]] = {claim: [] for claim in sorted(statements, key=number)}
    for row in rows:
        if row.claim not in by_claim:
            raise ValueError(f"{row.claim}: no module says what the paper claims")
        by_claim[row.claim].append(row)
    return [_line(claim, statements[claim], own) for claim, own in by_claim.items()]


def _line(claim: str, statement: str, own: list[Row]) -> Line:
    counted = asked(own)
    numbers, units = [row.seeds for row in counted], Counter(row.unit for row in counted if row.unit)
    support, objection = telling(counted)
    return Line(
        claim,
        statement,
        conclude(own),
        scope(counted),
        "",
        tally(counted),
        _range(numbers),
        "; ".join(f"{unit}: {count}" for unit, count in units.most_common()),
        f"{len(differing(counted))} otherwise" if any(row.survivors for row in counted) else "",
        tally([row for row in own if row.beside == MATCHED]) if any(row.beside == MATCHED for row in own) else "",
        evidence(own),
        support,
        objection,
    )


def number(claim: str) -> int:
    """The number in the id of a claim: 13 for C13."""
    return int(claim.removeprefix("C"))


def conclude(rows: list[Row]) -> Conclusion:
    """The answer for a claim, by the rules at the top of this module."""
    counts = Counter(row.verdict for row in asked(rows))
    if not counts:
        return "undecided" if _too_few_seeds(rows) else "not run"
    if counts["supported"] == counts.total():
        return "holds"
    if counts["refuted"] > counts["supported"]:
        return "does not hold"
    if counts["refuted"]:
        return "mixed"
    if counts["supported"] >= MOSTLY * counts.total():
        return "mostly holds"
    return "holds in part" if counts["supported"] else "undecided"


def scope(rows: list[Row]) -> str:
    """`THIS_DATA_SET` if these statistics all rest on one data set, those that have data; else nothing."""
    return THIS_DATA_SET if {row.unit for row in rows} - {NO_DATA} == {ONE_DATA_SET} else ""


def tally(rows: list[Row]) -> str:
    """How many of these statistics are supported, refuted and undecided."""
    counts = Counter(row.verdict for row in rows)
    return f"{counts['supported']} / {counts['refuted']} / {counts['undecided']}"


def asked(rows: list[Row]) -> list[Row]:
    """The statistics that the answer rests on: headlines with enough seeds."""
    return [row for row in rows if row.headline and row.verdict not in UNMEASURED and row.seeds >= FEWEST_SEEDS]


def evidence(rows: list[Row]) -> str:
    """The most telling of the headline statistics, and what could not be asked."""
    said = []
    counted = asked(rows)
    if counted:
        support, objection = telling(counted)
        said += [f"Clearest support: {describe(support)}."] if support else []
        said += [f"{OBJECTIONS[objection.verdict]}: {describe(objection)}."] if objection else []
        one = sum(row.unit == ONE_DATA_SET for row in counted)
        said += [f"For one data set: {one} of {len(counted)}."] if one and not scope(counted) else []
    if changed := differing(counted):
        said.append(f"Survivors alone would say otherwise: {_names(changed)}.")
    for beside in dict.fromkeys(row.beside for row in rows if row.beside):
        said.append(f"{beside}: {tally([row for row in rows if row.beside == beside])}.")
    if said_of_scale := rescaling(rows):
        said.append(said_of_scale)
    few = _too_few_seeds(rows)
    if few:
        said.append(f"Fewer than {FEWEST_SEEDS} usable seeds: {_names(few)}.")
    for verdict in UNMEASURED:
        absent = [row for row in rows if row.verdict == verdict]
        if absent:
            said.append(f"{verdict.capitalize()}: {_names(absent)}.")
    return " ".join(said) or "No statistic that the answer could rest on was run."


def describe(row: Row) -> str:
    """One statistic in words: estimate, interval, criterion and seeds."""
    lost = f", {row.diverged} more diverged" if row.diverged else ""
    lost += f", {row.without_value} without a value" if row.without_value else ""
    lost += f", {row.unit}" if row.unit else ""
    return (
        f"{row.statistic} ({row.experiment}) is {row.estimate:.3g} [{row.low:.3g}, {row.high:.3g}], "
        f"asked: {row.criterion}; {row.seeds} seeds{lost}"
    )


def rescaling(rows: list[Row]) -> str:
    """What the statistics with rescaled units say, beside the same ones without, and whose verdict moves."""
    plain = {(row.experiment, row.statistic): row for row in rows}
    pairs = [
        (plain[key], row)
        for row in rows
        if RESCALED in row.statistic and (key := (row.experiment, row.statistic.replace(RESCALED, ""))) in plain
    ]
    if not pairs:
        return ""
    before, after = ([pair[place] for pair in pairs] for place in (0, 1))
    moved = [row for one, row in pairs if one.verdict != row.verdict]
    where = f", moved: {len(moved)} ({_names(moved)})" if moved else ", none moved"
    return f"With units rescaled {tally(after)} where it is {tally(before)} without{where}."


def differing(rows: list[Row]) -> list[Row]:
    """Those whose verdict would be another one among the seeds that did not diverge alone."""
    return [row for row in rows if row.survivors not in ("", row.verdict)]


def in_a_sentence(lines: list[Line]) -> str:
    """How many claims got which answer."""
    counts = Counter(line.answer for line in lines)
    said = [f"{answer} {counts[answer]}" for answer in SYMBOLS if counts[answer]]
    return f"Of {len(lines)} claims: {', '.join(said)}."


def as_rst(lines: list[Line]) -> str:
    """The summary in reStructuredText, a sentence and a table, for the first page of the report."""
    cells = [(*HEADINGS[:5], HEADINGS[-1])]
    cells += [
        (
            line.claim,
            _plain(line.statement),
            f"{SYMBOLS[line.answer]} **{line.answer}** {line.scope}".rstrip(),
            line.recurs,
            line.counts,
            _plain(line.evidence),
        )
        for line in lines
    ]
    body = "\n".join("   * - " + "\n     - ".join(row) for row in cells)
    widths = " ".join(map(str, WIDTHS))
    return f"{in_a_sentence(lines)}\n\n.. list-table::\n   :header-rows: 1\n   :widths: {widths}\n\n{body}\n"


def telling(rows: list[Row]) -> tuple[Row | None, Row | None]:
    """The clearest support, and the clearest refutation, or else an undecided statistic or the weakest support.

    A statistic is the clearer, the more half-widths of its interval lie between it and its criterion. None where there
    is no support, and where there is no other statistic than it.
    """
    by_verdict: dict[str, list[Row]] = {"supported": [], "refuted": [], "undecided": []}
    for row in rows:
        by_verdict[row.verdict].append(row)
    supported, refuted, undecided = (sorted(own, key=lambda row: -row.margin) for own in by_verdict.values())
    objections = refuted or undecided or supported[:0:-1]
    return next(iter(supported), None), next(iter(objections), None)


def _too_few_seeds(rows: list[Row]) -> list[Row]:
    return [row for row in rows if row.headline and row.verdict not in UNMEASURED and row.seeds < FEWEST_SEEDS]


def _range(numbers: list[int]) -> str:
    if not numbers:
        return ""
    return f"{min(numbers)}" if min(numbers) == max(numbers) else f"{min(numbers)} to {max(numbers)}"


def _names(rows: list[Row]) -> str:
    names = list(dict.fromkeys(row.experiment for row in rows))
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    return ", ".join(names[:MOST_NAMES]) + more


def _plain(text: str) -> str:
    """Text in which reStructuredText sees no markup."""
    return re.sub(r"([\\*`|_\[\]])", r"\\\1", text)
