"""What the claims are tested on: the experiments and studies of a run, and those it leaves to larger scales."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import xarray as xr

from largestep.claims.verdict import Criterion, Measured, missing

if TYPE_CHECKING:
    from largestep.specs.aggregates import ClaimsSpec, StudyLeftOut


@dataclass(frozen=True)
class Results:
    """The contents of `results/largestep.nc`.

    later: scale of every experiment of config.yaml that this run leaves out, or `only` where that key does;
    later_comparisons: the kind of model of those among them that train by SGD and compare durations of the
    large-step phase; later_studies: scale (or `only`) and kind of every study that this run leaves out; replicates:
    what the seeds of each arm or study replicate, by the name that the table of claims begins with. own: names of the
    experiments of a user's own network or images, and of the studies of these.
    """

    experiments: dict[str, xr.Dataset] = field(default_factory=dict)
    studies: dict[str, xr.Dataset] = field(default_factory=dict)
    later: dict[str, str] = field(default_factory=dict)
    later_studies: dict[str, StudyLeftOut] = field(default_factory=dict)
    later_comparisons: dict[str, str] = field(default_factory=dict)
    replicates: dict[str, str] = field(default_factory=dict)
    own: list[str] = field(default_factory=list)

    def stochastic(self) -> Iterator[tuple[str, xr.Dataset]]:
        """Experiments trained by SGD, by name; claims on SGD do not ask gradient descent."""
        for name, group in sorted(self.experiments.items()):
            if group.attrs["algorithm"] == "SGD":
                yield name, group

    @classmethod
    def of_run(cls, experiments: dict[str, xr.Dataset], studies: dict[str, xr.Dataset], spec: ClaimsSpec) -> Results:
        """Of what was run and what `largestep.grid.claims_spec` says about it."""
        return cls(experiments, studies, spec.experiments, spec.studies, spec.comparisons, spec.replicates, spec.own)

    def without_own(self) -> Results:
        """Without a user's own networks and images."""
        experiments, studies = (
            {name: each for name, each in group.items() if name not in self.own}
            for group in (self.experiments, self.studies)
        )
        return replace(self, experiments=experiments, studies=studies)

    def unit(self, where: str) -> str:
        """What the seeds of a statistic replicate; empty where it is not said.

        where: as the table names it: experiment or study, perhaps with arm, run or more behind it; an experiment of one
        arm may stand without it.
        """
        matching = [name for name in self.replicates if where == name or where.startswith(f"{name}/")]
        if not matching:
            matching = [name for name in self.replicates if name.startswith(f"{where}/")]
        return self.replicates[max(matching, key=len)] if matching else ""

    def of_kind(self, kind: str) -> Iterator[tuple[str, xr.Dataset]]:
        """Studies of a kind, by name."""
        for name, study in sorted(self.studies.items()):
            if study.attrs["kind"] == kind:
                yield name, study

    def experiments_not_run(self, claim: str, statistic: str, criterion: Criterion) -> Iterator[Measured]:
        """A row for every experiment that only larger scales run."""
        for name, scale in sorted(self.later.items()):
            yield missing(claim, name, statistic, criterion, _not_run(scale))

    def studies_not_run(self, claim: str, kind: str, statistic: str, criterion: Criterion) -> Iterator[Measured]:
        """A row for every study of a kind that only larger scales run, or one where config.yaml has none."""
        later = [(name, each.scale) for name, each in sorted(self.later_studies.items()) if each.kind == kind]
        for name, scale in later:
            yield missing(claim, name, statistic, criterion, _not_run(scale))
        if not later and not any(self.of_kind(kind)):
            why = f"not run: config.yaml has no study of kind {kind}"
            yield missing(claim, kind, statistic, criterion, why)

    def why_not_run(self, experiment: str) -> str:
        """Why an experiment that a claim names is not among those run."""
        if experiment in self.later:
            return _not_run(self.later[experiment])
        return f"not run: config.yaml has no experiment {experiment}"


def _not_run(scale: str) -> str:
    """scale: the one that runs it, or `only` where that key of config.yaml leaves it out."""
    if scale == "only":
        return "not run: left out by the key only of config.yaml"
    return f"not run at this scale; snakemake --config scale={scale} runs it"
