"""Which module does a stage's work for which kind of data, model or view, and what code that depends on."""

from __future__ import annotations

import importlib
from functools import cache
from types import ModuleType
from typing import TYPE_CHECKING, Any

from largestep import registered
from largestep.fingerprint import fingerprint, user_fingerprint
from largestep.keys import digest

if TYPE_CHECKING:
    from largestep.specs.studies import StudySpec

# Named by text and imported late, so that a stage depends on the one worker that it uses.
TOY_DATA = ("sparse_regression", "published_regression", "points", "teacher_student")
IMAGE_SETS = {
    "digits": "largestep.data.digits",
    "mnist": "largestep.data.mnist",
    "fashion_mnist": "largestep.data.mnist",
    "svhn": "largestep.data.svhn",
    "cifar10": "largestep.data.cifar",
    "cifar100": "largestep.data.cifar",
    "tiny_imagenet": "largestep.data.tiny_imagenet",
    "folder": "largestep.data.folder",
}
NETWORKS = {
    "resnet18": "largestep.models.resnet",
    "resnet34": "largestep.models.resnet",
    "densenet": "largestep.models.densenet",
    "vgg11": "largestep.models.vgg",
    "vgg16": "largestep.models.vgg",
    "mlp": "largestep.models.mlp",
}
# Each has a class `Net`, a `largestep.toys.network.Network`.
TOYS = {kind: f"largestep.toys.{kind}" for kind in registered.toys()}
WORKERS = {
    "data": {kind: f"largestep.data.{kind}" for kind in TOY_DATA},
    "images": IMAGE_SETS,
    "models": NETWORKS,
    "toys": TOYS,
    "train": dict.fromkeys(TOYS, "largestep.toys.train") | dict.fromkeys(NETWORKS, "largestep.images.trainer"),
    "features": {kind: f"largestep.measures.{name}" for kind, name in registered.toys().items()}
    | dict.fromkeys(NETWORKS, "largestep.measures.image_features"),
    "studies": {kind: f"largestep.studies.{kind}" for kind in registered.study_kinds()},
    "figures": {view: f"largestep.figures.{view}" for view in registered.figures()},
}
# What serves a user's own data set or network, which config.yaml gives by a dotted name.
CUSTOM = {
    "images": "largestep.data.custom_images",
    "models": "largestep.models.custom",
    "train": "largestep.images.trainer",
    "features": "largestep.measures.image_features",
}
# What reads the data of toys, and of images.
READERS = ("largestep.data.problem", "largestep.data.image_problem")
# Stages that are packages keep their command line in __main__.
PACKAGES = ("data", "images", "studies", "figures", "claims")


def worker(stage: str, kind: str) -> ModuleType:
    """The module that does the stage's work for a kind of data, model or view, or for a dotted name.

    Raises ValueError for a kind that is in no table.
    """
    return importlib.import_module(_worker(stage, kind))


def reader(data: str) -> ModuleType:
    """The module whose `read_problem` gives a trainer and the features what they are computed on."""
    return importlib.import_module(READERS[is_images(data)])


def is_images(data: str) -> bool:
    """Whether a kind of data is an image data set."""
    return data in IMAGE_SETS or "." in data


@cache
def code(stage: str, kind: str | None = None) -> str:
    """Fingerprint of a stage's module and, where it dispatches by kind, of that kind's worker.

    Training a network depends on the network too, and a dotted name on the user's own code.
    Raises ModuleNotFoundError when there is no such code.
    """
    images = stage in ("train", "features") and kind is not None and (kind in NETWORKS or "." in kind)
    modules = [f"largestep.{stage}.__main__" if stage in PACKAGES else f"largestep.{stage}"]
    if stage == "train" and images:
        modules = ["largestep.train_images", _worker("models", str(kind))]
    if stage in ("train", "features"):
        modules.append(READERS[images])
        modules += [TOYS[kind]] if kind in TOYS else []
    if kind is not None and stage in WORKERS:
        modules.append(_worker(stage, kind))
    # What measures alone ask of a toy network is no part of its training. Other stages name workers that run elsewhere.
    package_code = fingerprint(*modules, every_method=images or stage not in ("train", "features"))
    own = kind is not None and "." in kind and stage in ("images", "train")
    return digest(package_code, user_fingerprint(str(kind))) if own else package_code


def _worker(stage: str, kind: str) -> str:
    if "." in kind and stage in CUSTOM:
        return CUSTOM[stage]
    if kind not in WORKERS[stage]:
        raise ValueError(f"no {stage} of kind {kind}; there are {', '.join(WORKERS[stage])}")
    return WORKERS[stage][kind]


def study_code(spec: StudySpec[Any, Any]) -> str:
    """Digest of the code of a study and of the workers that it calls for the data and models it uses.

    Data and model may also stand among the study's own settings.
    """
    settings = spec.settings
    used = [(each.data.data.kind, each.model.kind) for _, each in sorted(spec.experiments.items())]
    # A study without experiments has its own.
    data, model = getattr(settings, "data", None), getattr(settings, "model", None)
    if data is not None and model is not None:
        used.append((data.kind, model.kind))
    workers = [chain("images" if is_images(data) else "data", data) for data, _ in used]
    workers += [fingerprint(_worker("models", model)) for data, model in used if is_images(data)]
    if "features" in registered.workers_called(f"studies.{settings.kind}"):
        workers += [code("features", model) for _, model in used]
    # With the study, because a method of a network counts where something calls it.
    networks = {TOYS[model] for _, model in used if model in TOYS}
    study = ("largestep.studies.__main__", _worker("studies", settings.kind), *sorted(networks))
    own_code = fingerprint(*study, every_method=any(is_images(data) for data, _ in used))
    return digest(own_code, *workers)


def chain(stage: str, data: str, model: str | None = None) -> str:
    """Digest of the code of `stage` and of every stage before it, for a kind of data and of model.

    With the spec it decides the content of a store, so that neither file times nor the order of runs
    have to be trusted.
    """
    first = "images" if is_images(data) else "data"
    kinds = {first: data, "train": model, "features": model, "sparsity": None}
    stages = list(kinds)[: list(kinds).index(stage) + 1]
    # One job puts the seeds of a classifier together and measures them.
    modules = {"sparsity": "sparsity_images"} if is_images(data) else {}
    return digest(*(code(modules.get(each, each), kinds[each]) for each in stages))
