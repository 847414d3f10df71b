"""What counts in no digest decides no number: stages compute the same without it, and run nothing else like it."""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import CodeType, FrameType, SimpleNamespace
from typing import Any

import pytest
import torch

from largestep import config, fingerprint, grid, stages, store
from largestep.config.scalars import Strict
from largestep.data import image_set
from largestep.fingerprint import definitions
from largestep.fingerprint.outside import OUTSIDE
from largestep.specs.base import Spec
from largestep.specs.cells import (
    DataSpec,
    FeaturesSpec,
    ImageSetSpec,
    ImageTrainSpec,
    SeedsSpec,
    SparsitySpec,
    ToyTrainSpec,
    part_name,
)
from tests.conftest import REPOSITORY

CELLS = ("diagonal.small", "points.decay2", "digits.small")
# Modules that are outside as a whole.
MODULES = {name for name in OUTSIDE if definitions.is_module(name)}


@pytest.mark.parametrize("name", OUTSIDE)
def test_it_is_there(name: str) -> None:
    """A name that has moved would count again without a word."""
    module, _, definition = name.rpartition(".")
    assert name in MODULES or definition in definitions._module(module).texts


Call = tuple[str, dict[str, Any]]


def calls(cell: grid.Cell, folder: Path) -> list[Call]:
    """The stages of a cell, by module, and the options of each."""
    images = cell.settings.images
    first, stored = ("images", "safetensors") if images else ("data", "nc")
    data, snapshots = {"data": folder / f"{first}.{stored}"}, {"snapshots": folder / "snapshots.nc"}
    kept = {"checkpoints": folder / "checkpoints"} if images else {}
    files: dict[str, dict[str, Any]] = {
        first: {"output": data["data"]},
        "train": {"output": folder / "train.nc", **data, **snapshots, **kept},
        "features": {"output": folder / "features.nc", **data, **snapshots},
        "sparsity": {"output": folder / "sparsity.nc", "features": folder / "features.nc"},
    }
    specs = {stage: json.loads(cell.spec(stage)) for stage in files}
    if images:
        [seeds] = cell.parts().values()
        specs |= {stage: json.loads(cell.part_spec(stage, seeds)) for stage in ("train", "features")}
        files["sparsity"] = {
            **{"seeds": [seeds], "losses": [folder / "train.nc"], "features": [folder / "features.nc"]},
            **{"cell_losses": folder / "cell_losses.nc", "cell_features": folder / "cell_features.nc"},
            "output": folder / "sparsity.nc",
        }
    return [(module_of(stage, images), {"spec": specs[stage], **options}) for stage, options in files.items()]


def checksums(folder: Path) -> dict[str, str]:
    """Of all stores in a folder."""
    paths = [path for path in sorted(folder.iterdir()) if path.suffix in (".nc", ".safetensors")]
    readers = [store if path.suffix == ".nc" else image_set for path in paths]
    return {p.name: str(reader.attributes(p)["content_sha256"]) for p, reader in zip(paths, readers, strict=True)}


def module_of(stage: str, images: bool) -> str:
    name = f"{stage}_images" if stage in ("train", "sparsity") and images else stage
    return f"largestep.{name}.__main__" if name in stages.PACKAGES else f"largestep.{name}"


def run(monkeypatch: pytest.MonkeyPatch, stages_of_cell: list[Call]) -> None:
    """By their command lines, in this process."""
    for module, options in stages_of_cell:
        texts = {key.replace("_", "-"): as_text(key, value) for key, value in options.items()}
        monkeypatch.setattr(sys, "argv", ["stage", *(f"--{key}={value}" for key, value in texts.items())])
        importlib.import_module(module).main()


def as_text(key: str, value: Any) -> str:
    """An option of a command line; of lists, which have one element here, that one."""
    if isinstance(value, list):
        return as_text(key, value[0])
    return part_name(value) if isinstance(value, range) else json.dumps(value) if key == "spec" else str(value)


