"""Digests of the values of toy cells and studies, as this process computes them: one JSON object.

python -m tests.same_digits.compute CONFIG [--cells NAME ...] [--studies NAME ...] [--steps N] [--threads N]
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import xarray as xr
from threadpoolctl import threadpool_info

from largestep import config, grid, stages
from largestep.machine import attributes
from largestep.sparsity import measures
from largestep.specs.cells import SparsitySpec
from largestep.specs.studies import StudySpec
from largestep.store import content_digest


def main() -> None:
    """Compute what was asked for and print its digests, after what computed it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("config", type=Path)
    parser.add_argument("--cells", nargs="*", default=[])
    parser.add_argument("--studies", nargs="*", default=[])
    parser.add_argument("--steps", type=int, help="train cells for so many steps only, on two seeds")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    settings = config.load(options.config)
    digests: dict[str, str] = {}
    for name in options.cells:
        for part, dataset in cell(grid.cells(settings)[name], options.steps, options.threads).items():
            digests[f"cells/{name}/{part}"] = digest(dataset)
    for name in options.studies:
        digests[f"studies/{name}"] = digest(study(grid.study_spec(settings, name), options.threads))
    blas = sorted({str(each.get("architecture")) for each in threadpool_info() if each["user_api"] == "blas"})
    json.dump({"machine": attributes(), "blas": blas, "digests": digests}, sys.stdout)


def digest(dataset: xr.Dataset) -> str:
    """Of the values; what a store says of them is not what a processor decides."""
    return content_digest(dataset.drop_attrs())


def cell(chosen: grid.Cell, steps: int | None, threads: int) -> dict[str, xr.Dataset]:
    """What the stages make of a cell, by stage."""
    spec = SparsitySpec.read(chosen.spec("sparsity"))
    train = spec.features.train
    training, drawn, model, own = train.training, train.data.data, train.model, {"label": "test", "threads": threads}
    if steps:
        training = training.model_copy(update={"steps": steps, "seeds": 2, "evaluations": 10, "snapshots": 2})
    data = stages.worker("data", drawn.kind).draw(drawn, train.data.draws)
    losses, snapshots = stages.worker("train", model.kind).train(model, training, train.schedule, data, **own)
    features = stages.worker("features", model.kind).features(model, spec.features.measures, data, snapshots, **own)
    features = features.assign_coords({name: snapshots.variables[name] for name in snapshots.coords})
    return {
        "data": data,
        "train": losses,
        "snapshots": snapshots,
        "features": features,
        "sparsity": measures(features, spec.measures),
    }


def study(text: str, threads: int) -> xr.Dataset:
    """What a study finds; of the label noise the part in float64 on toy networks, the rest of which torch computes."""
    spec = json.loads(text)
    settings = spec["settings"]
    exact = settings["kind"] == "label_noise"
    if exact:
        images = [name for name, used in spec["experiments"].items() if stages.is_images(used["data"]["data"]["kind"])]
        for name in images:
            del spec["experiments"][name], settings["networks"][name]
    dataset: xr.Dataset = stages.worker("studies", settings["kind"]).study(StudySpec.model_validate(spec), threads)
    return dataset.sel(precision="float64") if exact else dataset


if __name__ == "__main__":
    main()
