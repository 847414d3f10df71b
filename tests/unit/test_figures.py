"""Every figure on small made-up experiments: that it draws, is legible, and says what it must."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
import yaml
from docutils.core import publish_parts
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.text import Text

from largestep import captions, config, stages, store
from largestep.figures import __main__ as command
from largestep.figures import fits, style
from largestep.figures.labels import DEAD, schedules
from largestep.store import StoreError, variable
from largestep.threshold_sweep import coordinate
from tests.drawn import said, texts
from tests.made_up import RUN, experiment, set_peaks

SEEDS = 4
STEPS = np.arange(0, 20_001, 1000)
SNAPSHOTS = STEPS[::4]
SCHEDULES = {"small": 0.0, "decay10": 0.1, "decay30": 0.3, "decay50": 0.5}
VIEWS = ("curves", "fits", "neurons", "blocks")
ROOT = Path(__file__).parents[2]


def made_up(kind: str, cells: dict[str, float] = SCHEDULES, arms: tuple[str, ...] = ("order", "data")) -> xr.Dataset:
    """An experiment in the layout of the aggregate: regression_1d, two_layer, diagonal or images."""
    generator = np.random.default_rng(0)

    def values(*sizes: int) -> np.ndarray:
        return generator.uniform(0.1, 1.0, (len(cells), len(arms), SEEDS, *sizes))

    dataset = experiment(
        cells,
        STEPS,
        {"train_loss": (("step",), values(len(STEPS)))},
        {"snapshot_step": SNAPSHOTS},
        arms=arms,
        sizes=(0.05, 0.4, 0.1),
        title="Made up",
        paper="Fig. 0",
    )
    dataset["published_train_loss"] = variable(("cell",), np.full(len(cells), 0.5), "1", "the paper's")
    time = len(SNAPSHOTS)
    if kind != "regression_1d":
        dataset["test_loss"] = variable((*RUN, "step"), values(len(STEPS)), "1", "test loss")
    if kind == "diagonal":
        dataset["l0"] = variable((*RUN, "snapshot_step", "l0_threshold"), 200 * values(time, 2), "1", "non-zeros")
        dataset = dataset.assign_coords(l0_threshold=coordinate("l0_threshold", [1e-50, 1e-8], "threshold"))
    if kind != "images":
        dataset["rank"] = variable((*RUN, "snapshot_step", "rank_threshold"), 90 * values(time, 2), "1", "rank")
        dataset = dataset.assign_coords(rank_threshold=coordinate("rank_threshold", [1e-4, 1e-8], "threshold"))
    if kind != "diagonal":
        blocks = 5 if kind == "images" else 1
        dims = (*RUN, "snapshot_step", "block", "correlation_threshold")
        dataset["feature_sparsity"] = variable(dims, values(time, blocks, 2), "1", "sparsity")
        dataset = dataset.assign_coords(
            block=variable(("block",), np.arange(1, blocks + 1), "1", "block"),
            correlation_threshold=coordinate("correlation_threshold", [0.99, 0.9], "threshold"),
        )
    if kind == "images":
        dataset["test_error"] = variable((*RUN, "step"), 50 * values(len(STEPS)), "percent", "test error")
    if kind == "regression_1d":
        dataset["fit"] = variable((*RUN, "snapshot_step", "point"), values(time, 9), "1", "function")
        dataset = dataset.assign_coords(point=variable(("point",), np.linspace(-1, 1, 9), "1", "input"))
        dataset["train_inputs"] = variable(("example",), [-0.5, 0.5], "1", "inputs")
        dataset["train_labels"] = variable(("example",), [0.0, 1.0], "1", "labels")
    if kind == "two_layer":
        dataset["first_layer"] = variable(
            (*RUN, "snapshot_step", "neuron", "input"), values(time, 6, 2), "1", "weights"
        )
        dataset["teacher_neurons"] = variable(("teacher_neuron", "input"), [[1.0, 0.0], [0.0, 1.0]], "1", "teacher")
    return dataset


def diverged(experiment: xr.Dataset, cell: str, arm: str, seeds: list[int]) -> xr.Dataset:
    """The experiment with some runs lost: NaN from step 5 on, as in a store."""
    lost = (experiment["cell"] == cell) & (experiment["arm"] == arm) & experiment["seed"].isin(seeds)
    dataset = experiment.copy()
    for name, values in experiment.data_vars.items():
        if set(RUN) <= set(values.dims) and values.dtype.kind == "f":
            time = "step" if "step" in values.dims else "snapshot_step"
            dataset[name] = values.where(~lost | (values[time] < 5))
    dataset["diverged_step"] = experiment["diverged_step"].where(~lost, 5)
    return dataset


def died(experiment: xr.Dataset, cell: str, arm: str, seeds: list[int]) -> xr.Dataset:
    """The experiment with some runs whose last block ends without an active unit."""
    lost = (experiment["cell"] == cell) & (experiment["arm"] == arm) & experiment["seed"].isin(seeds)
    active = experiment.get(
        "active_fraction", xr.ones_like(experiment["feature_sparsity"].isel(correlation_threshold=0))
    )
    end = (active["snapshot_step"] == SNAPSHOTS[-1]) & (active["block"] == active["block"][-1])
    return experiment.assign(active_fraction=active.where(~(lost & end), 0.0))


def draw(view: str, experiment: xr.Dataset) -> Figure:
    figure = stages.worker("figures", view).draw(experiment)
    assert isinstance(figure, Figure)
    return figure


KIND = {"curves": "diagonal", "fits": "regression_1d", "neurons": "two_layer", "blocks": "images"}
CASES = [
    *(("schedules", kind, SCHEDULES) for kind in ("diagonal", "regression_1d", "two_layer", "images")),
    *((view, kind, SCHEDULES) for view, kind in KIND.items()),
    ("curves", "regression_1d", {"decay2": 0.02, "decay50": 0.5, "decay50_larger": 0.5}),
    ("curves", "images", SCHEDULES),
    ("curves", "diagonal", {"decay50": 0.5}),
    ("fits", "regression_1d", {"decay2": 0.02, "decay50": 0.5, "decay50_larger": 0.5}),
    ("neurons", "two_layer", {"decay50": 0.5}),
    ("curves", "two_layer", SCHEDULES),
]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(("view", "kind", "cells"), CASES)
def test_is_legible(view: str, kind: str, cells: dict[str, float]) -> None:
    experiment = diverged(made_up(kind, cells), list(cells)[-1], "order", [0])
    experiment["step_size"] = experiment["step_size"] * xr.DataArray(1 + np.arange(len(cells)), dims="cell")
    set_peaks(experiment)
    if kind != "diagonal":
        experiment = died(experiment, list(cells)[-1], "order", [1])
    figure = draw(view, experiment)
    with style.house():
        figure.draw_without_rendering()
    page = figure.bbox
    for text in texts(figure):
        assert text.get_fontsize() >= 7, text
        box = text.get_window_extent()
        # Tick labels beyond the limits of an axis exist but are not drawn.
        if text.get_clip_box() is None and text not in _hidden_ticks(figure):
            assert box.x0 >= page.x0 - 1, text
            assert box.x1 <= page.x1 + 1, text
            assert box.y0 >= page.y0 - 1, text
            assert box.y1 <= page.y1 + 1, text
    for ax in figure.axes:
        assert ax.get_xlabel() or not ax.xaxis.get_tick_params()["labelbottom"]
        assert ax.get_ylabel() or not ax.yaxis.get_tick_params()["labelleft"]
        assert ax.get_title(loc="left")
    titles = [ax.get_title(loc="left") for ax in figure.axes]
    assert [title[0] for title in titles] == [chr(ord("a") + index) for index in range(len(titles))]


def _hidden_ticks(figure: Figure) -> list[Text]:
    return [
        label
        for ax in figure.axes
        for axis in (ax.xaxis, ax.yaxis)
        for tick in (*axis.get_major_ticks(), *axis.get_minor_ticks())
        for label in (tick.label1, tick.label2)
        if not axis.get_view_interval().min() <= tick.get_loc() <= axis.get_view_interval().max()
    ]


@pytest.mark.parametrize("view", VIEWS)
def test_counts_diverged_runs(view: str) -> None:
    experiment = diverged(made_up(KIND[view]), "decay50", "order", [0, 2])
    shown = said(draw(view, experiment))
    assert "2 of 4 diverged" in shown
    assert "0 of 4 diverged" in shown
    if view in ("fits", "neurons"):
        assert "seed 1" in shown  # the first that survives
    if view != "neurons":
        assert "never diverge" in shown


@pytest.mark.parametrize("view", VIEWS)
def test_counts_dead_runs_and_says_what_they_are(view: str) -> None:
    experiment = made_up(KIND[view] if view != "curves" else "two_layer")
    assert "dead" not in said(draw(view, experiment)).lower()
    experiment = died(diverged(experiment, "decay50", "order", [0]), "decay50", "order", [0, 1, 3])
    shown = said(draw(view, experiment))
    assert shown.count("1 of 4 diverged, 2 dead") == 1  # seed 0 diverged and does not count as dead
    assert " ".join(DEAD.split()) in " ".join(shown.split())
    if view in ("fits", "neurons"):
        assert "seed 1, dead" in shown


@pytest.mark.parametrize("view", ["fits", "neurons", "blocks"])
def test_dead_runs_of_an_arm_that_is_not_shown_are_not_mentioned(view: str) -> None:
    assert "dead" not in said(draw(view, died(made_up(KIND[view]), "decay50", "data", [0]))).lower()


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("view", VIEWS)
def test_says_where_every_run_diverged(view: str) -> None:
    experiment = made_up(KIND[view])
    for cell in experiment["cell"].values:
        experiment = diverged(experiment, cell, "order", list(range(SEEDS)))
    figure = draw(view, experiment)
    assert style.LOST in said(figure)
    assert "4 of 4 diverged" in said(figure)
    with style.house():
        figure.draw_without_rendering()


def test_a_schedule_has_one_colour_everywhere() -> None:
    expected = [style.colour(fraction) for fraction in SCHEDULES.values()]
    assert len(set(expected)) == len(expected)
    for view in ("curves", "blocks"):
        for ax in draw(view, made_up(KIND[view])).axes:
            lines = [line for line in ax.lines if line.get_linestyle() == "-" and len(line.get_xdata()) > 2]
            assert [to_hex(line.get_color()) for line in lines] == expected
    ends = draw("fits", made_up("regression_1d")).axes[len(SCHEDULES) :]
    assert [to_hex(ax.lines[0].get_color()) for ax in ends] == expected
    neurons = draw("neurons", made_up("two_layer")).axes
    assert all(
        shade in {to_hex(line.get_color()) for line in ax.lines} for ax, shade in zip(neurons, expected, strict=True)
    )


def test_colours_darken_with_the_duration_of_the_large_steps() -> None:
    shades = [style.colour(fraction) for fraction in (0.02, 0.1, 0.3, 0.5, 0.7, 0.9)]
    lightness = [np.dot([0.2126, 0.7152, 0.0722], [int(shade[i : i + 2], 16) for i in (1, 3, 5)]) for shade in shades]
    assert all(earlier > later for earlier, later in itertools.pairwise(lightness))


def test_cells_of_the_same_colour_differ_in_label_and_line() -> None:
    experiment = made_up("regression_1d", {"decay50": 0.5, "decay50_larger": 0.5})
    first, second = schedules(experiment)
    assert first.label.endswith("at 50%, decay50")  # nothing but the name tells these two apart
    assert style.line_style(first) != style.line_style(second)
    experiment["step_size"][1] *= 2
    set_peaks(experiment)
    first, second = schedules(experiment)
    assert (first.label, second.label) == (
        "large step, decay at 50%, peak η 0.4",
        "large step, decay at 50%, peak η 0.8",
    )


def test_a_constant_step_is_small_only_below_the_large_ones() -> None:
    experiment = made_up("diagonal")
    assert schedules(experiment)[0].label == "small step, constant"
    experiment["step_size"][0] = 0.4  # the peak of the others
    set_peaks(experiment)
    assert schedules(experiment)[0].label == "constant step"
    assert schedules(experiment.isel(cell=[0]))[0].label == "constant step"  # beside nothing
    two = made_up("diagonal", {"small": 0.0, "large": 0.0, "decay50": 0.5})
    two["step_size"][1] = 0.1
    set_peaks(two)
    assert [each.label for each in schedules(two)[:2]] == [
        "small step, constant, η 0.05",
        "small step, constant, η 0.1",
    ]


def test_annealed_cells_have_a_label_a_colour_and_lines_of_their_own() -> None:
    cells = {"small": 0.0, "decay50": 0.5, "cosine": np.nan, "cosine_lower": np.nan}
    experiment = made_up("diagonal", cells)
    *_, first, second = schedules(experiment)
    assert (first.label, second.label) == ("cosine annealing, cosine", "cosine annealing, cosine_lower")
    assert (first.twin, second.twin) == (0, 1)
    assert style.line_style(first) != style.line_style(second)
    assert style.colour(first.decay_fraction) == style.ANNEALED
    assert style.ANNEALED not in {style.colour(part) for part in (0.0, 0.02, 0.1, 0.3, 0.5, 0.7, 0.9)}
    experiment["step_size"][3] *= 0.5
    set_peaks(experiment)
    assert [each.label for each in schedules(experiment)] == [
        "small step, constant",
        "large step, decay at 50%, peak η 0.4",
        "cosine annealing, peak η 0.4",
        "cosine annealing, peak η 0.2",
    ]


def test_a_warm_up_tells_cells_of_one_duration_and_peak_apart() -> None:
    experiment = made_up("diagonal", {"he": 0.5, "linear_warmup": 0.5, "later": 0.7})
    experiment["step_size"][1, :2] = [0.04, 0.2]
    set_peaks(experiment)
    assert [each.label for each in schedules(experiment)] == [
        "large step, decay at 50%",
        "large step, decay at 50%, warm-up",
        "large step, decay at 70%",
    ]


def test_an_annealed_step_size_has_no_line_where_it_is_divided() -> None:
    experiment = made_up("diagonal", {"decay50": 0.5, "cosine": np.nan}, ("order",))
    experiment["step_size"][1] = np.linspace(0.4, 0.01, len(STEPS))
    set_peaks(experiment)
    panel = draw("curves", experiment).axes[0]
    assert [line.get_xdata()[0] for line in panel.lines if line.get_linestyle() == ":"] == [10.0]


def test_the_note_names_the_threshold_that_is_shown() -> None:
    """The paper's, wherever it lies among them."""
    experiment = made_up("diagonal", arms=("order",))
    assert "Non-zero: above 1e-50 in absolute value." in said(draw("curves", experiment))
    experiment["l0_threshold"] = coordinate("l0_threshold", [1e-8, 1e-50], "threshold")
    assert "Non-zero: above 1e-08 in absolute value." in said(draw("curves", experiment))


