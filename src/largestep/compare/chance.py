"""Which of many statistics differ between two runs beyond chance: a randomisation test of the largest difference.

Where nothing differs, what a seed gave in the reference and what it gave in the run could as well be exchanged: if both
took the same draws, and if they did not. A statistic is compared by the differences of ranks within seeds, so that no
law is assumed and, of the same draws, small differences show. It differs when exchanging the two at random, seed by
seed, gives as large a difference anywhere at most 5 times in 100, so that the chance of a false alarm in the whole
comparison is 5% (Westfall and Young 1993, single-step maximum). A seed is exchanged in all statistics at once, which
keeps their dependence.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm, rankdata

Values = NDArray[np.float64]
LEVEL = 0.05
EXCHANGES = 3999
# Of memory for what is exchanged.
STATISTICS_AT_ONCE = 64


@dataclass(frozen=True)
class Difference:
    """How one statistic of the run differs from the reference's.

    p: corrected for all statistics that were compared. higher: the share of pairs, of any seed of the run and any of
    the reference, in which the run's value is higher, ties counted half; 0.5 where nothing can be compared.
    """

    p: float
    higher: float


def differences(pairs: Sequence[tuple[Values, Values]]) -> list[Difference]:
    """Each pair is a statistic in the reference and in the run, a value for each seed, NaN where there is none.

    Seeds that only one of them has, or that have no value in one, are left out.
    """
    observed, higher = np.zeros(len(pairs)), np.full(len(pairs), 0.5)
    largest = np.zeros(EXCHANGES)
    alike: dict[int, list[int]] = {}
    for index, pair in enumerate(pairs):
        alike.setdefault(min(map(len, pair)), []).append(index)
    for seeds, members in sorted(alike.items()):
        for start in range(0, len(members), STATISTICS_AT_ONCE):
            part = members[start : start + STATISTICS_AT_ONCE]
            both = np.stack([[values[:seeds] for values in pairs[index]] for index in part])
            scores, higher[part] = _scores(both, _exchanges(seeds, EXCHANGES))
            observed[part] = scores[:, 0]
            largest = np.maximum(largest, scores[:, 1:].max(axis=0))
    # Equal scores but for rounding count as reached.
    reached = (largest[:, None] >= observed - 1e-9).sum(axis=0)
    ps = (1 + reached) / (1 + EXCHANGES)
    return [Difference(float(p), float(share)) for p, share in zip(ps, higher, strict=True)]


@lru_cache(maxsize=8)
def _exchanges(seeds: int, count: int) -> Values:
    """Signs of the differences, (seeds, 1 + count): as they are first, then with seeds exchanged at random."""
    signs = np.random.default_rng(seeds).choice([-1.0, 1.0], size=(seeds, count))
    return np.concatenate([np.ones((seeds, 1)), signs], axis=1)


def _scores(both: Values, exchanges: Values) -> tuple[Values, Values]:
    """How far the differences lie from 0, on the scale of a normal law, and the shares of higher pairs.

    both: (statistics, 2, seeds). Returns (statistics, 1 + EXCHANGES) and (statistics,).
    """
    usable = np.asarray(np.isfinite(both).all(axis=1))
    values = np.where(usable[:, None], both, np.nan).reshape(len(both), -1)
    ranks = rankdata(values, axis=1, nan_policy="omit").reshape(both.shape) if values.size else both
    change = np.where(usable, ranks[:, 1] - ranks[:, 0], 0.0)
    changed = (change != 0.0).sum(axis=1, keepdims=True)
    most = (change**2).sum(axis=1, keepdims=True) * np.maximum(changed, 1)
    # The squared cosine of changes and signs; Student's t of the changes and, in closed form, its normal score.
    square = np.divide((change @ exchanges) ** 2, most, out=np.zeros((len(both), exchanges.shape[1])), where=most > 0.0)
    freedom = np.maximum(changed - 1.0, 1.0)
    with np.errstate(divide="ignore"):
        scores = np.sqrt(-freedom * np.log1p(-np.minimum(square, 1.0))) * (8 * freedom + 1) / (8 * freedom + 3)
    # A few seeds must not outdo many only because theirs can all agree by chance.
    scores = np.minimum(scores, np.maximum(norm.isf(0.5 ** np.minimum(changed, 1000)), 0.0))
    count = usable.sum(axis=1)
    return scores, 0.5 + np.divide(change.sum(axis=1), 2.0 * count**2, out=np.zeros(len(both)), where=count > 0)
