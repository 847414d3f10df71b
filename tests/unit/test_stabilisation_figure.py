"""The figure of the stabilised loss: what it shows, and that it is legible."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from largestep.figures import stabilisation, style
from largestep.measures.stabilisation import stabilisation as measured
from largestep.measures.stabilisation import truncation
from largestep.store import variable
from tests.drawn import check_legible, said
from tests.made_up import with_schedules
from tests.unit.test_figures import SEEDS, caption, diverged, made_up

STEPS = np.arange(0, 20_001, 200)


def with_phase(
    kind: str = "diagonal", arms: tuple[str, ...] = ("order", "data"), trend: float = 0.0, shift: float = 0.0
) -> xr.Dataset:
    """An experiment in the layout of the aggregate; its log10 loss changes by `trend` until a decay at 50%.

    shift: decades by which the loss of every seed lies above that of the seed before.
    """
    base = made_up(kind, arms=arms).drop_dims("step")
    rng = np.random.default_rng(0)
    fractions = base["decay_fraction"].values
    shape = (len(fractions), len(arms), SEEDS, len(STEPS))
    noise = 0.05 * rng.standard_normal(shape) + shift * np.arange(SEEDS)[:, None]
    before = -1.0 + trend * STEPS / 10_000
    decayed = (fractions[:, None] > 0) & (fractions[:, None] * STEPS[-1] < STEPS)
    dataset = base.assign(
        train_loss=variable(
            ("cell", "arm", "seed", "step"),
            10.0 ** (np.where(decayed, -3.0, before)[:, None, None] + noise),
            "1",
            "loss",
        ),
        step_size=variable(("cell", "step"), np.where(decayed, 0.1, 0.4), "1", "step size"),
    ).assign_coords(step=variable(("step",), STEPS, "step", "step"))
    if kind == "images":
        dataset["test_error"] = dataset["train_loss"]
    return with_schedules(dataset, fractions)


def draw(experiment: xr.Dataset) -> str:
    return said(stabilisation.draw(experiment.merge(measured(experiment))))


def test_has_a_panel_for_every_cell_with_a_decay_and_one_for_the_trends() -> None:
    figure = stabilisation.draw((dataset := with_phase()).merge(measured(dataset)))
    titles = [ax.get_title(loc="left")[4:] for ax in figure.axes]
    losses = [f"decay at {part}%\n0 of 4 diverged" for part in (10, 30, 50)]
    assert titles == 2 * [*losses, "trend before decay"]
    assert "small step" not in said(figure)


def test_labels_every_cell_where_it_is_and_has_no_legend() -> None:
    """Two cells of the same duration as well: by the letters of their panels."""
    dataset = with_phase(arms=("order",)).sel(cell=["decay30", "decay50"])
    dataset["decay_fraction"][:] = 0.5
    figure = stabilisation.draw(dataset.merge(measured(dataset)))
    first, second, trends = figure.axes
    assert {first.get_title(loc="left").splitlines()[0], second.get_title(loc="left").splitlines()[0]} == {
        "a   decay at 50%, decay30",
        "b   decay at 50%, decay50",
    }
    assert [label.get_text() for label in trends.get_yticklabels()] == ["a  50%", "b  50%"]
    assert not any(page.legends for page in figure.pages)


def test_shows_level_onset_and_trend() -> None:
    dataset = with_phase(arms=("order",), shift=0.1)
    dataset = dataset.merge(measured(dataset))
    *_, longest, trends = stabilisation.draw(dataset).axes
    runs = dataset.isel(arm=0).sel(cell="decay50")
    level = next(line for line in longest.lines if line.get_color() == stabilisation.LEVEL)
    np.testing.assert_allclose(level.get_ydata(), float(runs["stabilisation_level"].median()))
    np.testing.assert_allclose(level.get_xdata(), [float(runs["stabilisation_onset"].median()) / 1000, 10.0])
    ticks = [part for part in longest.collections if len(part.get_segments()) == SEEDS]
    places = [segment[0][0] for segment in ticks[0].get_segments()]
    np.testing.assert_allclose(sorted(places), np.sort(runs["stabilisation_onset"]) / 1000)
    dots = [line for line in trends.lines if line.get_marker() == "."]
    np.testing.assert_allclose(dots[-1].get_xdata(), np.sort(runs["stabilisation_slope"]))


def test_counts_runs_that_stabilise() -> None:
    assert draw(with_phase(arms=("order",))).count("stable: 4 of 4") == 3
    falling = with_phase(arms=("order",), trend=-3.0)
    phase = falling["train_loss"].isel(cell=-1, arm=0).values[:, STEPS <= 10_000]
    assert (truncation(np.log10(phase)) == -1).all()
    assert draw(falling).count("stable: 0 of 4") == 3


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("kind", ["diagonal", "images"])
def test_is_legible(kind: str) -> None:
    experiment = diverged(with_phase(kind), "decay50", "order", [0, 2])
    figure = stabilisation.draw(experiment.merge(measured(experiment)))
    check_legible(figure)
    assert "2 of 4 diverged" in said(figure)
    assert "never diverges" in said(figure)


@pytest.mark.filterwarnings("error")
def test_says_where_there_is_nothing_to_show() -> None:
    """Every run of a cell diverged; and another cell has too short a phase."""
    experiment = diverged(with_phase(arms=("order",)), "decay50", "order", list(range(SEEDS)))
    assert style.LOST in draw(experiment)
    short = experiment.isel(step=slice(None, None, 10))
    assert "fewer than 10" in draw(short)
    assert "not measured" in draw(short)


def test_caption_speaks_of_what_is_drawn() -> None:
    text = " ".join(caption("diagonal_sgd", "stabilisation").split())
    assert "block-bootstrap" in text
    assert "Lines and bands" not in text
    assert "no noise but that of the unstable step size" in " ".join(caption("diagonal_gd", "stabilisation").split())