def test_curves_show_the_last_block_that_the_paper_reports() -> None:
    experiment = made_up("images", arms=("order",))
    reported = np.full((len(SCHEDULES), 5), np.nan)
    experiment["published_feature_sparsity"] = variable(("cell", "block"), reported.copy(), "1", "the paper's")
    assert draw("curves", experiment).axes[-1].get_title(loc="left")[4:] == "sparsity, block 5"
    reported[:, 2:4] = 0.5
    experiment["published_feature_sparsity"] = variable(("cell", "block"), reported, "1", "the paper's")
    panel = draw("curves", experiment).axes[-1]
    assert panel.get_title(loc="left")[4:] == "sparsity, block 4"
    assert [line.get_ydata()[0] for line in panel.lines if line.get_marker() == "D"] == [50.0] * len(SCHEDULES)
    panels = draw("blocks", experiment).axes
    diamonds = [sum(line.get_marker() == "D" for line in ax.lines) for ax in panels[:5]]
    assert diamonds == [0, 0, len(SCHEDULES), len(SCHEDULES), 0]


def test_labels_give_the_peaks_of_decayed_cells_where_these_differ() -> None:
    experiment = made_up("diagonal")
    assert not any("peak" in each.label for each in schedules(experiment))
    experiment["step_size"][0] *= 3  # the small step size is another one anyway
    set_peaks(experiment)
    assert not any("peak" in each.label for each in schedules(experiment))
    experiment["step_size"][1] *= 2
    set_peaks(experiment)
    assert [each.label for each in schedules(experiment)] == [
        "small step, constant",
        "large step, decay at 10%, peak η 0.8",
        "large step, decay at 30%, peak η 0.4",
        "large step, decay at 50%, peak η 0.4",
    ]


