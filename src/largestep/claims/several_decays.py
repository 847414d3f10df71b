"""C23: with several decays the sparsity of one plateau is kept on the next ones, and a further plateau adds to it.

He et al. 2016 on such schedules, which the paper names as its own. Data: the studies of kind `several_decays`, seeds on
which no run that is compared diverges. Features are the non-zeros of a network with a linear predictor, and the feature
sparsity of the last hidden layer of others. Statistics, per seed: log2 of the features at the end over those at the
first decay, below log2 of `KEPT`; features, and log10 test loss, at the end minus those of a schedule that goes
straight to the last step size at the first decay, below 0; the largest change of log10 test loss from the end of a
plateau to the end of the next, below 0. The answer rests on these, at the paper's threshold. Beside them stand other
thresholds, what the first plateau wins against small steps, the schedule that keeps the first step size until the last
decay, and whether the training loss keeps its level on each plateau.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from largestep import elementary
from largestep.claims.phase_diagram import FALL
from largestep.claims.results import Results
from largestep.claims.verdict import Criterion, Measured, Values, above, below, log2_ratio
from largestep.threshold_sweep import paper_first

CLAIM = "C23"
CLAIMS = {
    CLAIM: "With several decays the sparsity of a plateau is kept on later ones, and each further plateau adds to it."
}
KIND, KEPT = "several_decays", 1.25
AGAIN = "log2 of {} at the end over those at the first decay"
FURTHER = "{} at the end, several decays minus one early"
FALLS = "largest change of log10 test loss from the end of a plateau to that of the next"


def measured(results: Results) -> Iterator[Measured]:
    """The rows of every network of every study."""
    for name, study in results.of_kind(KIND):
        for network in study["network"].values:
            yield from _of_network(f"{name}/{network}", study.sel(network=network))
    yield from results.studies_not_run(CLAIM, KIND, AGAIN.format("features"), below(math.log2(KEPT)))


def _of_network(where: str, study: xr.Dataset) -> Iterator[Measured]:
    gone = {str(kind): study["diverged_step"].sel(schedule=kind).values >= 0 for kind in study["schedule"].values}
    test = elementary.log10(study["test_loss"].transpose("schedule", "seed", "point").values)
    log_test = {str(kind): test[place] for place, kind in enumerate(study["schedule"].values)}
    ends = plateau_ends(study)
    died = int((study["dead"].sel(schedule="several").isel(point=-1).values > 0).sum())
    note = f"{died} of these runs end with a dead block" if died else ""

    def row(statistic: str, values: Values, criterion: Criterion, *kinds: str, headline: bool = False) -> Measured:
        lost = np.logical_or.reduce([gone[kind] for kind in kinds])
        return Measured(CLAIM, where, statistic, values, criterion, lost, note, headline=headline)

    for name, counts in features(study):
        first = name.partition(",")[0] == name
        at_end = {kind: values[:, -1] for kind, values in counts.items()}
        after_first = {kind: values[:, ends[0]] for kind, values in counts.items()}
        ratio = log2_ratio(at_end["several"], after_first["several"])
        yield row(AGAIN.format(name), ratio, below(math.log2(KEPT)), "several", headline=first)
        more = at_end["several"] - at_end["early"]
        yield row(FURTHER.format(name), more, below(0.0), "several", "early", headline=first)
        won = after_first["several"] - after_first["small"]
        yield row(f"{name} at the first decay, minus those of small steps", won, below(0.0), "several", "small")
        less = at_end["several"] - at_end["late"]
        yield row(f"{name} at the end, several decays minus one late", less, above(0.0), "several", "late")
    changes = np.diff(log_test["several"][:, ends], axis=1)
    yield row(FALLS, changes.max(axis=1), below(0.0), "several", headline=True)
    better = log_test["several"][:, -1] - log_test["early"][:, -1]
    yield row(FURTHER.format("log10 test loss"), better, below(0.0), "several", "early", headline=True)
    worse = log_test["several"][:, -1] - log_test["late"][:, -1]
    yield row("log10 test loss at the end, several decays minus one late", worse, above(0.0), "several", "late")
    losses = study["train_loss"].sel(schedule="several").transpose("seed", "point").values
    for place, size in enumerate(study["step_size"].values[:-1]):
        level = _change_of_level(losses, ends, place)
        said = f"change of log10 training loss from half to half of the plateau at step size {size:g}"
        yield row(said, level, above(math.log10(FALL)), "several")


def plateau_ends(study: xr.Dataset) -> NDArray[np.int64]:
    """The points at which the plateaus of one network end."""
    points = study["point_step"].values
    return np.append(np.searchsorted(points, study["decay_step"].values), len(points) - 1)


def features(study: xr.Dataset) -> Iterator[tuple[str, dict[str, Values]]]:
    """Name and values (seeds, points) by schedule at every threshold, the paper's first, whose name has no comma."""
    for variable, name in (("l0", "non-zeros"), ("feature_sparsity", "feature sparsity")):
        if variable not in study or not np.isfinite(study[variable].values).any():
            continue
        swept = paper_first(study[variable])
        axis = str(swept.dims[-1])
        for place, level in enumerate(swept[axis].values):
            values = swept.isel({axis: place}).transpose("schedule", "seed", "point").values
            by_schedule = {str(kind): values[which] for which, kind in enumerate(study["schedule"].values)}
            yield (name if place == 0 else f"{name}, threshold {level:g}"), by_schedule


def _change_of_level(losses: Values, ends: NDArray[np.int64], plateau: int) -> Values:
    """log10 of the mean loss (seeds, points) of the second half of a plateau over that of its first, (seeds,)."""
    start, end = (0, *ends)[plateau], ends[plateau]
    middle = (start + end) // 2
    halves = losses[:, start + 1 : middle + 1].mean(axis=1), losses[:, middle + 1 : end + 1].mean(axis=1)
    return np.asarray(elementary.log10(halves[1]) - elementary.log10(halves[0]))
