"""How often the rules of the claims decide on made-up runs: false support without an effect, power at a named one.

C4's kind: three durations of the large-step phase, and a measure that falls by `effect` standard deviations of the
noise of a run from each to the next. A share of the runs of each duration diverges, the larger their own value the
likelier, so that survivors alone are not like all runs. Every sample of seeds is one claim with this one headline.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import norm

from largestep.claims.rank_correlation import paired_spearman, ranked_worst
from largestep.claims.verdict import Measured, Row, Values, below, decide_samples
from largestep.cli import command_parser, run

DURATIONS = np.array([0.1, 0.3, 0.5])
# Shares of runs that diverge, by duration.
DIVERGING = {
    "none": (0.0, 0.0, 0.0),
    "12% of each": (0.12, 0.12, 0.12),
    "29% of each": (0.29, 0.29, 0.29),
    "55% of each": (0.55, 0.55, 0.55),
    "12 / 29 / 55%": (0.12, 0.29, 0.55),
}
# In standard deviations of the noise: what docs/claims.md names.
NAMED = 1.0
# Of the chance by which a run diverges: how much of it is its own value's.
OWN = 0.8
RESAMPLES = 4000


@dataclass(frozen=True)
class Rates:
    """Shares of samples whose headline is supported or refuted, by the rules and among survivors alone."""

    supported: float
    refuted: float
    survivors: float


def main() -> None:
    """Print the table, in Markdown or JSON."""
    arguments = command_parser("power", __doc__)
    arguments.add_argument("--samples", type=int, default=1000, help="samples of seeds per line (default: %(default)s)")
    arguments.add_argument("--seeds", type=int, nargs="+", default=[20, 50, 100], help="seeds (default: 20 50 100)")
    arguments.add_argument("--json", action="store_true", help="print JSON")
    options = arguments.parse_args()
    if options.samples < 1 or min(options.seeds) < 1:
        sys.exit("error: --samples and --seeds are counts, 1 or more")
    rows = list(table(options.samples, options.seeds))
    if options.json:
        print(json.dumps(rows, indent=2))
    else:
        print(pd.DataFrame(rows).to_markdown(index=False, floatfmt=".1f"))


def table(samples: int, numbers: list[int]) -> Iterator[dict[str, object]]:
    """A line for every number of seeds and kind of divergence, in percent of the samples."""
    for seeds in numbers:
        for name, shares in DIVERGING.items():
            without, with_effect = (rates(effect, shares, seeds, samples) for effect in (0.0, NAMED))
            yield {
                "seeds": seeds,
                "diverging": name,
                "false support (%)": 100.0 * without.supported,
                "false refutation (%)": 100.0 * without.refuted,
                "false support, survivors alone (%)": 100.0 * without.survivors,
                "power (%)": 100.0 * with_effect.supported,
                "power, survivors alone (%)": 100.0 * with_effect.survivors,
            }


def rates(effect: float, shares: tuple[float, ...], seeds: int, samples: int) -> Rates:
    """How often a headline on so many seeds is supported or refuted."""
    generator = np.random.default_rng([seeds, *(int(100 * share) for share in shares), int(100 * effect)])
    drawn = [[headline(*runs(generator, effect, shares, seeds))] for _ in range(samples)]
    rows = [decided[0] for decided in decide_samples(drawn, RESAMPLES)]
    return Rates(
        np.mean([row.verdict == "supported" for row in rows]).item(),
        np.mean([row.verdict == "refuted" for row in rows]).item(),
        np.mean([_among_survivors(row) == "supported" for row in rows]).item(),
    )


def runs(
    generator: np.random.Generator, effect: float, shares: tuple[float, ...], seeds: int
) -> tuple[Values, NDArray[np.bool_]]:
    """The measure of each run and whether it diverged, both (durations, seeds)."""
    noise, other = generator.standard_normal((2, len(DURATIONS), seeds))
    chance = OWN * noise + np.sqrt(1.0 - OWN**2) * other
    limits = norm.isf(np.array(shares))
    gone = chance > limits[:, None]
    falls = effect * np.arange(len(DURATIONS))[:, None]
    return np.where(gone, np.nan, noise - falls), gone


def headline(values: Values, gone: NDArray[np.bool_]) -> Measured:
    """The statistic of C4 for these runs."""
    return Measured(
        "C4",
        "made_up",
        "Spearman correlation of duration and a measure",
        paired_spearman(DURATIONS, values),
        below(0.0),
        np.logical_or.reduce(gone, axis=0),
        headline=True,
        worst=paired_spearman(DURATIONS, ranked_worst(values, gone)),
    )


def _among_survivors(row: Row) -> str:
    return row.survivors or row.verdict


if __name__ == "__main__":
    run(main)