@pytest.mark.parametrize(
    ("snapshots", "expected"),
    [
        (np.round(np.linspace(0, 31622, 11)).astype(int), ["10%", "30%", "50%", "100%"]),
        (np.array([0, 100, 300, 1000]), ["10%", "30%", "100%"]),  # 0.5 has none of its own
        (np.array([0, 220, 610, 1000]), ["0%", "22%", "61%", "100%"]),
    ],
)
def test_labels_of_moments_are_the_steps_shown(snapshots: np.ndarray, expected: list[str]) -> None:
    experiment = made_up("regression_1d", {"decay50": 0.5}).isel(
        snapshot_step=np.arange(len(snapshots)) % len(SNAPSHOTS)
    )
    experiment["snapshot_step"] = snapshots
    # Every function is constant and says at which percentage of training it was.
    experiment["fit"] = (100 * experiment["snapshot_step"] / snapshots[-1]).broadcast_like(experiment["fit"])
    figure = fits.draw(experiment)
    shown = [line.get_ydata()[0] for line in figure.axes[0].lines if len(line.get_ydata()) == 9]
    labels = [text.get_text() for text in figure.legends[0].get_texts()[1:]]
    assert labels == [f"{part:.3g}% of training" for part in shown]
    assert labels == [f"{part} of training" for part in expected]


