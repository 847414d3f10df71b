"""The whole of `config.yaml`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from largestep.config.cells import Published
from largestep.config.data import DataSource
from largestep.config.experiments import Experiment
from largestep.config.meant import similar
from largestep.config.measures import Measures
from largestep.config.scalars import SCALES, Count, Name, Scale, Strict
from largestep.config.schedules import ScheduleConfig
from largestep.config.studies import Study

# As Slurm writes them; several partitions stand one after the other.
Label = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.,@+-]+$")]


class DeviceConfig(Strict):
    """What image classifiers are trained on, and how many jobs share a GPU; no key changes what reruns."""

    kind: Literal["auto", "cpu", "cuda"] = Field(
        default="auto", description="what they are trained on; `auto`: a GPU where torch sees one"
    )
    jobs_per_gpu: Count = Field(
        default=1,
        description="jobs that may share a GPU; each takes a free device and locks it while it runs. More than 1 "
        "did not pay where it was measured: four networks of width 16 on one H100 took four times as long each",
    )


class ClusterConfig(Strict):
    """What jobs ask of Slurm at a site; no key changes what reruns."""

    account: Label | None = Field(default=None, description="account; null: your default one")
    partition: Label | None = Field(default=None, description="partition of jobs without a GPU; null: the default one")
    gpu_partition: Label | None = Field(default=None, description="partition of jobs that ask for a GPU")
    longest: Count = Field(default=2880, description="minutes that a job may ask for at most, at any attempt")


class Run(Strict):
    """What runs, from which data and on what."""

    scale: Scale = Field(description="what runs: all that is of this scale or a smaller one")
    only: list[Name] = Field(
        default_factory=list,
        description="experiments and studies to run, if the scale includes them; empty: all of the scale",
    )
    data: DataSource = Field(default=DataSource(), description="where image data sets come from")
    device: DeviceConfig = Field(default=DeviceConfig(), description="what computes")
    cluster: ClusterConfig = Field(default=ClusterConfig(), description="what jobs ask of a cluster")


class Named(Strict):
    """What is written once and named by cells and experiments."""

    schedules: dict[Name, ScheduleConfig] = Field(default_factory=dict, description="schedules, to be named by cells")
    measures: dict[Name, Measures] = Field(
        default_factory=dict, description="thresholds of measures, to be named by experiments"
    )


class Config(Named, Run):
    """The whole of `config.yaml`."""

    experiments: Annotated[dict[Name, Experiment], Field(min_length=1)] = Field(
        description="families of cells, by name"
    )
    published: dict[Name, dict[Name, Published]] = Field(
        default_factory=dict, description="the paper's values of cells, by experiment and cell: a table of them all"
    )
    studies: dict[Name, Study] = Field(default_factory=dict, description="evidence that is not a cell, by name")

    def at_scale(self) -> dict[str, Experiment]:
        """Experiments that run at the chosen scale; each scale includes the ones before; sorted by name."""
        return {name: e for name, e in sorted(self.experiments.items()) if self._runs(name, e.scale)}

    def studies_at_scale(self) -> dict[str, Study]:
        """Studies that run at the chosen scale, sorted by name."""
        return {name: study for name, study in sorted(self.studies.items()) if self._runs(name, study.scale)}

    def missing(self, scale: Scale) -> str:
        """Why something of a scale is not run, where it is not: the scale that it needs, or `only`."""
        return "only" if self._reached(scale) else scale

    def _reached(self, scale: Scale) -> bool:
        return SCALES.index(scale) <= SCALES.index(self.scale)

    def _runs(self, name: str, scale: Scale) -> bool:
        return self._reached(scale) and (not self.only or name in self.only)

    @model_validator(mode="after")
    def published_values_have_a_cell(self) -> Config:
        """Give the values of the table to their cells; refuse those without a cell, or given twice."""
        for name, table in self.published.items():
            if name not in self.experiments:
                raise ValueError(f"published.{name}: there is no experiment {name}{similar(name, self.experiments)}")
            experiment = self.experiments[name]
            for cell, values in table.items():
                if cell not in experiment.cells:
                    raise ValueError(
                        f"published.{name}.{cell}: experiment {name} has no cell {cell}"
                        f"{similar(cell, experiment.cells)}"
                    )
                if experiment.cells[cell].published != Published():
                    raise ValueError(f"published.{name}.{cell}: the cell itself has published values; keep one of them")
                try:
                    experiment.check_published(values)
                except ValueError as error:
                    raise ValueError(f"published.{name}.{cell}: {error}") from error
                experiment.cells[cell] = experiment.cells[cell].model_copy(update={"published": values})
        return self

    @model_validator(mode="after")
    def something_runs(self) -> Config:
        """Refuse a scale below that of every experiment."""
        if not any(self._reached(experiment.scale) for experiment in self.experiments.values()):
            least = min((experiment.scale for experiment in self.experiments.values()), key=SCALES.index)
            raise ValueError(f"scale: no experiment runs at scale {self.scale}; set scale to {least}")
        return self

    @model_validator(mode="after")
    def only_names_what_runs(self) -> Config:
        """Refuse a name in `only` that is not there or belongs to a larger scale."""
        for name in self.only:
            entry = self.experiments.get(name) or self.studies.get(name)
            if entry is None:
                meant = similar(name, {**self.experiments, **self.studies})
                raise ValueError(f"only: there is no experiment or study {name}{meant}")
            if not self._reached(entry.scale):
                raise ValueError(f"only: {name} runs at scale {entry.scale}; set scale to {entry.scale} as well")
        if self.only and not self.at_scale():
            raise ValueError("only: names no experiment; add one, or the aggregates have nothing to show")
        return self

    @model_validator(mode="after")
    def studies_fit(self) -> Config:
        """Refuse a study of an experiment or cell that is not there or does not suit it."""
        if "studies" in self.experiments:
            raise ValueError("experiments.studies: this name is taken by the studies; rename the experiment")
        for name, study in self.studies.items():
            if name in self.experiments:
                raise ValueError(f"studies.{name}: an experiment has this name; rename the study")
            if name == "scorecard":
                raise ValueError("studies.scorecard: a figure of the claims has this name; rename the study")
            if any(name == f"{experiment}_{view}" for experiment, e in self.experiments.items() for view in e.views):
                raise ValueError(f"studies.{name}: a figure of an experiment has this name; rename the study")
            for used, cells in study.uses().items():
                where = f"studies.{name}: "
                if used not in self.experiments:
                    raise ValueError(f"{where}there is no experiment {used}{similar(used, self.experiments)}")
                experiment = self.experiments[used]
                if SCALES.index(study.scale) < SCALES.index(experiment.scale):
                    raise ValueError(f"{where}scale {study.scale} does not include experiment {used}")
                if experiment.model.kind not in study.models():
                    raise ValueError(f"{where}needs a model of kind {sorted(study.models())}, which {used} is not")
                for cell in cells:
                    if cell not in experiment.cells:
                        raise ValueError(
                            f"{where}experiment {used} has no cell {cell}{similar(cell, experiment.cells)}"
                        )
                    if experiment.cells[cell].annealing is not None:
                        raise ValueError(
                            f"{where}cell {cell} of {used} is annealed; name one that is constant or divided"
                        )
            try:
                study.check(self.experiments)
            except ValueError as error:
                raise ValueError(f"studies.{name}.{error}") from error
        return self
