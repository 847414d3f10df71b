"""The figures of image classifiers and of schedules: what they show, in which order, and that it is legible."""

from __future__ import annotations

from functools import cache
from itertools import pairwise
from types import ModuleType

import numpy as np
import pytest
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from largestep.figures import blocks, curves, distances, filters, progress, schedules, stabilisation, style
from largestep.images.trainer import CURVES
from largestep.measures import stabilisation as phase
from largestep.models import networks
from largestep.store import variable
from tests.drawn import check_legible, said
from tests.made_up import set_peaks
from tests.settings import as_settings
from tests.unit.test_figures import RUN, SEEDS, SNAPSHOTS, STEPS, diverged, made_up

SMALL_AND_LARGE = {"small": 0.0, "decay10": 0.1, "decay50": 0.5}
# As in the experiment digits_schedules: a constant step size as large as the others, and an annealed one.
OTHERS = {"constant": 0.0, "he": 0.5, "linear_warmup": 0.5, "cosine": np.nan}
ALL = {"small": 0.0, "decay10": 0.1, "decay30": 0.3, "decay50": 0.5, "cosine": np.nan}
# What the panels with the training loss of decay50 are called, in the views curves and stabilisation.
LOSS_OF_DECAY50 = {"training loss", "decay at 50%"}
MODELS = {
    "resnet18": {"kind": "resnet18", "width": 2, "normalisation": "batch"},
    "densenet": {"kind": "densenet", "depth": 100, "growth": 1},
    "vgg16": {"kind": "vgg16", "width": 2, "normalisation": "batch"},
    "mlp": {"kind": "mlp", "hidden": [70, 5]},
}


@cache
def network(kind: str, channels: int = 3) -> networks.Network:
    return networks.draw(as_settings(MODELS[kind]), channels, 10, (8, 8), 0)


def classifier(
    cells: dict[str, float] = SMALL_AND_LARGE,
    kind: str = "resnet18",
    channels: int = 3,
    blocks: int = 5,
    shape: tuple[int, ...] = (64, 3, 3),
) -> xr.Dataset:
    """An image classifier in the layout of the aggregate; shape: filters, rows and columns of the first layer."""
    dataset = made_up("images", cells, ("order",)).isel(block=np.arange(blocks) % 5)
    dataset = dataset.assign_coords(block=variable(("block",), np.arange(1, blocks + 1), "1", "block"))
    generator = np.random.default_rng(1)
    runs = (len(cells), 1, SEEDS)

    def values(*sizes: int) -> np.ndarray:
        return generator.uniform(0.1, 1.0, (*runs, *sizes))

    time, net = len(SNAPSHOTS), network(kind, channels)
    weights, parts = list(networks.weights(net)), list(networks.parts(net))
    start = np.arange(time) > 0
    dataset["weight_distance"] = variable(
        (*RUN, "snapshot_step", "weight"), values(time, len(weights)) * start[:, None], "1", "distance"
    )
    dataset["distance"] = variable((*RUN, "snapshot_step", "layer"), values(time, len(parts)) * start[:, None], "1", "")
    dataset["dead_fraction"] = variable((*RUN, "snapshot_step", "block"), 0.2 * values(time, blocks), "1", "dead")
    ranks = 90.0 * values(time, blocks)
    dataset["feature_effective_rank"] = variable((*RUN, "snapshot_step", "block"), ranks, "1", "rank")
    dims = (*RUN, "moment", "filter", "channel", "row", "column")
    weight = generator.standard_normal((*runs, 2, shape[0], channels, *shape[1:]))
    weight[..., 0, :, :, :, :] = weight[:1, ..., 0, :, :, :, :]  # one init for all cells
    dataset["filters"] = variable(dims, weight, "1", "filters")
    return with_step_sizes(dataset).assign_coords(
        weight=variable(("weight",), weights, "1", "layer"),
        layer=variable(("layer",), parts, "1", "part"),
        moment=variable(("moment",), ["start", "end"], "1", "moment"),
    )