def test_band_is_the_median_with_the_middle_half() -> None:
    ax = Figure().subplots()
    runs = np.array([[1.0, 10.0], [2.0, 20.0], [3.0, 30.0], [4.0, 40.0], [5.0, 50.0]])
    style.band(ax, np.array([0, 1]), runs, schedules(made_up("diagonal"))[0])
    np.testing.assert_allclose(ax.lines[0].get_ydata(), [3.0, 30.0])
    corners = ax.collections[0].get_paths()[0].vertices
    assert {tuple(corner) for corner in corners} >= {(0.0, 2.0), (1.0, 20.0), (1.0, 40.0), (0.0, 4.0)}


@pytest.mark.parametrize(
    ("view", "kind", "expected"),
    [
        ("curves", "regression_1d", ["training loss", "rank of Jacobian", "feature sparsity"]),
        ("curves", "diagonal", ["training loss", "test loss", "rank of Jacobian", "non-zeros"]),
        ("curves", "images", ["training loss", "test error", "sparsity, block 5"]),
        ("schedules", "diagonal", ["step size"]),
        ("blocks", "images", [*(f"sparsity, block {block}" for block in range(1, 6)), "test error"]),
    ],
)
def test_shows_what_there_is(view: str, kind: str, expected: list[str]) -> None:
    figure = draw(view, made_up(kind, arms=("data",)))
    assert [ax.get_title(loc="left")[4:] for ax in figure.axes] == expected
    with style.house(), style.laid_out(figure, 100):
        # What is wider is cut off.
        assert all(title.get_window_extent().x1 <= figure.bbox.x1 for title in _titles(figure))


