"""Gather the stores of all cells into `results/largestep.nc`, a DataTree with one group per experiment."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from largestep import stages, store
from largestep.cli import file_parser, read_spec, run
from largestep.decay_steps import decay_fraction
from largestep.keys import digest
from largestep.measures.stabilisation import stabilisation
from largestep.schedules import NO_DECAY
from largestep.sparsity import SOURCES
from largestep.specs.aggregates import AggregateSpec, ExperimentEntry, StudyEntry
from largestep.specs.cells import SparsitySpec
from largestep.specs.studies import StudySpec
from largestep.store import variable


def main() -> None:
    """Read the stores of every cell, one after the other, and write the aggregate."""
    arguments = file_parser("aggregate", __doc__)
    arguments.add_argument(
        "--output", required=True, type=Path, help="NetCDF file to write; cells/, data/ and studies/ lie beside it"
    )
    options = arguments.parse_args()
    spec, results = read_spec(options, AggregateSpec.read), options.output.parent
    groups: dict[str, xr.Dataset | store.Rows] = {
        name: experiment(results, name, entry) for name, entry in spec.experiments.items()
    }
    for name, entry in spec.studies.items():
        groups[f"{store.STUDIES}/{name}"] = study(results / "studies" / f"{name}.nc", entry)
    store.write_tree(
        options.output,
        groups,
        title="largestep: every experiment, cells side by side",
        spec=spec.text(),
        code=stages.code("aggregate"),
    )


def experiment(results: Path, name: str, entry: ExperimentEntry) -> store.Rows:
    """One experiment: the stores of its cells along the dimension `cell`, and what the paper reports."""
    cells = ordered(entry)

    def shared(first: xr.Dataset) -> xr.Dataset:
        group = xr.Dataset(coords=first.coords)
        for key, (dims, values) in _published(entry, first.sizes.get("block", 1)).items():
            long_name = f"{key.replace('_', ' ')} of the paper's single run"
            group[f"published_{key}"] = variable(dims, values, first[key].attrs["units"], long_name)
        seals = []
        if not stages.is_images(entry.data):
            data = store.read(results / "data" / f"{name}.nc", code=stages.chain("data", entry.data))
            group = group.merge(_problem(data))
            seals.append(data.attrs["content_sha256"])
        return group.assign_attrs(
            title=entry.title,
            paper=entry.paper,
            algorithm=entry.algorithm,
            training=entry.training,
            stores_sha256=digest(*seals),
        )

    return store.Rows(
        variable(("cell",), cells, "1", "cell: a step size and a schedule"),
        (_row(results / "cells" / f"{name}.{cell}", entry, cell) for cell in cells),
        shared,
    )


def ordered(entry: ExperimentEntry) -> list[str]:
    """The cells of an experiment by duration of the large steps, annealed ones last.

    The order of keys in config.yaml does not matter.
    """
    durations = {cell: decay_fraction(each.schedule) for cell, each in entry.cells.items()}
    return sorted(durations, key=lambda cell: (np.nan_to_num(durations[cell], nan=np.inf), cell))


def study(path: Path, entry: StudyEntry) -> xr.Dataset:
    """The store of a study, refused unless it was made from the settings and the code of today."""
    group = store.read(path)
    if digest(group.attrs["spec"]) != entry.spec_sha256:
        raise store.of_other_settings(path, group.attrs["spec"], path.stem)
    spec: StudySpec[Any, Any] = StudySpec.read(group.attrs["spec"])
    if group.attrs["code_fingerprint"] != stages.study_code(spec):
        raise store.StaleError(path, "is stale: it was made from other code")
    return group.drop_attrs(deep=False).assign_attrs(
        kind=spec.settings.kind,
        title=entry.title,
        paper=entry.paper,
        stores_sha256=digest(group.attrs["content_sha256"]),
    )


def _row(folder: Path, entry: ExperimentEntry, cell: str) -> xr.Dataset:
    """The stores of one cell, refused unless they descend from the settings and the code of today."""
    kinds = entry.data, entry.model
    sparsity = store.read(folder / "sparsity.nc", code=stages.chain("sparsity", *kinds))
    if digest(sparsity.attrs["spec"]) != entry.cells[cell].spec_sha256:
        raise store.of_other_settings(folder / "sparsity.nc", sparsity.attrs["spec"], folder.name)
    spec = SparsitySpec.read(sparsity.attrs["spec"]).features
    features = store.read(folder / "features.nc", spec=spec.text(), code=stages.chain("features", *kinds))
    train = store.read(folder / "train.nc", spec=spec.train.text(), code=stages.chain("train", *kinds))
    # What ranks and sparsity were made from, which is large, stays in the stores of the cells.
    others = features.drop_vars(SOURCES, errors="ignore")
    parts = [part.drop_attrs(deep=False) for part in (train, sparsity, others)]
    joined = xr.merge(parts, compat="equals", join="exact")
    # As many decays as the cell of the experiment with the most has.
    most = max(len(each.schedule.decays) for each in entry.cells.values())
    joined = joined.pad(decay=(0, max(most, 1) - joined.sizes["decay"]), constant_values=NO_DECAY)
    seals = [part.attrs["content_sha256"] for part in (train, features, sparsity)]
    return joined.merge(stabilisation(joined.expand_dims("cell")).isel(cell=0)).assign_attrs(
        stores_sha256=digest(*seals)
    )


def _published(entry: ExperimentEntry, blocks: int) -> dict[str, tuple[tuple[str, ...], list[Any]]]:
    """Dimensions and values of every measure for which the paper reports one; NaN for the other cells."""
    published: dict[str, tuple[tuple[str, ...], list[Any]]] = {}
    reported = [entry.cells[cell].reported() for cell in ordered(entry)]
    for key in sorted({key for values in reported for key in values}):
        by_block = key in ("feature_sparsity", "active_fraction")
        missing = [np.nan] * blocks if by_block else np.nan
        dims = ("cell", "block") if by_block else ("cell",)
        values_of = [values.get(key, missing) for values in reported]
        published[key] = dims, np.array(values_of, dtype=float).tolist()
    return published


def _problem(data: xr.Dataset) -> xr.Dataset:
    """What figures need of the fixed data set: one-dimensional points, or the neurons of a teacher."""
    problem = xr.Dataset()
    if "teacher_neurons" in data:
        problem["teacher_neurons"] = data["teacher_neurons"].isel(data_set=0).variable
    if "train_inputs" in data and data.sizes["input"] == 1:
        problem["train_inputs"] = data["train_inputs"].isel(data_set=0, input=0).variable
        problem["train_labels"] = data["train_labels"].isel(data_set=0).variable
    return problem


if __name__ == "__main__":
    run(main)
