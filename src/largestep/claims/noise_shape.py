"""C21: the shape of SGD's noise, that of noise on the labels, makes diagonal networks sparse, and not its size alone.

HaoChen et al. 2021 and the paper say so of the noise, Smith et al. 2021 and Geiping et al. 2022 that a penalty on the
gradients stands for it. Data: the studies of kind `noise_shape`, whose arms take steps of the same sizes with noise of
the trace of SGD's; the seeds on which neither of two arms diverges. Statistics, per seed, at the end: non-zeros of
isotropic noise, and of the penalty, minus those of SGD, and log10 of their test loss minus that of SGD, above 0; log2
of the ratio of non-zeros of label noise and SGD within `FACTOR`. Non-zeros are those at the largest threshold: noise on
every parameter leaves none at the smallest, whatever else it does. Beside them stand other thresholds, plain gradient
descent, and the test loss under label noise.
"""

from __future__ import annotations

from collections.abc import Iterator

import xarray as xr

from largestep import elementary
from largestep.claims.results import Results
from largestep.claims.verdict import Measured, above, log2_ratio, within_factor

CLAIM = "C21"
CLAIMS = {
    CLAIM: "The shape of SGD's noise makes it sparse: label noise of the same size does as much, "
    "isotropic noise or a penalty less."
}
KIND, FACTOR, MORE = "noise_shape", 1.25, above(0.0)
NAMES = {
    "isotropic": "isotropic noise",
    "penalty": "the gradient-norm penalty",
    "label_noise": "label noise",
    "gd": "gradient descent",
}
# What was to end with more non-zeros and a larger test loss than SGD.
HEADLINES = ("isotropic", "penalty")
STATISTIC = "non-zeros at threshold {} of {} minus those of SGD"


def measured(results: Results) -> Iterator[Measured]:
    """The rows of every arm of every study."""
    for name, study in results.of_kind(KIND):
        for arm, called in NAMES.items():
            yield from _rows(name, study, arm, called)
    yield from results.studies_not_run(CLAIM, KIND, STATISTIC.format("1e-4", NAMES["isotropic"]), MORE)


def _rows(where: str, study: xr.Dataset, arm: str, called: str) -> Iterator[Measured]:
    one, sgd = study.sel(arm=arm), study.sel(arm="sgd")
    lost = (one["diverged_step"].values >= 0) | (sgd["diverged_step"].values >= 0)
    thresholds = study["l0_threshold"].values
    for threshold in thresholds[::-1]:
        counts = [each["l0"].sel(l0_threshold=threshold).values for each in (one, sgd)]
        coarsest, at = threshold == thresholds.max(), f"{threshold:g}"
        yield Measured(
            CLAIM,
            where,
            STATISTIC.format(at, called),
            counts[0] - counts[1],
            MORE,
            lost,
            headline=coarsest and arm in HEADLINES,
        )
        if arm == "label_noise" and coarsest:
            statistic = f"log2 of the ratio of non-zeros at threshold {at} of {called} and SGD"
            yield Measured(CLAIM, where, statistic, log2_ratio(*counts), within_factor(FACTOR), lost, headline=True)
    losses = [elementary.log10(each["test_loss"].isel(step=-1).values) for each in (one, sgd)]
    statistic = f"log10 test loss of {called} minus that of SGD"
    yield Measured(CLAIM, where, statistic, losses[0] - losses[1], MORE, lost, headline=arm in HEADLINES)
