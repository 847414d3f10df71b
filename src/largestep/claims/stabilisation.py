"""C3: at a large step size the training loss stabilises, and drops when the step size is decayed.

Data: experiments trained by SGD; of each, the cell whose large step size lasts longest, and its runs that have not
diverged. The training loss of images is that of the paper's figures, in evaluation mode. The measures are those of
`largestep.measures.stabilisation`, in decades, a factor of ten being 1.
Statistics and criteria, one number per seed:

- the change of log10 of the training loss over the second half of the large-step phase: its mean is within `FLAT`;
- the fall of log10 of the loss from that half to the end of training, and to shortly after the decay: above `DROP`;
- of the runs whose block-bootstrap interval decides, 1 for those that stabilise and whose slope lies within `FLAT`
  with its whole interval, and 0 for those whose slope lies outside with it or that never stabilise: most are flat.
  Single runs are noisy, so many decide nothing; the note counts them.

The answer rests on the mean change and on the fall to the end, whose bounds were fixed for them. A mean near 0 alone
could hide runs that rise and runs that fall, which is what the last statistic asks.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import xarray as xr

from largestep.claims import verdict
from largestep.claims.large_step_phase import ends
from largestep.claims.results import Results
from largestep.claims.verdict import Measured, above, between, missing, not_asked
from largestep.measures.outcomes import dead, survived
from largestep.measures.stabilisation import FEWEST_POINTS, FLAT

CLAIM = "C3"
CLAIMS = {CLAIM: "While the step size is large the training loss stays at a level, and it drops at the decay."}
DROP = 0.3
LEVEL, FALL, MOST = between(-FLAT, FLAT, "decades"), above(DROP, "decades"), above(0.5)
SLOPE = "change of log10 training loss over the second half of the large-step phase"


def measured(results: Results) -> Iterator[Measured]:
    """C3 for every experiment and arm, those of larger scales as not run."""
    asked = False
    for name, group in results.stochastic():
        asked = True
        yield from rows(name, group)
    for each in results.experiments_not_run(CLAIM, SLOPE, LEVEL):
        asked = True
        yield each
    if not asked:
        yield missing(CLAIM, "none", SLOPE, LEVEL, "not run: no experiment of config.yaml trains by SGD")


def rows(name: str, experiment: xr.Dataset) -> Iterator[Measured]:
    """The four statistics of one experiment, for each arm; one row that says why where there are none."""
    cell = experiment.sel(cell=verdict.by_duration(experiment)["cell"][-1])
    if not ends(cell):
        yield not_asked(CLAIM, name, SLOPE, LEVEL, "no cell has a large-step phase")
        return
    for arm in cell["arm"].values:
        runs = cell.sel(arm=arm)
        where, alive = verdict.label(name, arm), survived(runs).values
        slope, low, high, steps = (
            runs[f"stabilisation_{key}"].values for key in ("slope", "slope_low", "slope_high", "steps")
        )
        if alive.any() and np.isnan(slope[alive]).all():
            why = f"fewer than {FEWEST_POINTS} recorded steps in the large-step phase"
            yield not_asked(CLAIM, where, SLOPE, LEVEL, why)
            continue
        outcomes = {"never stabilise": int((steps[alive] == 0).sum()), "end with a dead block": int(dead(runs).sum())}
        note = "; ".join(f"{count} of these runs {what}" for what, count in outcomes.items() if count)
        final, shortly = runs["final_drop"].values, runs["decay_drop"].values
        yield Measured(CLAIM, where, SLOPE, slope, LEVEL, ~alive, note, headline=True)
        yield Measured(
            CLAIM, where, "fall of log10 training loss from there to the end", final, FALL, ~alive, note, headline=True
        )
        yield Measured(CLAIM, where, "fall of log10 training loss at the decay", shortly, FALL, ~alive, note)
        within = (low >= -FLAT) & (high <= FLAT)
        decided = within | (low > FLAT) | (high < -FLAT)
        flat = within & (steps > 0)
        yield Measured(
            CLAIM,
            where,
            "share of runs with a flat loss, of those whose interval decides",
            np.where(decided, flat, np.nan),
            MOST,
            ~alive,
            f"the interval of {int((alive & ~decided).sum())} of {int(alive.sum())} runs does not decide",
        )
