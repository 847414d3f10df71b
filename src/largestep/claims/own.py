"""What a user's own networks and images do to the answers, which rest on them too where a claim asks them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence

from largestep.claims.summary import UNMEASURED, Line, asked
from largestep.claims.verdict import Row


def with_own(lines: Iterable[Line], rows: Iterable[Row], own: Sequence[str], others: Sequence[Line]) -> list[Line]:
    """The summary, whose evidence says of a claim that rests on them what its answer is without them.

    own: names of experiments and studies. others: the summary of a run without these.
    """
    headlines = [row for row in rows if row.headline and row.verdict not in UNMEASURED]
    told = []
    for line, other in zip(lines, others, strict=True):
        of_claim = [row for row in headlines if row.claim == line.claim]
        counted = [_source(row) for row in asked(of_claim)]
        theirs = [name for name in own if name in map(_source, of_claim)]
        if theirs or line.verdict != other.verdict:
            names = f" ({', '.join(theirs)})" if theirs else ""
            share = f"are {sum(name in theirs for name in counted)} of its {len(counted)} headlines"
            share = share if counted else "leave no headline that counts"
            said = f"Your own networks or images{names} {share}; without these: {other.verdict}."
            line = dataclasses.replace(line, evidence=f"{line.evidence} {said}")
        told.append(line)
    return told


def _source(row: Row) -> str:
    """The experiment or study of a row, without its arm or run."""
    return row.experiment.partition("/")[0]
