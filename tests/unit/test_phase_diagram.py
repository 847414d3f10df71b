"""The phase diagram: its runs are those of the cells, and C4 and C5 at matched step sizes follow their data."""

from __future__ import annotations

import copy
import json
from itertools import islice
from typing import Any

import numpy as np
import pytest
import xarray as xr
from docutils.core import publish_parts

from largestep import captions, config, grid
from largestep.claims import duration
from largestep.claims import phase_diagram as claims
from largestep.claims.results import Results
from largestep.claims.verdict import Row, decide
from largestep.data import sparse_regression
from largestep.figures import phase_diagram as figure
from largestep.figures import style
from largestep.specs.aggregates import StudyLeftOut
from largestep.studies import phase_diagram
from tests.conftest import REPOSITORY
from tests.drawn import said
from tests.draws import DRAWS
from tests.settings import CONSTANT, as_settings, study_of, train

# Powers of two apart, so that a division gives the decayed step size to the bit.
LARGE, DECAYED = 0.25, 0.0625
SUPPORT = 2


def spec_of(**settings: Any) -> dict[str, Any]:
    """The spec of the tiny phase diagram, with other settings."""
    tiny = config.load(REPOSITORY / "tests/tiny/config.yaml")
    spec: dict[str, Any] = json.loads(grid.study_spec(tiny, "phase_diagram"))
    # The range has LARGE at its middle; the last one diverges for some or all seeds.
    spec["settings"] |= {"step_sizes": {"low": 0.1, "high": 0.4, "count": 3}, "decayed_step_size": DECAYED} | settings
    return spec


def cells(spec: dict[str, Any], decay_at: float, arm: str) -> tuple[xr.Dataset, xr.Dataset, xr.Dataset]:
    """The data, losses and snapshots of a cell with the step size LARGE."""
    experiment = spec["experiments"]["diagonal"]
    training = experiment["training"] | {"arms": [arm], "seeds": spec["settings"]["seeds"]}
    schedule = CONSTANT | {"step_size": LARGE, "decays": [{"at": decay_at, "divide_by": LARGE / DECAYED}]}
    data = sparse_regression.draw(as_settings(experiment["data"]["data"]), training["seeds"])
    cell = {"cell": "made.up", "model": experiment["model"], "training": training, "schedule": schedule}
    return data, *train(cell, data)


@pytest.fixture(scope="module")
def whole() -> xr.Dataset:
    return phase_diagram.study(study_of(spec_of()), 1)


@pytest.mark.parametrize("arm", ["order", "data"])
@pytest.mark.parametrize("after_update", [False, True])
def test_runs_are_those_of_the_cells(arm: str, after_update: bool) -> None:
    """Also where the update of the decay's own step is a large one, as for the published diagonal networks."""
    spec = spec_of(arm=arm)
    spec["experiments"]["diagonal"]["training"]["decay_after_update"] = after_update
    diagram = phase_diagram.study(study_of(spec), 1).isel(step_size=1)
    assert float(diagram["step_size"]) == LARGE
    for decay_at in spec["settings"]["decay_at"]:
        _, losses, _ = cells(spec, decay_at, arm)
        point = diagram.sel(decay_at=decay_at)
        np.testing.assert_array_equal(point["diverged_step"], losses["diverged_step"].sel(arm=arm))
        for measure in ("train_loss", "test_loss"):
            expected = losses[measure].sel(arm=arm).isel(step=-1)
            np.testing.assert_allclose(point[measure], expected, rtol=1e-12)


