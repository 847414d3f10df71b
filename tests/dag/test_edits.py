"""Edits of the code and the digests that each changes, of stages by experiment and of studies.

What Snakemake makes of changed digests is in `test_reruns.py`. The table of docs/design.md is this one in words.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from largestep import config, grid, stages
from largestep.fingerprint import definitions
from tests.conftest import REPOSITORY

TINY = config.load(REPOSITORY / "tests/tiny/config.yaml")
STAGES = ("data", "train", "features", "sparsity")
TOYS, IMAGES = ("diagonal", "points", "teacher"), ("digits", "digits_mlp")
ALL = (*TOYS, *IMAGES)
STUDIES = tuple(TINY.studies_at_scale())
# What is made of stores, and makes no number of a cell.
SHOWN = ("figures", "tables", "claims")


def after(stage: str, *experiments: str) -> set[str]:
    """A stage of experiments and those behind it."""
    return {f"{each} {name}" for each in STAGES[STAGES.index(stage) :] for name in experiments}


def studies(*names: str) -> set[str]:
    return {f"study {name}" for name in names}


EVERYTHING = after("data", *ALL) | studies(*STUDIES) | {"aggregate", *SHOWN}
NOTHING: dict[str, tuple[str, str, str]] = {
    "what an error of store.py says": ("store.py", "delete it and run again", "mend it and start anew"),
    "what an error says, put together before": ("store.py", "has not the variables and", "lacks the variables or"),
    "what an error of cli.py says": ("cli.py", "error: out of memory", "error: no memory"),
    "a check that refuses": ("store.py", '{"units", "long_name"} <=', '{"long_name", "units"} <='),
    "how files are replaced": ("store.py", "ABANDONED_S = 3600.0", "ABANDONED_S = 7200.0"),
    "how a process is looked for": ("store.py", "os.kill(process, 0)", "os.kill(int(process), 0)"),
    "which devices are locked": ("devices.py", "RETRY_S = 1.0", "RETRY_S = 2.0"),
    "what out of memory is": ("devices.py", "CPU_FULL = (\"can't", 'CPU_FULL = ("cannot", "can\'t'),
    "how often checkpoints are kept": ("images/checkpoints.py", "share: float = 0.02", "share: float = 0.03"),
    "what checkpoints print": ("images/checkpoints.py", "is damaged and is not used", "is not used"),
    "an argument of all stages": (
        "cli.py",
        "    if threads:\n",
        '    arguments.add_argument("--more")\n    if threads:\n',
    ),
    "an argument of training": (
        "train.py",
        "    return parser\n",
        '    parser.add_argument("--more")\n    return parser\n',
    ),
    "help of an argument": ("train_images.py", "folder for what a killed job", "where a killed job"),
    "the description of a module": ("train.py", '"""Train every seed of one cell of a toy', '"""Train a toy'),
    "a docstring": ("decay_steps.py", '"""Fraction of training spent', '"""Part of training spent'),
    "a comment": ("schedules.py", "        # The step size stays", "        # It stays"),
    "an argument's type": ("schedules.py", "law: Warmup | Rise, progress", "law: Any, progress"),
    "a result's type": ("schedules.py", "-> float:", "-> float | None:"),
    "a variable's type": ("schedules.py", "    risen = 0.0\n", "    risen: float = 0.0\n"),
    "an import for types": (
        "schedules.py",
        "from typing import TYPE_CHECKING, Literal",
        "from typing import TYPE_CHECKING, Any, Literal",
    ),
    "spelling and order": ("schedules.py", "np.full(self.steps, float(", "np.full(\n            self.steps, float("),
    "what a progress bar says": ("toys/train.py", 'unit="step"', 'unit="update"'),
    "what it says of a seed": ("images/trainer.py", ", seed {seed}, {run + 1} of ", ", run {run + 1} of "),
    "what training prints": ("images/trainer.py", "{spec.cell}: {kept", "{spec.cell} is done: {kept"),
    "a table of workers": ("stages.py", 'TOY_DATA = ("sparse', 'TOY_DATA = ("points", "sparse'),
    "an import of settings for types": (
        "toys/train.py",
        "    from largestep.config.cells import StepSizes\n",
        "    from largestep.config.cells import CellConfig, StepSizes\n",
    ),
    "what a setting means": ("config/training.py", "decay of the velocity per step", "decay of the velocity"),
    "what the configuration refuses": ("config/schedules.py", "if value <= 1:", "if value <= 1.001:"),
    "how specs are read": (
        "specs/base.py",
        "        except ValidationError",
        "        except (ValidationError, TypeError)",
    ),
    "what nothing uses": ("images/step.py", "from __future__", "UNUSED = 1\nfrom __future__"),
}
SOMETHING: dict[str, tuple[str, str, str, set[str]]] = {
    "how a variable is made": (
        *("store.py", "np.asarray(values), {", "np.array(values), {"),
        EVERYTHING - {"data digits", "data digits_mlp", *SHOWN},
    ),
    "how an experiment of the aggregate is read": (
        *("store.py", "xr.load_dataset(path, group=group, ", "xr.load_dataset(path, group=str(group), "),
        {"figures", "tables"},
    ),
    "how all of the aggregate is read": ("store.py", "_opened(file[name]).load()", "_opened(file[name])", {"claims"}),
    "precision on GPUs": (
        *("devices.py", "allow_tf32 = False", "allow_tf32 = True"),
        after("train", *IMAGES) | studies("label_noise", "image_sharpness"),
    ),
    "the step size": (
        *("schedules.py", "np.arange(self.steps) +", "np.arange(0, self.steps) +"),
        after("train", *ALL) | studies(*{*STUDIES} - {"bouncing", "sde_convergence"}),
    ),
    "when the decay comes": (
        *("decay_steps.py", "if law.decays else 0.0", "if law.decays else 0.00001"),
        after("train", *ALL) | {"aggregate"} | studies(*{*STUDIES} - {"bouncing", "sde_convergence"}),
    ),
    "a network": (
        *(
            "models/resnet.py",
            "from __future__ import annotations\n",
            "from __future__ import annotations\n\nMORE = 1\n",
        ),
        after("train", "digits") | studies("label_noise", "image_sharpness"),
    ),
    "the compile target of kernels": (
        *("compiled.py", '"x86-64-v3"', '"x86-64-v4"'),
        after("train", *TOYS)
        | after("features", *TOYS)
        | studies(*STUDIES)
        | {"data teacher"}
        | after("data", "teacher"),
    ),
    "the steps of a toy network": (
        *("toys/dense_kernels.py", "MANY_UNITS = 8", "MANY_UNITS = 9"),
        after("train", "points", "teacher")
        | studies(
            "label_noise", "sharpness", "batch_sharpness", "controls", "pruning", "several_decays", "valley_walls"
        ),
    ),
    "the Jacobian of a toy network": (
        *("toys/dense.py", "where=c > 0)", "where=c > 1e-300)"),
        # Of label noise, because it is measured on images too.
        after("features", "points", "teacher") | studies("controls", "label_noise"),
    ),
    "how all toy networks are updated": (
        *("toys/update.py", "reach * gradient[k]", "gradient[k] * reach"),
        # The exact law takes the steps of its formula.
        after("train", *TOYS) | studies(*{*STUDIES} - {"bouncing", "exact_law", "image_sharpness"}),
    ),
    "a measure": (
        *("measures/kinks.py", "sizes > VISIBLE", "sizes >= VISIBLE"),
        after("features", "points", "teacher") | studies("controls"),
    ),
    "a threshold that a figure shows": (
        *("measures/kinks.py", "APART = 0.01", "APART = 0.02"),
        after("features", "points", "teacher") | {"study controls", "figures"},
    ),
    "what a measure is called": (
        *("measures/kinks.py", '"kinks of the function"', '"kinks"'),
        {"figures", "tables"},
    ),
    "the style of figures": (
        *("figures/style.py", "TEXT_WIDTH = 7.0", "TEXT_WIDTH = 7.1"),
        {"figures"},
    ),
}


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the package to edit."""
    folder = tmp_path_factory.mktemp("package") / "largestep"
    shutil.copytree(definitions.ROOT, folder, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


@pytest.fixture(scope="module")
def read() -> dict[tuple[str, bytes], definitions.Module]:
    """Modules that an earlier test has read, by content."""
    return {}


@pytest.fixture(scope="module")
def before() -> dict[str, str]:
    return digests()


@pytest.fixture
def edited(
    package: Path, read: dict[tuple[str, bytes], definitions.Module], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Path]:
    """The copy, in place of ours."""
    anew = definitions._module.__wrapped__

    @cache
    def by_content(name: str) -> definitions.Module:
        key = name, definitions._path(name).read_bytes()
        if key not in read:
            read[key] = anew(name)
        return read[key]

    with monkeypatch.context() as patched:
        patched.setattr(definitions, "ROOT", package)
        patched.setattr(definitions, "_module", by_content)
        forget()
        yield package
    forget()


def forget() -> None:
    """Have digests made anew."""
    for name in ("fingerprint", "_used_by", "_attributes", "_imports", "_file", "_module"):
        getattr(definitions, name).cache_clear()
    stages.code.cache_clear()


def digests() -> dict[str, str]:
    """The code of every stage of every experiment, of every study, and of what is made of all stores."""
    first = {cell.experiment: cell for cell in reversed(grid.cells(TINY).values())}
    assert {*first} == {*ALL}
    codes = {
        f"{stage} {name}": cell.code("images" if stage == "data" and name in IMAGES else stage)
        for name, cell in first.items()
        for stage in STAGES
    }
    codes |= {f"study {name}": grid.study_code(TINY, name) for name in STUDIES}
    codes |= {stage: stages.code(stage) for stage in ("aggregate", "tables", "claims")}
    return codes | {"figures": "".join(stages.code("figures", view) for view in stages.WORKERS["figures"])}


def changed(before: dict[str, str], package: Path, file: str, old: str, new: str) -> set[str]:
    """What has another digest after an edit."""
    path = package / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    edited = digests()
    path.write_text(text)
    return {name for name in before if before[name] != edited[name]}


@pytest.mark.parametrize("edit", NOTHING)
def test_reruns_nothing(before: dict[str, str], edited: Path, edit: str) -> None:
    assert changed(before, edited, *NOTHING[edit]) == set()


@pytest.mark.parametrize(
    ("file", "old", "new", "redrawn"),
    [
        ("figures/fits.py", "HEIGHT = 4.4", "HEIGHT = 4.5", {"fits"}),
        ("figures/fits.py", "black dots", "dots", {"fits"}),
    ],
)
def test_redraws_one_figure(edited: Path, file: str, old: str, new: str, redrawn: set[str]) -> None:
    """An edit of a figure, and of its caption."""
    views = stages.WORKERS["figures"]
    before = {view: stages.code("figures", view) for view in views}
    path = edited / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    forget()
    assert {view for view in views if stages.code("figures", view) != before[view]} == redrawn
    path.write_text(text)


@pytest.mark.parametrize("edit", SOMETHING)
def test_reruns_what_it_can_change(before: dict[str, str], edited: Path, edit: str) -> None:
    *edit_of, expected = SOMETHING[edit]
    assert changed(before, edited, *edit_of) == expected
