"""Which module does a stage's work for which kind of data, model or view, and what code that depends on."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from functools import cache
from types import ModuleType
from typing import Any

from largestep.fingerprint import fingerprint
from largestep.keys import digest

# Views of an experiment; every kind of study has a figure of its own name.
VIEWS = ("curves", "progress", "stabilisation", "fits", "neurons", "blocks")
STUDIES = (
    *("label_noise", "bouncing", "phase_diagram", "loss_slice"),
    *("sweep", "sharpness", "flows", "sde_convergence"),
)
# Named by text and imported late, so that a stage depends on the one worker that it uses.
WORKERS = {
    "data": {kind: f"largestep.data.{kind}" for kind in ("sparse_regression", "points", "teacher_student", "digits")},
    "train": {
        "diagonal": "largestep.dynamics.toy",
        "dense": "largestep.dynamics.toy",
        "resnet18": "largestep.dynamics.images",
    },
    "features": {
        "diagonal": "largestep.measures.diagonal_features",
        "dense": "largestep.measures.dense_features",
        "resnet18": "largestep.measures.image_features",
    },
    "studies": {kind: f"largestep.studies.{kind}" for kind in STUDIES},
    "figures": {view: f"largestep.figures.{view}" for view in (*VIEWS, *STUDIES)},
}
# Kinds of study that call the worker of the features stage; all others call no worker but that of their data.
STUDIES_OF_FEATURES = ("sweep", "flows")
# Stages that are packages keep their command line in __main__.
PACKAGES = ("data", "studies", "figures", "claims")


def worker(stage: str, kind: str) -> ModuleType:
    """The module that does the stage's work for a kind of data, model or view."""
    return importlib.import_module(WORKERS[stage][kind])


@cache
def code(stage: str, kind: str | None = None) -> str:
    """Fingerprint of a stage's module and, where it dispatches by kind, of that kind's worker."""
    module = f"largestep.{stage}.__main__" if stage in PACKAGES else f"largestep.{stage}"
    return fingerprint(module, *([WORKERS[stage][kind]] if stage in WORKERS and kind else []))


def study_code(spec: Mapping[str, Any]) -> str:
    """Digest of the code of a study and of the workers that it calls for the data and models it uses.

    spec: as `largestep.grid.study_spec` gives it. Data and model may also stand among the study's own settings.
    """
    settings = spec["settings"]
    used = [(e["data"]["data"]["kind"], e["model"]["kind"]) for _, e in sorted(spec["experiments"].items())]
    if "data" in settings:
        used.append((settings["data"]["kind"], settings["model"]["kind"]))
    workers = [code("data", data) for data, _ in used]
    if settings["kind"] in STUDIES_OF_FEATURES:
        workers += [code("features", model) for _, model in used]
    return digest(code("studies", settings["kind"]), *workers)


def chain(stage: str, data: str, model: str | None = None) -> str:
    """Digest of the code of `stage` and of every stage before it, for a kind of data and of model.

    With the spec it decides the content of a store, so that neither file times nor the order of runs
    have to be trusted.
    """
    kinds = {"data": data, "train": model, "features": model, "sparsity": None}
    stages = list(kinds)[: list(kinds).index(stage) + 1]
    return digest(*(code(each, kinds[each]) for each in stages))