def with_step_sizes(experiment: xr.Dataset) -> xr.Dataset:
    """The experiment with a cosine in annealed cells, and a warm-up or a large constant step where a cell says so."""
    dataset = experiment.copy()
    sizes = dataset["step_size"]
    for place, cell in enumerate(dataset["cell"].values):
        if np.isnan(dataset["decay_fraction"].values[place]):
            sizes[place] = 0.2 * (1 + np.cos(np.pi * STEPS / (STEPS[-1] + 1)))
        if cell == "constant":
            sizes[place] = 0.4
        if cell == "linear_warmup":
            sizes[place, :2] = [0.04, 0.3]
    set_peaks(dataset)
    return dataset


def lost_runs(experiment: xr.Dataset, cell: str, seeds: list[int]) -> xr.Dataset:
    """The experiment with some runs diverged: their filters are NaN at the end."""
    dataset = diverged(experiment.drop_vars("filters"), cell, "order", seeds)
    lost = (experiment["cell"] == cell) & experiment["seed"].isin(seeds) & (experiment["moment"] == "end")
    return dataset.assign(filters=experiment["filters"].where(~lost).transpose(*experiment["filters"].dims))


def titles(figure: Figure) -> list[str]:
    return [ax.get_title(loc="left")[4:] for ax in figure.axes]


def test_figures_say_which_training_loss_they_show() -> None:
    experiment = classifier()
    experiment["train_loss"].attrs["long_name"] = CURVES["train_loss"][1]
    experiment = experiment.merge(phase.stabilisation(experiment))
    for figure in (curves.draw(experiment), stabilisation.draw(experiment)):
        text = said(figure)
        assert "Training loss: cross-entropy of up to 1280 training images in evaluation mode, augmented" in text
        check_legible(figure)
    assert "Training loss" not in said(blocks.draw(experiment))


def test_curves_and_stabilisation_draw_the_training_loss_in_evaluation_mode() -> None:
    experiment = classifier()
    experiment["minibatch_loss"] = 7.0 * experiment["train_loss"]
    experiment = experiment.merge(phase.stabilisation(experiment))
    runs = experiment["train_loss"].sel(arm="order", cell="decay50").transpose("seed", "step")
    for view in (curves, stabilisation):
        (ax,) = (
            ax for ax in view.draw(experiment).axes if ax.get_title(loc="left")[4:].splitlines()[0] in LOSS_OF_DECAY50
        )
        thickest = max(
            (
                line
                for line in ax.lines
                if len(line.get_ydata()) > 2 and to_hex(line.get_color()) == to_hex(style.colour(0.5))
            ),
            key=lambda line: line.get_linewidth(),
        )
        expected = runs.median("seed").values
        np.testing.assert_allclose(thickest.get_ydata(), expected[: len(thickest.get_ydata())])


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("cells", [SMALL_AND_LARGE, OTHERS, ALL], ids=["paper", "others", "all"])
@pytest.mark.parametrize("view", [schedules, distances, filters, blocks])
def test_is_legible(view: ModuleType, cells: dict[str, float]) -> None:
    check_legible(view.draw(lost_runs(classifier(cells), list(cells)[1], [0])))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("kind", MODELS)
def test_layers_of_every_network_are_legible(kind: str) -> None:
    check_legible(distances.draw(classifier(kind=kind)))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("count", [1, 2, 7])
def test_any_number_of_blocks_is_legible(count: int) -> None:
    figure = blocks.draw(classifier(blocks=count))
    check_legible(figure)
    assert len(figure.axes) == count + 3


@pytest.mark.parametrize("view", [distances, filters, blocks])
def test_counts_diverged_runs(view: ModuleType) -> None:
    figure = view.draw(lost_runs(classifier(), "decay50", [0, 2]))
    shown = said(figure)
    assert shown.count("2 of 4 diverged") == (len(figure.pages) if isinstance(figure, style.Book) else 1)
    assert "0 of 4 diverged" in shown


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("view", [distances, blocks])
def test_says_where_every_run_diverged(view: ModuleType) -> None:
    experiment = classifier()
    for cell in SMALL_AND_LARGE:
        experiment = lost_runs(experiment, cell, list(range(SEEDS)))
    assert style.LOST in said(view.draw(experiment))