def test_what_is_measured_before_the_decay() -> None:
    """Against a cell that is evaluated and kept at the same steps."""
    spec = spec_of()
    training = spec["experiments"]["diagonal"]["training"]
    training["snapshots"] = training["evaluations"]
    diagram = phase_diagram.study(study_of(spec), 1).isel(step_size=1)
    for decay_at in spec["settings"]["decay_at"]:
        data, losses, snapshots = cells(spec, decay_at, "order")
        decay, steps = int(losses["decay_step"][0]), losses["step"].values
        point = diagram.sel(decay_at=decay_at)
        level = losses["train_loss"].isel(arm=0, step=(steps >= decay // 2) & (steps <= decay)).mean("step")
        np.testing.assert_allclose(point["phase_loss"], level, rtol=1e-12)
        # A twentieth of the evaluations is one.
        before = snapshots["parameters"].isel(arm=0).isel(snapshot_step=np.flatnonzero(steps <= decay)[-1]).values
        u, v = np.split(before, 2, axis=-1)
        error = u * v - data["truth"].values[0]
        np.testing.assert_allclose(point["support_rmse"], np.sqrt((error[:, :SUPPORT] ** 2).mean(axis=1)), rtol=1e-12)
        np.testing.assert_allclose(point["off_support"], np.linalg.norm(error[:, SUPPORT:], axis=1), rtol=1e-12)


def test_non_zeros_of_the_last_predictor() -> None:
    spec = spec_of()
    diagram = phase_diagram.study(study_of(spec), 1).isel(step_size=1)
    _, _, snapshots = cells(spec, 0.4, "order")
    u, v = np.split(snapshots["parameters"].isel(arm=0, snapshot_step=-1).values, 2, axis=-1)
    for threshold in diagram["l0_threshold"].values:
        counted = (np.abs(u * v) > threshold).sum(axis=1)
        np.testing.assert_array_equal(diagram["l0"].sel(decay_at=0.4, l0_threshold=threshold), counted)


def test_diverged_runs_have_no_values() -> None:
    diagram = phase_diagram.study(study_of(spec_of(step_sizes={"low": 0.4, "high": 0.8, "count": 2})), 1)
    lost = diagram["diverged_step"] >= 0
    assert 0 < int(lost.sum()) < lost.size
    for measure in ("test_loss", "train_loss", "phase_loss", "support_rmse", "off_support", "l0"):
        missing = diagram[measure].isnull()
        if "l0_threshold" in missing.dims:
            missing = missing.all("l0_threshold")
        assert (missing == lost).all()
    # Runs share their large-step phase: who diverges in it diverges at the same step whenever the decay was to be.
    early = lost & (diagram["diverged_step"] < 0.2 * 401)
    assert early.any()
    assert (
        (diagram["diverged_step"].where(early).max("decay_at") == diagram["diverged_step"].where(early))
        .where(early, True)
        .all()
    )


def test_threads_do_not_matter(whole: xr.Dataset) -> None:
    xr.testing.assert_identical(phase_diagram.study(study_of(spec_of()), 2), whole)


def test_label_noise_is_refused() -> None:
    spec = spec_of()
    spec["experiments"]["diagonal"]["training"]["label_noise"] = 0.1
    with pytest.raises(ValueError, match="experiment diagonal has label noise"):
        phase_diagram.study(study_of(spec), 1)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        ({"step_sizes": {"low": 0.5, "high": 0.1, "count": 3}}, "step_sizes: low 0.5 must lie below high 0.1"),
        ({"decay_at": [0.4, 0.2]}, "phase_diagram: decay_at must increase"),
        ({"decayed": 0.1}, "studies.phase_diagram.decayed: unknown key"),
        ({"experiment": "points"}, r"needs a model of kind \['diagonal'\]"),
        ({"cells": ["decay99"]}, "has no cell decay99"),
    ],
)
def test_unusable_settings(edit: dict[str, Any], message: str) -> None:
    raw = copy.deepcopy(config.read(REPOSITORY / "tests/tiny/config.yaml"))
    raw["studies"]["phase_diagram"] |= edit
    with pytest.raises(config.ConfigError, match=message) as error:
        config.parse(raw, "config.yaml")
    assert "\n" not in str(error.value)


# The figure


@style.house()
def texts_of(study: xr.Dataset) -> str:
    drawn = figure.draw(study)
    drawn.draw_without_rendering()
    return said(drawn)


def test_figure_says_what_it_shows(whole: xr.Dataset) -> None:
    said = texts_of(whole)
    assert "Fixed data set" in said
    assert f"step size {DECAYED:g}" in said
    assert "fewer than 6 of 6 seeds survive" in said


