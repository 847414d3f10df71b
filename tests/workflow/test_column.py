"""`largestep column` in a finished project: figures of experiments and studies, and what cannot be asked."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from largestep.__main__ import main
from largestep.figures import column
from largestep.figures.__main__ import drawn
from tests.conftest import Project
from tests.drawn import check_column

Ask = Callable[..., None]


@pytest.fixture
def ask(finished: Project, monkeypatch: pytest.MonkeyPatch) -> Ask:
    """Gives the command in the folder of the project, in this process: another would import all that draws again."""

    def asked(*arguments: str) -> None:
        monkeypatch.chdir(finished.folder)
        monkeypatch.setattr(sys, "argv", ["largestep", "column", *arguments])
        main()

    return asked


def test_figures_as_pdf_of_a_column(ask: Ask, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ask("points_fits", "phase_diagram", "--panels", "b", "a", "b", "--to", str(tmp_path), "--json")
    made = {each["figure"]: each for each in json.loads(capsys.readouterr().out)}
    assert {*made} == {"points_fits", "phase_diagram"}
    for name, each in made.items():
        assert each["panels"] == ["b", "a"]
        assert each["path"] == str(tmp_path / f"{name}.pdf")
        document = (tmp_path / f"{name}.pdf").read_bytes()
        widths = re.findall(rb"/MediaBox \[ 0 0 ([\d.]+) [\d.]+ \]", document)
        assert len(widths) == each["pages"] == 1
        assert [float(width) / 72 for width in widths] == pytest.approx([column.WIDTH] * len(widths), abs=0.01)
        assert b"/FontFile2" in document
        assert b"CreationDate" not in document


@pytest.mark.parametrize("study", ["loss_slice", "sharpness"])
def test_figures_of_studies_can_be_read_in_a_column(finished: Project, study: str) -> None:
    figure = drawn(finished.folder / f"results/studies/{study}.nc", study)
    letters = list(column.panels(figure))
    assert [letter for page in check_column(figure) for letter in page] == letters


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["diagonal_curvs"], "there is no figure 'diagonal_curvs' at this scale (names: see results/figures); did you"),
        (["scorecard"], "scorecard is one table as wide as a page; for a column take results/summary.md"),
        (
            ["results/figures/bouncing.png"],
            "there is no figure 'results/figures/bouncing.png' at",
        ),
        (["bouncing", "--panels", "a", "z"], "--panels 'z': bouncing has a, b, c, d"),
        (["diagonal_curves", "--config", "only=[points]"], "there is no figure 'diagonal_curves' at this scale"),
        (
            ["points_fits", "--config", "only=[points]"],
            "results/largestep.nc: was made from other settings",
        ),
        (["bouncing", "--results", "nowhere"], "nowhere/studies/bouncing.nc: there is no such file; run snakemake,"),
    ],
)
def test_what_cannot_be_asked_is_one_line(ask: Ask, tmp_path: Path, arguments: list[str], said: str) -> None:
    with pytest.raises(SystemExit) as ended:
        ask(*arguments, "--to", str(tmp_path / "out"))
    # Python prints it, and exits with 1.
    assert str(ended.value).startswith(f"error: {said}")
    assert "\n" not in str(ended.value)
    assert not (tmp_path / "out").exists()


def test_a_study_of_other_settings_is_not_drawn(ask: Ask, finished: Project, tmp_path: Path) -> None:
    other = tmp_path / "other.yaml"
    other.write_text("studies: {bouncing: {seeds: 3}}\n")
    with pytest.raises(SystemExit, match=r"bouncing\.nc: is stale: .*run again"):
        ask("bouncing", "--configfile", str(other), "--to", str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()