def drawn(ax: Axes, shade: str) -> list[np.ndarray]:
    """The step sizes of all lines of a colour."""
    return [np.asarray(line.get_ydata()) for line in ax.lines if to_hex(line.get_color()) == to_hex(shade)]


def test_schedules_fall_in_a_step_where_they_are_divided_and_on_a_curve_where_they_are_annealed() -> None:
    (ax,) = schedules.draw(classifier({"decay50": 0.5, "cosine": np.nan})).axes
    divided, cosine = (
        next(line for line in ax.lines if to_hex(line.get_color()) == to_hex(style.colour(fraction)))
        for fraction in (0.5, np.nan)
    )
    x, y = divided.get_xdata(), divided.get_ydata()
    fall = int(np.flatnonzero(np.diff(y) < 0)[0])
    assert (x[fall], x[fall + 1], y[fall], y[fall + 1]) == (10.0, 10.0, 0.4, 0.1)
    assert (np.diff(cosine.get_ydata()) < 0).all()
    assert len(cosine.get_xdata()) == len(STEPS)
    assert ax.get_ylim()[0] > cosine.get_ydata()[-1]


def test_schedules_that_coincide_lie_on_wider_ones_that_last_longer() -> None:
    (ax,) = schedules.draw(classifier(ALL)).axes
    width = {to_hex(line.get_color()): line.get_linewidth() for line in ax.lines}
    assert len(width) == len(ALL)
    ten, thirty, fifty = (width[style.colour(part)] for part in (0.1, 0.3, 0.5))
    assert ten < thirty < fifty
    assert width[style.CONSTANT] == width[to_hex(style.ANNEALED)] == schedules.WIDTH  # crossed, but with none upon them
    order = [to_hex(line.get_color()) for line in ax.lines]
    assert order.index(style.colour(0.5)) < order.index(style.colour(0.3)) < order.index(style.colour(0.1))


def test_schedules_with_a_warm_up_from_zero_can_be_drawn() -> None:
    experiment = classifier()
    experiment["step_size"][1, 0] = 0.0
    set_peaks(experiment)
    (ax,) = schedules.draw(experiment).axes
    assert ax.get_ylim()[0] > 0


def test_layers_are_numbered_and_shortcuts_are_not() -> None:
    layers = distances.layers_of(list(networks.weights(network("resnet18"))))
    assert layers.x[~layers.shortcut].tolist() == list(range(1, 19))
    # After layers 6 and 7, the two of the first block of stage 2, which the shortcut goes around.
    assert layers.x[layers.shortcut].tolist() == [6.5, 10.5, 14.5]
    assert layers.parts == [
        ("stem", 1.0, 1.0),
        *((f"stage {stage}", 4.0 * stage - 2, 4.0 * stage + 1) for stage in (1, 2, 3, 4)),
        ("head", 18.0, 18.0),
    ]
    dense = distances.layers_of(list(networks.weights(network("densenet"))))
    assert (len(dense.x), dense.shortcut.any()) == (100, False)
    assert [part for part, _, _ in dense.parts] == ["stem", "stage 1", "stage 2", "stage 3", "head"]


@pytest.mark.parametrize(
    ("layer", "part"),
    [
        ("stages.0.1.conv2", "stage 1"),
        ("stem.0", "stem"),
        ("head", "head"),
        ("layer1.0.conv1", "layer1"),
        ("layers.3", "layers"),
        ("features.11.block.conv", "feature 12"),
    ],
)
def test_parts_come_from_the_names_of_layers(layer: str, part: str) -> None:
    assert distances.part_of(layer) == part