def test_cells_with_few_survivors_are_left_out(whole: xr.Dataset) -> None:
    study = whole.copy(deep=True)
    study["diverged_step"][0, 0, 0] = 7
    with style.house():
        axes = figure.draw(study).axes
    for panel, left_out in zip(axes[:4], (1, 1, 1, 0), strict=True):
        shown = panel.collections[0].get_array()
        assert shown is not None
        expected = left_out + (left_out > 0) * int((whole["diverged_step"] >= 0).any("seed").sum())
        assert np.ma.count_masked(shown) == expected
    # The share of runs that diverge is that of the cell at the bottom left.
    assert axes[3].collections[0].get_array()[0, 0] == pytest.approx(100 / 6)


def test_figure_where_all_diverge(whole: xr.Dataset) -> None:
    study = whole.copy(deep=True)
    study["diverged_step"][:] = 3
    texts_of(study)


@pytest.mark.parametrize("name", ["phase_diagram", "phase_diagram_data"])
def test_caption(name: str) -> None:
    text = captions.of_study(config.load(REPOSITORY / "config.yaml").studies[name])
    assert "0.05875" in text
    assert ("own data set" in text) == (name == "phase_diagram_data")
    publish_parts(text, writer="html", settings_overrides={"halt_level": 2})


# The claims


def diagram(
    generator: np.random.Generator, effect: float, size_effect: float = 0.0, decline: float = 0.0, seeds: int = 40
) -> xr.Dataset:
    """Made-up measures: effect of the decay time and of the step size, in units of the noise of a run.

    decline: by how many decades the level of the loss falls from one decay time to the next.
    """
    sizes, times = np.linspace(0.2, 0.3, 6), np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.7, 0.9])
    shape = (len(sizes), len(times), seeds)
    # Runs of a seed at one step size share the phase before the decay.
    values = generator.standard_normal((len(sizes), 1, seeds)) + generator.standard_normal(shape)
    values += effect * times[:, None] + size_effect * (sizes[:, None, None] - 0.25) / 0.1
    level = 10.0 ** (-decline * np.arange(len(times)))[:, None] * np.ones(shape)
    dims = phase_diagram.POINT
    return xr.Dataset(
        {
            "test_loss": (dims, np.exp(values)),
            "l0": ((*dims, "l0_threshold"), np.round(100 + 10 * values)[..., None].repeat(2, axis=-1)),
            "phase_loss": (dims, level),
            "diverged_step": (dims, np.full(shape, -1)),
            "arm": "order",
            "published_step_size": ("cell", [0.24, 0.24, 0.25]),
        },
        {
            "step_size": sizes,
            "decay_at": times,
            "seed": np.arange(seeds),
            "l0_threshold": ("l0_threshold", [1e-50, 1e-4], {"paper": 1e-50}),
        },
        {"kind": "phase_diagram"},
    )


def rows_of(study: xr.Dataset) -> list[Row]:
    return decide(claims.measured(Results({}, {"made_up": study})))


def headlines(study: xr.Dataset) -> dict[str, Row]:
    return {row.claim: row for row in rows_of(study) if row.headline}


@pytest.mark.parametrize(("effect", "answer"), [(-3.0, "supported"), (3.0, "refuted")])
def test_verdict_follows_the_effect_of_duration(effect: float, answer: str) -> None:
    rows = headlines(diagram(np.random.default_rng(0), effect))
    assert {claim: row.verdict for claim, row in rows.items()} == {"C4": answer, "C5": answer}
    for row in rows.values():
        assert (row.seeds, row.diverged) == (40, 0)
        assert "step sizes at which the loss keeps its level, decay by 50%" in row.statistic


def test_size_is_not_taken_for_duration() -> None:
    """Step sizes of very different measures, each without an effect of duration."""
    rows = rows_of(diagram(np.random.default_rng(1), 0.0, size_effect=-50.0))
    assert all(row.verdict == "undecided" for row in rows if row.headline)
    assert all(row.verdict == "supported" for row in rows if "correlation of step size" in row.statistic)


