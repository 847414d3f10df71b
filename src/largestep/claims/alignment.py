"""C12: a large step size aligns the neurons with those of the teacher, a small one stays lazy.

Data: two-layer students of a teacher at the end of training: the cell whose large step size lasts longest and the
small step beside it, seeds paired. Statistics, per seed:
- the alignment of the student's neurons (mean over neurons, weighted by norm, of the largest cosine to a neuron of the
  teacher) at the large step minus that at the small one, above 0;
- the same for the alignment of the teacher's neurons (their largest cosine to a neuron of the student, times the norm
  of that one over the largest), mean over neurons: above 0;
- log2 of the ratio of the distances of the first layer from its init, large over small, above 0;
- the distance of the first layer from its init at the small step, relative to its norm there, below `LAZY`.
"""

from __future__ import annotations

from collections.abc import Iterator

import xarray as xr

from largestep import elementary
from largestep.claims import large_step_phase
from largestep.claims.results import Results
from largestep.claims.verdict import Measured, above, below, label, missing

CLAIM = "C12"
CLAIMS = {CLAIM: "Large steps align neurons with those of the teacher; small ones stay lazy, close to the init."}
# A lazy layer keeps its init: what it moves is the smaller part of what it was.
LAZY = 0.5
STUDENTS = "alignment of the student's neurons at the end, large step minus small step"
TEACHERS = "alignment of the teacher's neurons at the end, large step minus small step"
FARTHER = "log2 ratio of the distances of the first layer from its init, large step over small step"
STAYS = "relative distance of the first layer from its init at the small step"
MORE = above(0.0)


def measured(results: Results) -> Iterator[Measured]:
    """C12 for every two-layer student of a teacher."""
    return large_step_phase.of_those_that_have(results, "student_alignment", rows, CLAIM, STUDENTS, MORE)


def rows(name: str, experiment: xr.Dataset) -> Iterator[Measured]:
    """The statistics of one experiment, for each arm."""
    large, small = large_step_phase.longest(experiment), large_step_phase.small_step(experiment)
    if small is None or not large_step_phase.ends(large):
        yield missing(CLAIM, name, STUDENTS, MORE, "not run: needs a cell with a large step and one with a small step")
        return
    for arm in experiment["arm"].values:
        where, headline = label(name, arm), large_step_phase.is_headline(experiment, arm)
        runs, beside = large.sel(arm=arm), small.sel(arm=arm)
        both, lazy = large_step_phase.complete(runs, beside), large_step_phase.complete(beside)
        students = (runs["student_alignment"] - beside["student_alignment"]).values[:, -1]
        teachers = (runs["teacher_alignment"] - beside["teacher_alignment"]).mean("teacher_neuron", skipna=False)
        moved, stayed = (each["distance"].isel(layer=0, snapshot_step=-1).values for each in (runs, beside))
        yield Measured(CLAIM, where, STUDENTS, students, MORE, ~both, headline=headline)
        yield Measured(CLAIM, where, TEACHERS, teachers.values[:, -1], MORE, ~both, headline=headline)
        yield Measured(CLAIM, where, FARTHER, elementary.log2(moved / stayed), MORE, ~both, headline=headline)
        yield Measured(CLAIM, where, STAYS, stayed, below(LAZY), ~lazy, headline=headline)