def test_distances_are_the_median_over_seeds_at_the_end() -> None:
    experiment = lost_runs(classifier(), "decay50", [1])
    ax = distances.draw(experiment).axes[0]
    runs = experiment["weight_distance"].isel(arm=0, snapshot_step=-1).sel(cell="decay50").drop_sel(seed=1)
    shortcut = np.array(["downsample" in name for name in runs["weight"].values])
    line, triangles = (
        next(line for line in ax.lines if line.get_marker() == mark and colour(line) == style.colour(0.5))
        for mark, colour in (
            ("None", lambda line: to_hex(line.get_color())),
            ("^", lambda line: to_hex(line.get_markeredgecolor())),
        )
    )
    expected = runs.median("seed").values
    np.testing.assert_allclose(line.get_ydata(), expected[~shortcut])
    np.testing.assert_allclose(triangles.get_ydata(), expected[shortcut])
    assert titles(distances.draw(experiment))[1:] == list(networks.parts(network("resnet18")))


def test_names_of_parts_do_not_overlap() -> None:
    for kind in MODELS:
        figure = distances.draw(classifier(kind=kind))
        with style.house():
            figure.draw_without_rendering()
        boxes = sorted((text.get_window_extent() for text in figure.axes[0].texts), key=lambda box: box.x0)
        assert len(boxes) >= 2
        assert all(left.x1 < right.x0 for left, right in pairwise(boxes))


def test_filters_of_the_small_step_stand_beside_those_of_the_longest_phase() -> None:
    def cells(experiment: xr.Dataset) -> list[str]:
        return [each.cell for each in filters.shown_cells(experiment)]

    assert cells(classifier(ALL)) == ["small", "decay50"]
    assert cells(classifier({"decay10": 0.1, "decay30": 0.3, "decay50": 0.5, "cosine": np.nan})) == [
        "decay10",
        "decay50",
    ]
    assert cells(classifier(OTHERS)) == ["he", "linear_warmup"]  # its constant step is none of the small ones
    assert cells(classifier({"small": 0.0})) == ["small"]


def pictures(ax: Axes) -> list[np.ndarray]:
    return [np.asarray(image.get_array()) for image in ax.images]


def test_filters_are_sorted_by_their_norm_at_the_end_and_grey_is_zero() -> None:
    experiment = classifier(channels=1)
    values = experiment["filters"].values
    values[2, 0, 0, 1, 10:15] = 0.0
    start, end = filters.draw(experiment).axes[2:]
    after = values[2, 0, 0, 1, :, 0]
    order = np.argsort(-np.linalg.norm(after.reshape(64, -1), axis=1), kind="stable")
    scale = np.abs(after).max()
    for picture, which in zip(pictures(end), order, strict=True):
        np.testing.assert_allclose(picture, np.repeat((0.5 + 0.5 * after[which] / scale)[..., None], 3, axis=-1))
    assert all((picture == 0.5).all() for picture in pictures(end)[-5:])
    before = values[2, 0, 0, 0, :, 0]
    np.testing.assert_allclose(pictures(start)[0][..., 0], 0.5 + 0.5 * before[order[0]] / np.abs(before).max())
    assert "5 of 64 nearly vanished" in end.get_title(loc="left")
    assert f"±{scale:.2g}" in end.get_title(loc="left")


def test_filters_of_colour_images_are_in_colour() -> None:
    experiment = classifier()
    values = experiment["filters"].values[0, 0, 0, 0]
    start = filters.draw(experiment).axes[0]
    colours = {tuple(picture[1, 2].round(6)) for picture in pictures(start)}
    assert colours == {tuple((0.5 + 0.5 * each[:, 1, 2] / np.abs(values).max()).round(6)) for each in values}
    assert "Red, green and blue" in said(filters.draw(experiment))
    assert "Red, green and blue" not in said(filters.draw(classifier(channels=1)))


def test_other_filters_are_made_into_pictures() -> None:
    inputs = np.arange(14.0).reshape(2, 7, 1, 1)
    (first, _) = filters.as_pictures(inputs)
    np.testing.assert_array_equal(first[..., 0], [[0, 1, 2], [3, 4, 5], [6, 0, 0]])
    many = np.arange(2 * 4 * 9.0).reshape(2, 4, 3, 3)
    np.testing.assert_array_equal(filters.as_pictures(many)[..., 0], many.mean(axis=1))
    assert "means over 4 channels" in " ".join(said(filters.draw(classifier(channels=4))).split())