def test_only_stabilised_losses_count() -> None:
    """The loss of half the step sizes falls; there duration helps. Among the others it harms."""
    study = diagram(np.random.default_rng(2), 4.0)
    falling = diagram(np.random.default_rng(3), -4.0, decline=0.5)
    mixed = xr.concat(
        [study.isel(step_size=slice(3)), falling.isel(step_size=slice(3, None))], "step_size", data_vars="minimal"
    )
    row = headlines(mixed)["C4"]
    assert row.verdict == "refuted"
    assert row.note == "on average 3.0 of 6 step sizes"


def test_the_step_size_of_the_paper_is_asked_alone() -> None:
    """Of the published step sizes 0.24 is on the grid; there duration harms, elsewhere it helps."""
    study = diagram(np.random.default_rng(9), -3.0)
    study["test_loss"][2] = 1.0 / study["test_loss"][2]
    (row,) = [row for row in rows_of(study) if "step size 0.24" in row.statistic and row.claim == "C4"]
    assert (row.verdict, row.headline, row.note) == ("refuted", False, "")


def test_late_decays_are_asked_apart() -> None:
    """An effect that turns round after half of training."""
    study = diagram(np.random.default_rng(4), -3.0)
    study["test_loss"] = study["test_loss"].where(study["decay_at"] <= 0.5, 1e3)
    answers = {
        row.statistic[-3:]: row for row in rows_of(study) if row.claim == "C4" and "keeps its level" in row.statistic
    }
    assert answers["50%"].verdict == "supported"
    assert answers["90%"].estimate > answers["50%"].estimate + 0.3


def test_diverged_runs_are_left_out_by_step_size() -> None:
    """A seed stays with the step sizes at which it survives, and is lost with the last of them."""
    study = diagram(np.random.default_rng(5), -3.0)
    study["diverged_step"][3:, 2, :] = 100
    study["diverged_step"][:, 2, :4] = 100
    for measure in ("test_loss", "l0", "phase_loss"):
        study[measure] = study[measure].where(study["diverged_step"] < 0)
    row = headlines(study)["C4"]
    assert (row.seeds, row.diverged) == (36, 4)
    assert row.note == "on average 3.0 of 6 step sizes"
    assert row.verdict == "supported"


def test_nothing_to_measure_is_said() -> None:
    study = diagram(np.random.default_rng(6), -3.0)
    study["diverged_step"][:] = 5
    assert {row.verdict for row in rows_of(study)} == {"undecided"}
    late = diagram(np.random.default_rng(6), -3.0).isel(decay_at=slice(4, None))
    assert {row.note for row in rows_of(late)} == {"not run: fewer than two decay times up to 50%"}
    later = Results({}, {}, later_studies={"phase_diagram": StudyLeftOut(scale="paper", kind="phase_diagram")})
    rows = decide(claims.measured(later))
    assert {(row.claim, row.verdict) for row in rows} == {("C4", "not run"), ("C5", "not run")}


def test_power_and_level() -> None:
    """At an effect of one standard deviation over the paper's range nearly every draw is right."""
    generator = np.random.default_rng(7)

    def answer(effect: float, rows: int) -> str:
        measured = claims.measured(Results({}, {"made_up": diagram(generator, effect, seeds=24)}))
        return decide(islice(measured, rows))[0].verdict

    # Correction, here over the five statistics of C4, only costs power: either half has the harder condition.
    assert [answer(-2.5, rows=5) for _ in range(DRAWS)].count("supported") >= 0.95 * DRAWS
    assert [answer(0.0, rows=1) for _ in range(DRAWS)].count("supported") <= 0.05 * DRAWS


def test_correlation_by_hand() -> None:
    """Two step sizes of one seed, one rising and one with its middle values swapped: (1 + 0.8) / 2."""
    study = diagram(np.random.default_rng(8), 0.0, seeds=6).isel(step_size=slice(2), decay_at=slice(4))
    values = np.array([[1.0, 2.0, 3.0, 4.0], [1.0, 3.0, 2.0, 4.0]])
    study["test_loss"][:] = values[..., None]
    row = headlines(study)["C4"]
    assert row.estimate == pytest.approx(0.9)
    assert duration.paired_spearman(np.arange(4.0), values.T).tolist() == pytest.approx([1.0, 0.8])