@pytest.fixture(scope="module")
def cells() -> dict[str, grid.Cell]:
    return grid.cells(config.load(REPOSITORY / "tests/tiny/config.yaml"))


@pytest.mark.parametrize("name", CELLS)
def test_stages_compute_the_same_without_it(
    cells: dict[str, grid.Cell], name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(monkeypatch, calls(cells[name], tmp_path / "whole"))
    replaced = replacements()
    assert {each for each in OUTSIDE if each not in MODULES} <= {*replaced}
    options: dict[str, Any] = {}
    parser = argparse.Namespace(
        add_argument=lambda *names, **settings: None,
        parse_args=lambda: argparse.Namespace(**DEFAULTS | options),
        add_mutually_exclusive_group=lambda **settings: parser,
    )
    parsers = ("largestep.cli.parser", "largestep.cli.spec_parser", "largestep.train.arguments")
    replaced |= dict.fromkeys(parsers, lambda *arguments, **settings: parser)
    (tmp_path / "bare").mkdir()
    bare = calls(cells[name], tmp_path / "bare")
    with monkeypatch.context() as patched:
        # What is first imported now would keep what it finds.
        for module in (*(each for each, _ in bare), *(each.rpartition(".")[0] for each in replaced)):
            importlib.import_module(module)
        for old, new in replaced.items():
            replace(patched, old, new)
        for module, wanted in bare:
            options = wanted | {"spec": told(SPECS[module].model_validate(wanted["spec"]))}
            importlib.import_module(module).main()
    assert checksums(tmp_path / "bare") == checksums(tmp_path / "whole")


DEFAULTS = {"threads": 1, "root": None, "mirror": None, "checksum": None, "checkpoint_every": 1e9}


SPECS = {
    "largestep.data.__main__": DataSpec,
    "largestep.images.__main__": ImageSetSpec,
    "largestep.train": ToyTrainSpec,
    "largestep.train_images": SeedsSpec,
    "largestep.features": FeaturesSpec,
    "largestep.sparsity": SparsitySpec,
    "largestep.sparsity_images": SparsitySpec,
}


def told(value: Any) -> Any:
    """A spec without the types of the configuration: values, and the canonical JSON of them."""
    if isinstance(value, list):
        return [told(each) for each in value]
    if not isinstance(value, Strict):
        return value
    teller = SimpleNamespace(**{name: told(getattr(value, name)) for name in type(value).model_fields})
    if isinstance(value, Spec):
        text = value.text()
        teller.text = lambda: text
    if isinstance(value, ImageTrainSpec | FeaturesSpec) and not isinstance(value, SeedsSpec):
        teller.part = lambda seeds: told(value.part(seeds))
    if isinstance(value, DataSpec):
        images = told(value.image_set())
        teller.image_set = lambda: images
    return teller


def replace(patched: pytest.MonkeyPatch, name: str, new: object) -> None:
    """Put something else for a definition, in every module that has imported it."""
    module, _, definition = name.rpartition(".")
    old = getattr(importlib.import_module(module), definition)
    for holder in [each for key, each in sys.modules.items() if key.partition(".")[0] == "largestep"]:
        for key, value in list(vars(holder).items()):
            if value is old:
                patched.setattr(holder, key, new)


class Memory:
    """Checkpoints that are kept in memory."""

    def __init__(self, *arguments: object, **settings: object) -> None:
        self._saved: dict[str, Any] = {}

    def due(self) -> bool:
        return False

    def save(self, name: str, arrays: Any) -> None:
        self._saved[name] = {key: values.copy() for key, values in arrays.items()}

    save_state = save

    def load(self, name: str) -> Any:
        return self._saved.get(name)

    def report(self) -> str:
        return ""

    def remove(self) -> None:
        self._saved.clear()


def replacements() -> dict[str, Any]:
    def nothing(*arguments: object, **settings: object) -> None:
        return None

    @contextmanager
    def direct(path: Path) -> Iterator[Path]:
        yield path

    return {
        **dict.fromkeys((name for name in OUTSIDE if "._check" in name or ".check" in name), nothing),
        "largestep.train.arguments": None,
        "largestep.train_images._are_made": nothing,
        "largestep.sparsity_images._Together": nothing,
        "largestep.images.checkpoints.Checkpoints": Memory,
        "largestep.images.checkpoints.alone": lambda folder: nullcontext(False),
        "largestep.devices.device": lambda: nullcontext(torch.device("cpu")),
        "largestep.devices.out_of_memory": lambda *arguments: nullcontext(),
        "largestep.devices.memory_is_full": lambda error: False,
        "largestep.devices.describe": lambda device: "a device",
        "largestep.store.replacing": direct,
        "largestep.store.set_aside": nothing,
        "largestep.store._understanding": lambda *arguments: nullcontext(),
        "largestep.store.Clock": lambda: None,
        "largestep.store._run_attributes": lambda clock: {},
        "largestep.data.image_set.fault": nothing,
        "largestep.data.image_set.one_line": str,
    }


@pytest.mark.parametrize("name", CELLS)
def test_stages_run_nothing_that_does_not_count(
    cells: dict[str, grid.Cell], name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All functions that run stand in the digest, or in the list of what is outside."""
    cell = cells[name]
    codes: set[CodeType] = set()

    def note(frame: FrameType, event: str, argument: object) -> None:
        if event == "call":
            codes.add(frame.f_code)

    to_run = calls(cell, tmp_path)
    sys.setprofile(note)
    try:
        run(monkeypatch, to_run)
    finally:
        sys.setprofile(None)
    ran = ((module_at(Path(code.co_filename)), code.co_qualname) for code in codes)
    ours = {(module, definition_of(module, name)) for module, name in ran if module and not name.startswith("<")}
    kinds = cell.settings.data.kind, cell.settings.model.kind
    counts = set().union(*(reached(stage, *kinds) for stage in ("data", "train", "features", "sparsity")))
    assert ("largestep.sparsity", "measures") in ours
    ours = {each for each in ours if not each[0].startswith("largestep.fingerprint")}
    assert ours - counts - used_by_what_is_outside() == set()


def definition_of(module: str, name: str) -> str:
    """What a function stands in: itself, its class, or the method or function around it."""
    around = ".".join(name.partition(".<locals>")[0].split(".")[:2])
    return around if around in definitions._module(module).texts else around.split(".")[0]


def module_at(path: Path) -> str | None:
    if not path.is_relative_to(definitions.ROOT):
        return None
    parts = path.relative_to(definitions.ROOT.parent).with_suffix("").parts
    return ".".join(parts).removesuffix(".__init__")


def reached(stage: str, data: str, model: str) -> set[tuple[str, str]]:
    """What counts for a stage of a cell, as `stages.code` asks for it."""
    pairs: set[tuple[str, str]] = set()

    def note(*modules: str, **how: bool) -> str:
        pairs.update(fingerprint.reached(*modules, **how))
        return ""

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(stages, "fingerprint", note)
        images = stages.is_images(data)
        kind = {"data": data, "sparsity": None}.get(stage, model)
        module = {"data": "images", "sparsity": "sparsity_images"}.get(stage, stage) if images else stage
        stages.code.__wrapped__(module, kind)
    return pairs


def used_by_what_is_outside() -> set[tuple[str, str]]:
    """What is outside, and the definitions that it uses, directly or not."""
    waiting = [(name.rpartition(".")[0], name.rpartition(".")[2]) for name in OUTSIDE if name not in MODULES]
    waiting += [(name, each) for name in MODULES for each in definitions._module(name).texts]
    pairs: set[tuple[str, str]] = set()
    while waiting:
        pair = waiting.pop()
        if pair not in pairs:
            pairs.add(pair)
            waiting.extend(definitions._used_by(*pair))
    return pairs