def _titles(figure: Figure) -> list[Text]:
    return [text for ax in figure.axes for text in ax.findobj(Text) if text.get_text() == ax.get_title(loc="left")]


def test_marks_the_decays_and_the_published_values() -> None:
    panel = draw("curves", made_up("diagonal")).axes[0]
    decays = [line.get_xdata()[0] for line in panel.lines if line.get_linestyle() == ":"]
    assert decays == [2.0, 6.0, 10.0]  # thousands of steps
    diamonds = [line for line in panel.lines if line.get_marker() == "D"]
    assert [line.get_ydata()[0] for line in diamonds] == [0.5] * len(SCHEDULES)


@pytest.mark.parametrize(
    ("arms", "marked"), [(("order", "data"), [True, False]), (("data",), [True]), (("data", "order"), [False, True])]
)
def test_published_values_stand_beside_the_fixed_data_set(arms: tuple[str, ...], marked: list[bool]) -> None:
    figure = draw("curves", made_up("diagonal", arms=arms))
    losses = [ax for ax in figure.axes if ax.get_title(loc="left").endswith("training loss")]
    assert [any(line.get_marker() == "D" for line in ax.lines) for ax in losses] == marked
    assert ("fixed data set only" in said(figure)) == (len(arms) > 1)


@pytest.mark.parametrize(("low", "high"), [(0.17, 0.45), (1.5, 90.0), (1e-6, 1.0), (1e-32, 1.0)])
def test_a_logarithmic_axis_has_a_few_labels(low: float, high: float) -> None:
    ax = Figure().subplots()
    ax.plot([0, 1], [low, high])
    style.log_axis(ax)
    bottom, top = ax.get_ylim()
    assert 2 <= sum(bottom <= tick <= top for tick in ax.get_yticks()) <= 8


