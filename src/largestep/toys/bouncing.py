"""SGD on the one-dimensional model h(x) = x theta^2 with labels x theta*^2 (paper, Proposition 2.2).

In units of theta* a step is u + gamma u (1 - u^2) with gamma = eta theta*^2 x^2. Minima are 0 < u = 1 and
u = -1; a run has left its side when u is no longer positive.
"""

from __future__ import annotations

import numpy as np

from largestep.compiled import kernel

# What `summaries` says of a run, column by column.
COLUMNS = (
    "left",
    "settled",
    "alternation",
    "lowest",
    "highest",
    "tail_lowest",
    "tail_highest",
    "tail_mean",
    "low_from",
    "low_to",
    "high_from",
    "high_to",
)


@kernel
def step(u, gamma):
    """The iterate after u, both in units of theta*."""
    return u + gamma * u * (1.0 - u * u)


@kernel
def orbit(start, gammas):
    """The iterates after `start` under the given gammas, one each; NaN once the run has left."""
    iterates = np.full(len(gammas), np.nan)
    u = start
    for t in range(len(gammas)):
        u = step(u, gammas[t])
        if not u > 0.0:
            break
        iterates[t] = u
    return iterates


@kernel
def summaries(starts, uniforms, low, high, tail, lowest, highest, gap):
    """What runs with gamma uniform between low and high do, from their first update on: (runs, len(COLUMNS)).

    starts: (runs,); uniforms: (runs, steps), draws from [0, 1). lowest, highest, gap: a run bounces while its
    iterates alternate between (lowest, 1 - gap) and (1 + gap, highest).

    Columns: the update at which the run left, -1 for none; the first from which it bounces to the end, -1 for none;
    the share of the last `tail` updates that change sides of 1; extremes of (1 - u^2)^2 over the run and over its
    tail, and the mean over the tail; the range of the tail's iterates below 1 and of those above. A run that left
    has NaN from `alternation` on; one without iterates on a side has an empty range there, from infinity to minus
    infinity.
    """
    columns = np.full((len(starts), len(COLUMNS)), np.nan)
    steps = uniforms.shape[1]
    for run in range(len(starts)):
        u, was_above = starts[run], starts[run] > 1.0
        left, settled, changes = -1, 1, 0
        smallest, largest, tail_smallest, tail_largest, total = np.inf, 0.0, np.inf, 0.0, 0.0
        low_from, low_to, high_from, high_to = np.inf, -np.inf, np.inf, -np.inf
        for t in range(1, steps + 1):
            u = step(u, low + (high - low) * uniforms[run, t - 1])
            if not u > 0.0:
                left = t
                break
            above = u > 1.0
            loss = (1.0 - u * u) ** 2
            smallest, largest = min(smallest, loss), max(largest, loss)
            bounces = 1.0 + gap < u < highest if above else lowest < u < 1.0 - gap
            if not bounces:
                settled = t + 1
            elif above == was_above:
                settled = max(settled, t)
            if t > steps - tail:
                changes += above != was_above
                tail_smallest, tail_largest = min(tail_smallest, loss), max(tail_largest, loss)
                total += loss
                if above:
                    high_from, high_to = min(high_from, u), max(high_to, u)
                else:
                    low_from, low_to = min(low_from, u), max(low_to, u)
            was_above = above
        columns[run, 0] = left
        columns[run, 1] = settled if left < 0 and settled <= steps else -1
        if left < 0:
            columns[run, 2:8] = changes / tail, smallest, largest, tail_smallest, tail_largest, total / tail
            columns[run, 8:] = low_from, low_to, high_from, high_to
    return columns
