"""Bad input gets one line that names the file and the key, before any job starts."""

from __future__ import annotations

import copy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from largestep import config
from tests.conftest import make_project

Change = Callable[[dict[str, Any]], object]
DIAGONAL, DIGITS, POINTS = "diagonal", "digits", "points"


def experiment(raw: dict[str, Any], name: str = DIAGONAL) -> dict[str, Any]:
    return raw["experiments"][name]


BROKEN: list[tuple[str, Change, str, str]] = [
    ("missing key", lambda c: experiment(c)["training"].pop("seeds"), "experiments.diagonal.training.seeds", "missing"),
    ("missing data", lambda c: experiment(c).pop("data"), "experiments.diagonal.data", "missing"),
    ("misspelt key", lambda c: experiment(c).update(titel="x"), "experiments.diagonal.titel", "unknown key"),
    (
        "misspelt key of a cell",
        lambda c: experiment(c)["cells"]["small"].update(stepsize=0.1),
        "experiments.diagonal.cells.small.stepsize",
        "unknown key",
    ),
    (
        "YAML's 1e-4",
        lambda c: experiment(c)["cells"]["small"].update(step_size="1e-4"),
        "experiments.diagonal.cells.small.step_size",
        "'1e-4' is text in YAML; write the number with a decimal point",
    ),
    (
        "text where a number belongs",
        lambda c: experiment(c)["training"].update(seeds="many"),
        "experiments.diagonal.training.seeds",
        "many",
    ),
    (
        "negative step size",
        lambda c: experiment(c)["cells"]["small"].update(step_size=-0.1),
        "experiments.diagonal.cells.small.step_size",
        "greater than 0",
    ),
    (
        "step size not a number",
        lambda c: experiment(c)["cells"]["small"].update(step_size=float("nan")),
        "experiments.diagonal.cells.small.step_size",
        "",
    ),
    (
        "unknown model",
        lambda c: experiment(c)["model"].update(kind="transformer"),
        "experiments.diagonal.model",
        "transformer",
    ),
    (
        "decay at 0",
        lambda c: experiment(c)["cells"]["decay50"]["decays"][0].update(at=0.0),
        "experiments.diagonal.cells.decay50.decays.0.at",
        "greater than 0",
    ),
    (
        "decay beyond the end",
        lambda c: experiment(c)["cells"]["decay50"]["decays"][0].update(at=1.5),
        "experiments.diagonal.cells.decay50.decays.0.at",
        "less than 1",
    ),
    (
        "decays out of order",
        lambda c: experiment(c)["cells"]["decay50"]["decays"].append({"at": 0.2, "divide_by": 2.0}),
        "experiments.diagonal.cells.decay50",
        "increasing order",
    ),
    (
        "warm-up without end",
        lambda c: experiment(c, POINTS)["cells"]["decay2"].update(decays=[]),
        "experiments.points.cells.decay2",
        "no decay",
    ),
    ("unknown scale", lambda c: c.update(scale="huge"), "scale", "huge"),
    ("no seeds", lambda c: experiment(c)["training"].update(seeds=0), "experiments.diagonal.training.seeds", "1"),
    ("no cells", lambda c: experiment(c).update(cells={}), "experiments.diagonal.cells", "at least 1"),
    (
        "cell name that leaves the folder",
        lambda c: experiment(c)["cells"].update({"../x": {"step_size": 0.1}}),
        "experiments.diagonal.cells.../x",
        "not a name",
    ),
    (
        "cell name that runs something",
        lambda c: experiment(c)["cells"].update({"$(touch x)": {"step_size": 0.1}}),
        "experiments.diagonal.cells.$(touch x)",
        "not a name",
    ),
    (
        "no thresholds",
        lambda c: experiment(c)["measures"].pop("l0_thresholds"),
        "experiments.diagonal",
        "l0_thresholds",
    ),
    (
        "data for another model",
        lambda c: experiment(c).update(data=experiment(c, DIGITS)["data"]),
        "experiments.diagonal",
        "digits",
    ),
    (
        "batch larger than the data",
        lambda c: experiment(c)["training"].update(batch_size=9),
        "experiments.diagonal",
        "batch_size 9 exceeds the 8",
    ),
    (
        "labels without inputs",
        lambda c: experiment(c, POINTS)["data"]["labels"].pop(),
        "experiments.points.data",
        "4 inputs",
    ),
    (
        "more images than there are",
        lambda c: experiment(c, DIGITS)["data"].update(examples=1790),
        "experiments.digits.data",
        "1797",
    ),
    ("view of other data", lambda c: experiment(c).update(views=["fits"]), "experiments.diagonal", "view fits"),
    ("nothing at all", lambda c: c.clear(), "scale", "missing"),
]


