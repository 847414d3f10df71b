"""How often the answer for a claim recurs when the seeds are drawn anew.

The seeds of every experiment or study are drawn with replacement `SAMPLES` times, those of diverged runs among them.
Every headline statistic takes its values from the seeds that were drawn, all statistics of one experiment from the same
ones, and all are decided anew, with `RESAMPLES` instead of `verdict.RESAMPLES` resamples within.
An answer that recurs in half of the samples says little; that does not make another answer right.
"""

from __future__ import annotations

import dataclasses
import zlib
from collections import Counter
from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from largestep.claims.summary import Conclusion, Line, conclude
from largestep.claims.verdict import Measured, Row, decide_samples

SAMPLES, RESAMPLES = 400, 4000


def with_recurrence(lines: list[Line], measured: Iterable[Measured]) -> list[Line]:
    """The summary with how often each answer recurs, in percent; nothing where it rests on no statistic."""
    shares = recurrences(measured, {line.claim: line.answer for line in lines})
    said = {claim: f"{100.0 * share:.0f}%" for claim, share in shares.items()}
    return [dataclasses.replace(line, recurs=said.get(line.claim, "") if line.seeds else "") for line in lines]


def recurrences(measured: Iterable[Measured], answers: Mapping[str, Conclusion]) -> dict[str, float]:
    """The share of samples of the seeds that give the same answer, by claim; claims without a statistic are left out.

    answers: by claim, those of the seeds that were run.
    """
    headlines = [each for each in measured if each.headline]
    drawn = [_drawn(each) for each in headlines]
    samples = [
        [_again(each, indices[sample]) for each, indices in zip(headlines, drawn, strict=True)]
        for sample in range(SAMPLES)
    ]
    same: Counter[str] = Counter()
    for rows in decide_samples(samples, RESAMPLES):
        same.update(claim for claim, own in _by_claim(rows).items() if conclude(own) == answers[claim])
    return {claim: same[claim] / SAMPLES for claim in dict.fromkeys(each.claim for each in headlines)}


def _drawn(each: Measured) -> NDArray[np.int64]:
    """Which of its seeds every sample takes, (SAMPLES, seeds)."""
    source, seeds = each.experiment.partition("/")[0], len(each.values)
    generator = np.random.default_rng([zlib.crc32(source.encode()), seeds])
    return generator.integers(seeds, size=(SAMPLES, seeds)) if seeds else np.empty((SAMPLES, 0), dtype=np.int64)


def _again(each: Measured, indices: NDArray[np.int64]) -> Measured:
    worst = None if each.worst is None else each.worst[indices]
    return dataclasses.replace(each, values=each.values[indices], diverged=each.lost[indices], worst=worst)


def _by_claim(rows: list[Row]) -> dict[str, list[Row]]:
    by_claim: dict[str, list[Row]] = {}
    for row in rows:
        by_claim.setdefault(row.claim, []).append(row)
    return by_claim