def test_filters_are_those_of_the_first_seed_that_survives_in_both() -> None:
    experiment = lost_runs(lost_runs(classifier(), "small", [0]), "decay50", [1])
    figure = filters.draw(lost_runs(experiment, "decay10", [2]))  # not shown
    assert "Seed 2, the first that diverges in no schedule" in said(figure)
    end = experiment["filters"].sel(cell="small", seed=2, moment="end").values[0]
    assert f"±{np.abs(end).max():.2g}" in figure.axes[1].get_title(loc="left")
    assert all(len(ax.images) == 64 for ax in figure.axes)


@pytest.mark.filterwarnings("error")
def test_filters_say_when_no_seed_survives_in_both() -> None:
    experiment = lost_runs(lost_runs(classifier(), "small", [0]), "decay50", list(range(SEEDS)))
    figure = filters.draw(experiment)
    assert "No seed survives in all schedules shown here; seed 1" in " ".join(said(figure).split())
    assert [len(ax.images) for ax in figure.axes] == [64, 64, 64, 0]
    assert figure.axes[3].texts[0].get_text() == "diverged at step 5"


def test_blocks_end_with_dead_units_and_effective_ranks() -> None:
    experiment = lost_runs(classifier(), "decay50", [3])
    dead, rank = blocks.draw(experiment).axes[-2:]
    assert [ax.get_title(loc="left")[4:] for ax in (dead, rank)] == [
        "dead units at the end",
        "effective rank at the end",
    ]
    runs = experiment.isel(arm=0, snapshot_step=-1).sel(cell="decay50").drop_sel(seed=3)
    for ax, name, factor in ((dead, "dead_fraction", 100.0), (rank, "feature_effective_rank", 1.0)):
        (median,) = drawn(ax, style.colour(0.5))
        np.testing.assert_allclose(median, factor * runs[name].median("seed"))


def test_blocks_say_how_far_another_draw_of_units_would_be() -> None:
    experiment = classifier()
    error = xr.zeros_like(experiment["feature_sparsity"])
    error[dict(cell=2, seed=[0, 1, 2], snapshot_step=-1, block=1)] = xr.DataArray([0.004, 0.006, 0.02], dims="seed")
    error[dict(cell=2, seed=3, snapshot_step=-1, block=1)] = 0.9
    error[dict(snapshot_step=0)] = 0.9
    experiment = lost_runs(experiment.assign(feature_sparsity_error=error), "decay50", [3])
    figure = blocks.draw(experiment)
    check_legible(figure)
    assert [[text.get_text() for text in ax.texts] for ax in figure.axes[:5]] == [[], ["± 0.6"], [], [], []]
    assert "standard error of the sparsity at the end by the draw of units" in " ".join(said(figure).split())
    assert "draw of units" not in said(blocks.draw(classifier()))


def test_a_schedule_has_its_colour_in_every_view() -> None:
    experiment = classifier(ALL)
    expected = {to_hex(style.colour(fraction)) for fraction in ALL.values()}
    for view in (schedules, distances, blocks):
        figure = view.draw(experiment)
        assert {to_hex(line.get_color()) for line in figure.axes[0].lines if line.get_marker() == "None"} >= expected
    frames = [to_hex(ax.spines["left"].get_edgecolor()) for ax in filters.draw(experiment).axes]
    assert frames == [style.CONSTANT] * 2 + [style.colour(0.5)] * 2


@pytest.mark.filterwarnings("error")
def test_other_views_take_annealed_cells() -> None:
    experiment = classifier(OTHERS)
    assert "cosine annealing" in said(progress.draw(experiment))
    phases = experiment.merge(phase.stabilisation(experiment))
    shown = said(stabilisation.draw(phases))
    assert "cosine" not in shown
    assert "warm-up" in shown
