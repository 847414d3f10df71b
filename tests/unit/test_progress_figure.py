"""The figure of what changes while the loss is flat: what it shows, and that it is legible."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from docutils.core import publish_parts

from largestep.figures import progress
from largestep.store import variable
from tests.drawn import check_legible, said
from tests.unit.test_figures import RUN, SCHEDULES, SEEDS, SNAPSHOTS, caption, died, diverged, made_up

TIME = (*RUN, "snapshot_step")
OWN = {
    "diagonal": ("off_support_norm", "off_support_median", "support_rmse"),
    "regression_1d": ("kinks", "slope_variation"),
    "two_layer": ("student_alignment",),
    "images": (),
}
LAYERS = {
    "diagonal": ["u", "v"],
    "regression_1d": ["layer 1", "layer 2"],
    "two_layer": ["layer 1", "layer 2"],
    "images": ["stem", "stage 1", "stage 2", "stage 3", "stage 4", "head"],
}


def with_progress(kind: str, arms: tuple[str, ...] = ("order", "data")) -> xr.Dataset:
    """An experiment in the layout of the aggregate."""
    dataset = made_up(kind, arms=arms)
    generator = np.random.default_rng(1)

    def values(*sizes: int) -> np.ndarray:
        return generator.uniform(0.1, 1.0, (len(SCHEDULES), len(arms), SEEDS, len(SNAPSHOTS), *sizes))

    jacobian = () if kind == "images" else ("jacobian_norm", "small_columns", "effective_rank")
    for name in (*jacobian, *OWN[kind]):
        dataset[name] = variable(TIME, values(), "1", name)
    if jacobian:
        dataset["column_norm"] = variable((*TIME, "column_quantile"), values(3), "1", "norm")
        dataset = dataset.assign_coords(
            column_quantile=variable(("column_quantile",), [0.25, 0.5, 0.75], "1", "quantile")
        )
    if kind == "two_layer":
        dataset["teacher_alignment"] = variable((*TIME, "teacher_neuron"), values(2), "1", "cosine")
    if kind == "diagonal":
        dataset["off_support_norm"][..., 0] = 0.0
    layers = LAYERS[kind]
    dataset["distance"] = variable((*TIME, "layer"), values(len(layers)), "1", "distance")
    return dataset.assign_coords(layer=variable(("layer",), layers, "1", "layer"))


def titles(kind: str) -> list[str]:
    figure = progress.draw(with_progress(kind, ("data",)))
    return [ax.get_title(loc="left")[4:] for ax in figure.axes]


def test_shows_what_there_is() -> None:
    jacobian = ["‖Jacobian‖", "column of Jacobian", "short columns", "effective rank"]
    support = ["off support, norm", "off support, typical", "on support"]
    assert titles("diagonal") == [*jacobian, *support, "moved: u", "moved: v"]
    both = ["moved: layer 1", "moved: layer 2"]
    assert titles("regression_1d") == [*jacobian, "kinks of the function", "variation of the slope", *both]
    assert titles("two_layer") == [*jacobian, "student's neurons", "teacher's neurons", *both]
    assert titles("images") == [f"moved: {layer}" for layer in LAYERS["images"]]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("kind", LAYERS)
def test_is_legible(kind: str) -> None:
    experiment = diverged(with_progress(kind), "decay50", "order", [0, 2])
    if kind != "diagonal":
        experiment = died(experiment, "decay50", "order", [1])
    figure = progress.draw(experiment)
    check_legible(figure)
    assert "2 of 4 diverged" in said(figure)
    assert ("1 dead" in said(figure)) == (kind != "diagonal")


def test_shows_the_median_over_seeds_of_the_measure_in_its_units() -> None:
    experiment = with_progress("two_layer")
    drawn = {ax.get_title(loc="left")[4:]: ax for ax in progress.draw(experiment).axes[:8]}
    first = experiment.isel(cell=0, arm=0)
    expected = {
        "short columns": 100 * first["small_columns"].median("seed"),
        "column of Jacobian": first["column_norm"].sel(column_quantile=0.5).median("seed"),
        "teacher's neurons": first["teacher_alignment"].mean("teacher_neuron").median("seed"),
        "moved: layer 2": first["distance"].sel(layer="layer 2").median("seed"),
    }
    for title, values in expected.items():
        np.testing.assert_allclose(drawn[title].lines[0].get_ydata(), values)


def test_a_start_at_zero_is_left_out_of_a_logarithmic_panel() -> None:
    figure = progress.draw(with_progress("diagonal"))
    panel = next(ax for ax in figure.axes if ax.get_title(loc="left").endswith("off support, norm"))
    assert np.isnan(panel.lines[0].get_ydata()[0])
    assert panel.get_ylim()[0] > 0.01


def test_says_what_leaves_a_panel() -> None:
    experiment = with_progress("two_layer")
    assert "bottom is 0" not in said(progress.draw(experiment))
    experiment["column_norm"][0, 0, :2, 2:] = 0.0
    assert "bottom is 0" in said(progress.draw(experiment))


@pytest.mark.parametrize(
    ("experiment", "words"),
    [
        ("diagonal_sgd", "vanishes exponentially off the support"),
        ("regression_1d", "simplified first and fitted later"),
        ("two_layer", "Neurons turn to those of the teacher"),
        ("three_layer", "leaves the early and middle layers"),
        ("digits", "leaves the early and middle layers"),
    ],
)
def test_caption_says_what_the_paper_claims(experiment: str, words: str) -> None:
    text = caption(experiment, "progress")
    settings = {"halt_level": 2, "report_level": 2}
    assert "<li>" in publish_parts(text, writer="html", settings_overrides=settings)["body"]
    claims = [
        "vanishes exponentially",
        "simplified first",
        "Neurons turn",
        "leaves the early and middle layers",
    ]
    plain = " ".join(text.split())
    assert words in plain
    assert "Diamonds" not in plain
    assert sum(claim in plain for claim in claims) == 1