@pytest.fixture(scope="module")
def tiny(repository: Path) -> dict[str, Any]:
    raw = config.read(repository / "tests/tiny/config.yaml")
    assert isinstance(raw, dict)
    return raw


@pytest.mark.parametrize(("change", "key", "message"), [c[1:] for c in BROKEN], ids=[c[0] for c in BROKEN])
def test_refused_in_one_line(tiny: dict[str, Any], change: Change, key: str, message: str) -> None:
    raw = copy.deepcopy(tiny)
    change(raw)
    with pytest.raises(config.ConfigError) as caught:
        config.parse(raw, source="config.yaml")
    text = str(caught.value)
    assert text.startswith(f"config.yaml: {key}: ")
    assert message in text
    assert "\n" not in text


@pytest.mark.parametrize("raw", [None, [], "text", 3])
def test_not_a_mapping(raw: object) -> None:
    with pytest.raises(config.ConfigError, match=r"config\.yaml: must be a mapping"):
        config.parse(raw, source="config.yaml")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\na: 2\n", "line 2: the name 'a' is given twice"),
        ("cells:\n  small: {step_size: 1.0}\n  small: {step_size: 2.0}\n", "line 3: the name 'small' is given twice"),
        ("a: [1, 2\n", "not valid YAML"),
        ("\t a: 1\n", "not valid YAML"),
    ],
)
def test_unreadable_yaml(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(text)
    with pytest.raises(config.ConfigError) as caught:
        config.read(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("scale: laptop", "scale: huge", "config.yaml: scale: "),
        (
            "small: {step_size: 0.1,",
            "small: {step_size: -1.0e-4,",
            "config.yaml: experiments.diagonal.cells.small.step_size: ",
        ),
        ("small: {step_size: 0.1,", "small: {step_size: 1e-4,", "write the number with a decimal point"),
        (
            "decay50: {step_size: 0.2,",
            "small: {step_size: 0.2,",
            "config.yaml: line 16: the name 'small' is given twice",
        ),
        ("scale: laptop", "scale: [", "config.yaml: not valid YAML"),
    ],
)
def test_snakemake_says_it_in_one_line_and_starts_nothing(tmp_path: Path, old: str, new: str, message: str) -> None:
    project = make_project(tmp_path)
    project.edit("config.yaml", old, new)
    done = project.snakemake("--cores", "1", check=False)
    errors = [line for line in (done.stdout + done.stderr).splitlines() if "error" in line.lower()]
    assert done.returncode != 0
    assert len(errors) == 1
    assert message in errors[0]
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "results").exists()


def test_overlay_and_scale_from_the_command_line(tmp_path: Path) -> None:
    """The ways in which Snakemake changes a configuration are checked like the file itself."""
    project = make_project(tmp_path)
    (tmp_path / "mine.yaml").write_text("experiments: {diagonal: {cells: {small: {step_size: bad}}}}\n")
    done = project.snakemake("--cores", "1", "--configfile", "mine.yaml", check=False)
    assert done.returncode != 0
    assert "config.yaml + mine.yaml: experiments.diagonal.cells.small.step_size: " in done.stdout + done.stderr
    done = project.snakemake("--cores", "1", "--config", "scale=galaxy", check=False)
    assert done.returncode != 0
    assert "scale: " in done.stdout + done.stderr


def test_scales_include_the_smaller(repository: Path) -> None:
    laptop = config.load(repository / "tests/tiny/config.yaml")
    paper = laptop.model_copy(update={"scale": "paper"})
    assert set(paper.at_scale()) - set(laptop.at_scale()) == {"later"}


def test_schema_is_in_step_with_the_types(repository: Path) -> None:
    committed = (repository / "workflow/schemas/config.schema.json").read_text()
    assert committed == config.json_schema(), "run `make schema`"


def test_the_projects_own_configuration(repository: Path) -> None:
    loaded = config.load(repository / "config.yaml")
    for name, settings in loaded.at_scale().items():
        least = {"diagonal": 100, "dense": 50, "resnet18": 3}[settings.model.kind]
        assert settings.training.seeds >= least, name


def test_command_lines_explain_themselves() -> None:
    for stage in ("data", "train", "features", "sparsity", "aggregate", "figures", "tables", "claims"):
        done = subprocess.run([sys.executable, "-m", f"largestep.{stage}", "--help"], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert f"python -m largestep.{stage}" in done.stdout


def test_command_line_with_a_missing_file(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "largestep.claims", "--input", "none.nc", "--csv", "a.csv", "--md", "a.md"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 2
    assert "none.nc: there is no such file" in done.stderr
    assert "Traceback" not in done.stderr