def write(path: Path, experiment: xr.Dataset) -> None:
    groups = {"made_up": experiment}
    store.write_tree(path, groups, title="", spec="", code="")


def test_files_are_the_same_each_time(tmp_path: Path) -> None:
    source = tmp_path / "largestep.nc"
    write(source, made_up("regression_1d", {"decay50": 0.5}, ("order",)))
    for run in ("first", "second"):
        names = {kind: tmp_path / run / f"figure.{kind}" for kind in ("png", "pdf")}
        arguments = ["figures", "--experiment", "made_up", "--view", "fits", "--input", str(source)]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "argv", [*arguments, "--png", str(names["png"]), "--pdf", str(names["pdf"])])
            command.main()
        assert sorted(path.name for path in (tmp_path / run).iterdir()) == ["figure.pdf", "figure.png"]
    first, second = (
        {kind: (tmp_path / run / f"figure.{kind}").read_bytes() for kind in ("png", "pdf")}
        for run in ("first", "second")
    )
    assert first == second
    assert b"CreationDate" not in first["pdf"]
    assert b"/FontFile2" in first["pdf"]  # the fonts are embedded
    width = int.from_bytes(first["png"][16:20], "big")
    assert width >= 200 * style.TEXT_WIDTH


def test_a_figure_is_laid_out_once_and_drawn_once_for_each_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = {"laid out": 0, "drawn": 0}

    def counted(name: str, function: Callable[..., object]) -> Callable[..., object]:
        def count(*given: object, **named: object) -> object:
            counts[name] += 1
            return function(*given, **named)

        return count

    monkeypatch.setattr(ConstrainedLayoutEngine, "execute", counted("laid out", ConstrainedLayoutEngine.execute))
    monkeypatch.setattr(Figure, "draw", counted("drawn", Figure.draw))
    with style.house():
        figure = Figure()
        figure.subplots()
    style.save(figure, tmp_path / "figure.png", tmp_path / "figure.pdf")
    assert counts == {"laid out": 1, "drawn": 2}


def test_a_file_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreError, match=r"figure\.png: cannot be written"):
        style.save(Figure(), tmp_path / "file" / "figure.png", tmp_path / "figure.pdf")


