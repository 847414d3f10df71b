"""What modules declare of themselves, and the one line that says what one of them lacks."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from largestep import config, registered
from largestep.registered import RegistrationError
from tests.conftest import REPOSITORY

CACHED = [each for each in vars(registered).values() if hasattr(each, "cache_clear")]
LACKING = {
    "a view without a caption": ("figures/fits.py", "\nCAPTION =", "\nTEXT =", "lacks CAPTION, what the report"),
    "a view without a condition": ("figures/fits.py", "\nSUITS =", "\nFOR =", "lacks SUITS, what experiments"),
    "a view without variables": ("figures/fits.py", "\nNEEDS =", "\nUSES =", "lacks NEEDS, names of the variables"),
    "a view that is not drawn": ("figures/fits.py", "\ndef draw(", "\ndef plot(", "lacks draw, the function"),
    "a caption that is computed": ("figures/fits.py", "\nSUITS =", "\nSUITS = len or", "SUITS cannot be read"),
    "a figure of a study without a caption": ("figures/flows.py", "\nCAPTION =", "\nTEXT =", "lacks CAPTION"),
    "a measure without its table column": ("measures/kinks.py", ", row=None", "", "positional argument: 'row'"),
    "a measure without units": ("measures/kinks.py", ', "kinks (count)"', "", "positional argument: 'units'"),
    "a measure without a caption": ("measures/kinks.py", "\nCAPTION =", "\nTEXT =", "lacks CAPTION, what the report"),
    "a measure that is not declared": ("measures/column_norms.py", "\nMEASURES =", "\nALL =", "lacks MEASURES, how"),
    "a study that does not run": ("studies/flows.py", "\ndef study(", "\ndef run(", "lacks study, the function"),
}


@pytest.fixture
def package(tmp_path: Path) -> Iterator[Path]:
    """A copy of the package, in place of ours."""
    folder = tmp_path / "largestep"
    shutil.copytree(registered.ROOT, folder, ignore=shutil.ignore_patterns("__pycache__"))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(registered, "ROOT", folder)
        forget()
        yield folder
    forget()


def forget() -> None:
    for each in CACHED:
        each.cache_clear()


def test_nothing_is_lacking(package: Path) -> None:
    registered.check()


def test_text_and_syntax_tell_the_same_of_every_module() -> None:
    for package in ("figures", "measures", "studies", "toys", "claims"):
        for module in (f"{package}.{name}" for name in registered.modules(package)):
            there = registered.definitions(module)
            for name in {"NEEDS", "CAPTION", "SUITS", "draw", "main", "Net", "MEASURES", *there}:
                assert registered.declares(module, name) == (name in there), (module, name)


@pytest.mark.parametrize("case", LACKING)
def test_a_part_that_is_forgotten_is_named(package: Path, case: str) -> None:
    file, old, new, said = LACKING[case]
    path = package / file
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(RegistrationError) as raised:
        registered.check()
    assert str(raised.value).startswith(f"largestep/{file}: ")
    assert said in str(raised.value)


@pytest.mark.parametrize(
    ("file", "said"),
    [
        ("config/studies/flows.py", "largestep/studies/flows.py: lacks its settings, the module config/studies/flows"),
        ("figures/flows.py", "largestep/studies/flows.py: lacks its figure, the module figures/flows.py"),
        ("studies/flows.py", "largestep/config/studies/flows.py: lacks what runs it, studies/flows.py"),
    ],
)
def test_a_study_has_three_modules(package: Path, file: str, said: str) -> None:
    (package / file).unlink()
    with pytest.raises(RegistrationError) as raised:
        registered.check()
    assert said in str(raised.value)


def test_it_is_said_when_the_configuration_is_read(package: Path) -> None:
    path = package / "figures/fits.py"
    path.write_text(path.read_text().replace("\nCAPTION =", "\nTEXT ="))
    with pytest.raises(config.ConfigError, match=r"^largestep/figures/fits\.py: lacks CAPTION"):
        config.load(REPOSITORY / "tests/tiny/config.yaml")


def test_a_measure_is_shown_as_it_says() -> None:
    kinks = registered.measures()["kinks"]
    assert kinks.panel is not None
    assert (kinks.panel.title, kinks.panel.units, kinks.row) == ("kinks of the function", "kinks (count)", None)


def test_measures_of_new_modules_come_last(package: Path) -> None:
    text = 'MEASURES = {"curvature": Measure(Panel("curvature", "1/x"), Row("curvature"))}\nCAPTION = """- New.\n"""\n'
    (package / "measures/turning.py").write_text(text)
    registered.check()
    assert [*registered.measures()][-1] == "curvature"
    assert registered.measure_captions().endswith("- New.\n")
