"""Titles, names, settings of matplotlib and of a shell as users have them: in figures, tables and report alike."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import warnings
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
import xarray as xr
import yaml
from docutils.core import publish_doctree
from jinja2 import Template
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from largestep import captions, config, grid, stages, tables
from largestep.data import folder
from largestep.figures import style
from largestep.measures.stabilisation import stabilisation
from tests.settings import as_settings
from tests.unit.test_figures import made_up

ROOT = Path(__file__).parents[2]
ODD = (
    'A_b ^2 $x$ 50% & <i>c</i> `d` {e} #1 ~ \\n | *s* "q" — ü',
    "`",
    "``a`` :ref:`b` |c| _d_ [1]_",
    "two\nlines",
    "- item",
    "$\\frac{1}$",
    "very long " * 60,
)


def shown(text: str) -> str:
    return " ".join(text.split())


@pytest.mark.parametrize("text", ODD)
def test_a_caption_shows_a_title_as_it_is(text: str) -> None:
    raw = yaml.safe_load((ROOT / "tests/tiny/config.yaml").read_text())
    raw["experiments"]["diagonal"] |= {"title": text, "paper": text}
    caption = captions.of_view(config.parse(raw, "c").experiments["diagonal"], "curves")
    tree = publish_doctree(caption, settings_overrides={"report_level": 1, "halt_level": 5, "warning_stream": False})
    assert "system_message" not in tree.pformat()
    assert tree[0].astext().split("\n\n")[0].replace("\n", " ") == f"{shown(text)} (in the paper: {shown(text)})."


@pytest.mark.parametrize("text", ODD)
def test_the_first_page_of_the_report_shows_a_title_as_it_is(text: str) -> None:
    page = (ROOT / "workflow/report/workflow.rst").read_text()
    macro = next(line for line in page.splitlines() if line.startswith("{% macro plain"))
    assert Template(f"{macro}{{{{ plain(text) }}}}").render(text=text) == captions.plain(text)
    for key in ("title", "paper"):
        for owner in ("experiment", "study"):
            assert f'{{{{ plain({owner}["{key}"]) }}}}' in page


@pytest.mark.parametrize("text", ODD)
def test_tables_show_a_title_as_it_is(text: str) -> None:
    frame = tables.table(made_up("diagonal", {"small": 0.0}))
    heading, _, rest = tables.markdown(frame, text, "steps 3").partition("\n\n")
    assert re.sub(r"\\([!-/:-@[-`{-~])", r"\1", heading) == f"# {shown(text)}"
    assert not re.search(r"(?<!\\)[`*_<|$]", heading.replace("\\\\", ""))
    assert rest.startswith("Training: steps 3.\n")
    caption = next(line for line in tables.latex(frame, text, "steps 3").splitlines() if "\\caption" in line)
    assert len(re.findall(r"(?<!\\)\$", caption)) % 2 == 0
    assert not re.search(r"(?<!\\)[%#&_]|[<>|`~^]", caption)
    assert caption.count("{") - caption.count(r"\{") == caption.count("}") - caption.count(r"\}")


def test_figures_inherit_nothing_from_a_matplotlibrc_of_the_users(monkeypatch: pytest.MonkeyPatch) -> None:
    """usetex would take the _ of a name for a formula, where LaTeX is there at all."""
    others = {"text.usetex": True, "font.family": "serif", "axes.facecolor": "black", "lines.linestyle": ":"}
    others |= {"xtick.direction": "in", "savefig.bbox": "tight", "image.cmap": "jet", "axes.formatter.use_locale": True}

    def drawn() -> bytes:
        figure = stages.worker("figures", "curves").draw(made_up("diagonal", {"decay50": 0.5}, ("order",)))
        paths = Path("figure.png"), Path("figure.pdf")
        style.save(figure, *paths)
        return b"".join(path.read_bytes() for path in paths)

    before = drawn()
    with mpl.rc_context(others):
        assert drawn() == before
        assert mpl.rcParams["text.usetex"]  # and puts them back


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("letters", [20, 100, 300])
def test_a_legend_is_no_wider_than_the_figure(letters: int) -> None:
    """matplotlib cuts off what is."""
    with style.house():
        figure = Figure(figsize=(style.TEXT_WIDTH, 3.0))
        figure.subplots()
        words = ("word_" * letters)[:letters], ("long words " * letters)[:letters]
        style.key(figure, [Line2D([], [], label=label) for label in words], "", columns=3)
        (legend,) = figure.legends
        width = legend.get_window_extent().width
        with style.laid_out(figure, 100):
            assert legend.get_window_extent().x0 >= 0
    assert width <= figure.bbox.width
    wrapped = ["".join(text.get_text().split()) for text in legend.get_texts()]
    assert wrapped == ["".join(word.split()) for word in words]  # all of it is there


@pytest.mark.parametrize(("view", "count"), [("curves", 100), ("schedules", 100), ("stabilisation", 30)])
def test_a_hundred_cells_leave_room_for_the_panels(view: str, count: int) -> None:
    cells = {f"cell{number:03d}": number / (count + 1) for number in range(count)}
    experiment = made_up("diagonal", cells, ("order",))
    if view == "stabilisation":
        experiment = experiment.merge(stabilisation(experiment))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = stages.worker("figures", view).draw(experiment)
        with style.house(), style.laid_out(figure, 60):
            figure.draw_without_rendering()
            heights = [ax.get_window_extent().height / 60 for ax in figure.axes]
            for part in (figure, *figure.subfigs):
                for legend in part.legends:
                    assert legend.get_window_extent().height <= part.bbox.height
    assert min(heights) > 0.5


def test_one_seed_one_snapshot_and_no_survivor_are_drawn_and_tabulated() -> None:
    lost = made_up("images", {"small": 0.0, "half": 0.5}, ("order",)).isel(seed=[0], snapshot_step=[-1])
    nothing = lost.map(lambda each: each * np.nan if "seed" in each.dims else each, keep_attrs=True)
    for experiment in (lost, nothing.assign(diverged_step=xr.full_like(lost["diverged_step"], 5))):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            figure = stages.worker("figures", "curves").draw(experiment)
            style.save(figure, Path("figure.png"), Path("figure.pdf"))
            text = tables.markdown(tables.table(experiment), "t", "steps 3")
        assert "nan" not in text.lower()


def test_a_published_zero_stands_at_the_foot_of_a_logarithmic_axis() -> None:
    """Where it belongs, far below, constrained_layout leaves no room for any panel."""
    experiment = made_up("diagonal", {"small": 0.0}, ("order",))
    experiment["published_train_loss"] = experiment["published_train_loss"] * 0.0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = stages.worker("figures", "curves").draw(experiment)
        style.save(figure, Path("figure.png"), Path("figure.pdf"))
    (diamond,) = (line for line in figure.axes[0].lines if line.get_marker() == "D")
    place = diamond.get_transform().transform(np.stack(diamond.get_data(), axis=1))[0]
    bounds = figure.axes[0].get_window_extent()
    assert place[1] == pytest.approx(bounds.y0)
    assert bounds.height > 0.5 * figure.dpi


def test_a_reader_that_has_enough_ends_a_command_quietly() -> None:
    """`verify | head`: neither a traceback nor advice on disks."""
    program = "from largestep.cli import run\nrun(lambda: [print(n) for n in range(100_000)])"
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    started = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
    )
    assert started.stdout is not None
    assert started.stderr is not None
    assert started.stdout.readline() == b"0\n"
    started.stdout.close()
    assert started.stderr.read() == b""
    started.stderr.close()
    assert started.wait() == 141


def test_the_data_root_is_what_a_shell_makes_of_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    raw = yaml.safe_load((ROOT / "tests/tiny/config.yaml").read_text())
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.setenv("SCRATCH", "/scratch/it's mine")
    monkeypatch.delenv("NOT_SET", raising=False)
    for root, expanded in (("~/data", "/home/me/data"), ("$SCRATCH/a", "/scratch/it's mine/a"), ("a $ b", "a $ b")):
        assert config.parse(raw | {"data": {"root": root}}, "c").data.root == expanded
    for root in ("$NOT_SET/data", "${NOT_SET}", "~nobody_of_this_name/data"):
        with pytest.raises(config.ConfigError, match=r"^c: data\.root: names a variable or a home that is not there"):
            config.parse(raw | {"data": {"root": root}}, "c")
    # Of a folder of images the path is in the spec, which must not depend on who runs.
    pictures = {"kind": "folder", "folder": "~/pictures", "sha256": "0" * 64, "size": [8, 8]}
    raw["experiments"]["digits"]["data"] = pictures
    raw["studies"] = {}
    cell = grid.cells(config.parse(raw, "c"))["digits.small"]
    assert '"folder":"~/pictures"' in cell.spec("images")
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(folder.StoreError, match=re.escape(str(tmp_path / "pictures"))):
        folder.prepare(as_settings(pictures | {"channels": 3, "background": None}), Path("elsewhere"), None)


def test_settings_too_long_for_a_command_line_are_refused() -> None:
    """Of 4,000 points; each job would end in "Argument list too long"."""
    raw = yaml.safe_load((ROOT / "tests/tiny/config.yaml").read_text())
    values = [float(value) for value in np.random.default_rng(0).random(4000)]
    raw["experiments"]["points"]["data"] |= {"inputs": values, "labels": values}
    with pytest.raises(config.ConfigError, match=r"^experiments\.points: its settings are 1\d\d,\d{3} letters long"):
        grid.results_key(config.parse(raw, "c"))
    raw["experiments"]["points"]["data"] |= {"inputs": values[:400], "labels": values[:400]}
    grid.results_key(config.parse(raw, "c"))
    raw["studies"]["phase_diagram"]["decay_at"] = sorted(values)
    grid.results_key(config.parse(raw, "c"))  # 80,000 letters do fit