@pytest.mark.parametrize(
    ("view", "key"),
    [
        ("fits", "fit"),
        ("neurons", "first_layer"),
        ("blocks", "feature_sparsity"),
        ("filters", "filters"),
        ("distances", "weight_distance"),
    ],
)
def test_a_view_without_its_data_is_one_line(
    view: str, key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "largestep.nc"
    write(source, made_up("diagonal"))
    files = ["--png", str(tmp_path / "figure.png"), "--pdf", str(tmp_path / "figure.pdf")]
    arguments = ["figures", "--experiment", "made_up", "--view", view, "--input", str(source), *files]
    monkeypatch.setattr(sys, "argv", arguments)
    with pytest.raises(StoreError) as raised:
        command.main()
    assert str(raised.value) == f"{source}: experiment made_up has no variable {key}; view {view} cannot be drawn"


CONFIG = yaml.safe_load((ROOT / "config.yaml").read_text())
EXPERIMENTS = CONFIG["experiments"]
SETTINGS = config.load(ROOT / "config.yaml")


def caption(experiment: str, view: str) -> str:
    """The caption of a figure of config.yaml."""
    return captions.of_view(SETTINGS.experiments[experiment], view)


@pytest.mark.parametrize(
    ("experiment", "view"), [(name, view) for name in EXPERIMENTS for view in EXPERIMENTS[name]["views"]]
)
def test_caption_is_well_formed(experiment: str, view: str) -> None:
    text = caption(experiment, view)
    settings = {"halt_level": 2, "report_level": 2}
    body = publish_parts(text, writer="html", settings_overrides=settings)["body"]
    assert ("<li>" in body) == (view in ("curves", "progress"))
    assert ("perfectly sparse, but computes a constant" in " ".join(text.split())) == (view != "schedules")
    annealed = any("annealing" in cell for cell in EXPERIMENTS[experiment]["cells"].values())
    assert ("*Annealing.*" in text) == (annealed and view != "stabilisation")
    if view == "fits":
        assert ", ".join(f"{100 * part:g}%" for part in list(fits.MOMENTS)[:-1]) in text


def test_caption_of_blocks_says_what_they_are_in_this_network() -> None:
    said = {name: " ".join(caption(name, "blocks").split()) for name in ("digits", "densenet_cifar10_basic")}
    assert "Blocks 1 to 4 are the stages of the residual network" in said["digits"]
    assert "blocks 2 and 3 are in the transitions" in said["densenet_cifar10_basic"]
    for text in said.values():
        assert "Of a block at most 1000 units are looked at" in text
        assert "by how many points another draw would change the sparsity" in text


def test_caption_knows_the_schedules_that_cells_name() -> None:
    assert not any("decays" in cell for cell in EXPERIMENTS["diagonal_sgd"]["cells"].values())
    assert "*Peak step sizes.*" in caption("diagonal_sgd", "curves")


def test_caption_of_gradient_descent_claims_the_opposite() -> None:
    names = [name for name, settings in EXPERIMENTS.items() if settings["training"]["batch_size"] == "full"]
    assert names == ["diagonal_gd", "diagonal_gd_published"]
    text = " ".join(caption("diagonal_gd_published", "curves").split())
    published = [
        CONFIG["published"]["diagonal_gd_published"][cell] for cell in EXPERIMENTS["diagonal_gd_published"]["cells"]
    ]
    small, *large = [values["test_loss"] for values in published]
    assert f"{small} with the small one, {min(large):.2f} to {max(large):.2f} with the large ones" in text
    small, *large = [values["l0"] for values in published]
    assert f"{small} non-zeros with the small step size, {min(large)} to {max(large)} with the large ones" in text
    assert "The longer the large steps last" not in text
    assert "second arm" not in text
    assert "The longer the large steps last" in " ".join(caption("diagonal_sgd", "curves").split())


@pytest.mark.parametrize(
    ("values", "scale"), [([0.0, 0.0], "linear"), ([np.nan, np.nan], "linear"), ([0.0, 2.0], "log")]
)
def test_a_logarithmic_axis_without_a_positive_value_says_so(values: list[float], scale: str) -> None:
    """Matplotlib would raise an error as it draws."""
    figure = Figure()
    ax = figure.subplots()
    ax.plot([0, 1], values)
    style.log_axis(ax)
    figure.draw_without_rendering()
    said = [text.get_text() for text in ax.texts]
    assert (ax.get_yscale(), said) == (scale, ["no value above 0"] * (scale == "linear"))
