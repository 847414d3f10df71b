"""C19: the exact law of diagonal networks, and the dose of large steps by which it makes them sparse.

*Law.* Data: the studies of kind `exact_law`, runs that have not diverged. Statistic, per seed: the largest difference
of a coordinate of the predictor from the law's at the end of training over the largest coordinate, below `ROUNDING`.
Its logarithm was added when the first result had been seen, whose mean is one seed's; no answer rests on it.

*Dose.* The law shrinks the scale a by about (step size x gradient)^2 a step, over a phase of T steps at the level L of
the loss by the dose D = step size^2 x 2 L x T. Data: the phase diagrams, all runs of a seed that survive, L being the
mean training loss over the second half of the large-step phase. Statistics, per seed: the R^2 of isotonic regression of
the non-zeros at the end on D, above `ORDERED`; and that R^2 minus that on the step size alone, above 0. The answer
rests on the paper's threshold; the others, and the R^2 minus that on the duration alone, are asked beside.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import xarray as xr
from scipy.optimize import isotonic_regression

from largestep import elementary
from largestep.claims.results import Results
from largestep.claims.verdict import Measured, Values, above, below
from largestep.measures.outcomes import survived
from largestep.threshold_sweep import paper_first

CLAIM = "C19"
CLAIMS = {
    CLAIM: "Diagonal networks follow an exact law, and what makes them sparse is a dose: step size² x loss x duration."
}
KIND, DIAGRAM = "exact_law", "phase_diagram"
ROUNDING, ORDERED = below(1e-8), above(0.9)
LAW = "largest difference of the predictor from the law's, over its largest coordinate"
DOSE = "isotonic R² of the non-zeros on the dose"
# Runs without which a regression says nothing.
FEWEST_RUNS = 10


def measured(results: Results) -> Iterator[Measured]:
    """The law in every study of it, and the dose in every phase diagram."""
    for name, study in results.of_kind(KIND):
        error = study["law_error"].isel(step=-1).values
        lost = study["diverged_step"].values >= 0
        yield Measured(CLAIM, name, LAW, error, ROUNDING, lost, headline=True)
        decades = elementary.log10(np.where(error > 0.0, error, np.nan))
        yield Measured(CLAIM, name, f"log10 of the {LAW}", decades, below(-8.0, "decades"), lost)
    yield from results.studies_not_run(CLAIM, KIND, LAW, ROUNDING)
    for name, study in results.of_kind(DIAGRAM):
        yield from _dose(name, study)
    yield from results.studies_not_run(CLAIM, DIAGRAM, DOSE, ORDERED)


def isotonic_r_squared(x: Values, y: Values) -> float:
    """Share of the variance of y, (runs,), that a decreasing function of x explains; runs of equal x count as one.

    NaN where y does not vary.
    """
    total = float(((y - y.mean()) ** 2).sum()) if len(y) else 0.0
    if total == 0.0:
        return np.nan
    _, place, counts = np.unique(x, return_inverse=True, return_counts=True)
    means = np.bincount(place, y) / counts
    fitted = isotonic_regression(means, weights=counts, increasing=False).x
    return 1.0 - float(((y - fitted[place]) ** 2).sum()) / total


def _dose(name: str, study: xr.Dataset) -> Iterator[Measured]:
    dims = ("seed", "step_size", "decay_at")
    study = study.transpose(*dims, ...)
    sizes = np.broadcast_to(study["step_size"].values[:, None], study["phase_loss"].shape)
    lasted = np.broadcast_to(study["decay_at"].values, study["phase_loss"].shape)
    dose = sizes**2 * 2.0 * study["phase_loss"].values * lasted
    usable = survived(study).values & np.isfinite(dose)
    non_zeros = paper_first(study["l0"])
    for place, threshold in enumerate(non_zeros["l0_threshold"].values):
        counts = non_zeros.isel(l0_threshold=place).values
        explained = np.array([_explained(*each) for each in zip(usable, counts, dose, sizes, lasted, strict=True)])
        at, headline = f"non-zeros at threshold {threshold:g}", place == 0
        yield Measured(CLAIM, name, DOSE.replace("non-zeros", at), explained[:, 0], ORDERED, headline=headline)
        for column, other in ((1, "step size"), (2, "duration")):
            statistic = f"{DOSE.replace('non-zeros', at)} minus that on the {other} alone"
            difference = explained[:, 0] - explained[:, column]
            yield Measured(CLAIM, name, statistic, difference, above(0.0), headline=headline and column == 1)


def _explained(usable: np.ndarray, counts: Values, *of: Values) -> list[float]:
    """R² on each quantity over the runs of one seed that can be used; NaN where they are too few."""
    if usable.sum() < FEWEST_RUNS:
        return [np.nan] * len(of)
    return [isotonic_r_squared(each[usable], counts[usable]) for each in of]
