"""C19: the law against trained networks and by hand, isotonic R² against scikit-learn, claims and figure."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
import xarray as xr
from sklearn.isotonic import IsotonicRegression

from largestep import config, stages
from largestep.claims import exact_law as claim
from largestep.claims.results import Results
from largestep.claims.verdict import decide
from largestep.figures import exact_law as figure
from largestep.studies import exact_law as study
from tests import tiny_studies
from tests.settings import as_settings, train

raw = partial(tiny_studies.raw, "exact_law")


def run(**settings: Any) -> xr.Dataset:
    return tiny_studies.run("exact_law", raw(**settings))


@pytest.fixture(scope="module")
def runs() -> xr.Dataset:
    return run()


def test_the_law_holds_along_training(runs: xr.Dataset) -> None:
    alive = runs["diverged_step"].values < 0
    assert alive.any()
    assert (runs["law_error"].values[alive] < 1e-12).all()
    assert (runs["law_error"].values[alive, -1] > 0.0).any()  # it is computed, and not copied
    fell = runs["scale"].values[alive]
    assert (fell[:, -1] < fell[:, 0]).all()


def test_runs_are_those_of_the_cells(runs: xr.Dataset) -> None:
    settings = config.parse(raw(), "tiny").experiments["diagonal"].model_dump(mode="json")
    settings["training"] |= {"arms": ["data"], "seeds": 6}
    data = stages.worker("data", "sparse_regression").draw(as_settings(settings["data"]), 6)
    cell = {"cell": "c", "model": settings["model"], "training": settings["training"]}
    _, snapshots = train(cell | {"schedule": settings["cells"]["decay50"]}, data)
    u, v = np.split(snapshots["parameters"].isel(arm=0, snapshot_step=-1).values, 2, axis=-1)
    for seed in np.flatnonzero(runs["diverged_step"].values < 0):
        np.testing.assert_allclose(runs["trained"].values[seed], (u * v)[seed], rtol=1e-8, atol=1e-14)


def test_where_the_law_starts() -> None:
    parameters = np.array([0.1, 0.3, -0.2, 0.0, 0.1, 0.5])
    u, v = np.split(parameters, 2)
    np.testing.assert_allclose(study.predictor(*study._at_start(parameters)), u * v, atol=1e-17)


def test_neither_factor_has_to_be_a_number() -> None:
    """sinh(1000) is infinite, and exp(-1000) is 0; their product is not."""
    assert study.predictor(np.array([-1000.0]), np.array([1000.0]))[0] == pytest.approx(0.25)
    assert study.predictor(np.array([-1000.0]), np.array([-1000.0]))[0] == pytest.approx(-0.25)


def test_one_step_by_hand() -> None:
    """eta g = 2: the sign of u + v turns, and the scale becomes |1 - 4| times itself."""
    log_a, rho = (each + change for each, change in zip(_start(), (np.log(3.0), -np.log(3.0)), strict=True))
    u, v = 0.1 - 2.0 * 0.0, 0.0 - 2.0 * 0.1
    np.testing.assert_allclose(study.predictor(log_a, rho), [u * v])


def _start() -> tuple[np.ndarray, np.ndarray]:
    return study._at_start(np.array([0.1, 0.0]))


def test_a_diverged_run_is_counted_and_has_no_end() -> None:
    changed = raw()
    changed["experiments"]["diagonal"]["cells"]["decay50"]["step_size"] = 50.0
    diverged = tiny_studies.run("exact_law", changed)
    assert (diverged["diverged_step"] >= 0).all()
    assert np.isnan(diverged["trained"]).all()
    rows = decide(claim.measured(Results(studies={"s": diverged.assign_attrs(kind="exact_law")})))
    assert (rows[0].seeds, rows[0].diverged, rows[0].verdict) == (0, 6, "undecided")
    assert figure.draw(diverged).axes[0].texts


@pytest.mark.parametrize("ties", [False, True])
def test_isotonic_r_squared_is_that_of_scikit_learn(ties: bool) -> None:
    generator = np.random.default_rng(0)
    for _ in range(20):
        x = generator.integers(6, size=40).astype(float) if ties else generator.standard_normal(40)
        y = -x + generator.standard_normal(40)
        expected = IsotonicRegression(increasing=False).fit(x, y).score(x, y)
        assert claim.isotonic_r_squared(x, y) == pytest.approx(expected, abs=1e-12)
    assert np.isnan(claim.isotonic_r_squared(x, np.ones(40)))


def diagram(of_dose: bool, seeds: int = 12) -> xr.Dataset:
    """Non-zeros that follow the dose, or the step size alone."""
    rng = np.random.default_rng(1)
    sizes, times = np.linspace(0.2, 0.3, 8), np.linspace(0.1, 0.9, 6)
    loss = np.exp(3.0 * rng.standard_normal((8, 6, seeds)))
    driver = sizes[:, None, None] ** 2 * loss * times[:, None] if of_dose else sizes[:, None, None] + 0.0 * loss
    ranks = driver.reshape(-1, seeds).argsort(axis=0).argsort(axis=0).reshape(driver.shape)
    counts = np.round(200.0 - 3.0 * (ranks if of_dose else driver * 500.0))
    diverged = np.full(driver.shape, -1)
    diverged[-1, -1] = 7
    dims = ("step_size", "decay_at", "seed")
    return xr.Dataset(
        {
            "phase_loss": (dims, np.where(diverged < 0, loss, np.nan)),
            "diverged_step": (dims, diverged),
            "l0": ((*dims, "l0_threshold"), np.where(diverged < 0, counts, np.nan)[..., None]),
        },
        {"step_size": sizes, "decay_at": times, "seed": np.arange(seeds), "l0_threshold": [1e-50]},
        {"kind": "phase_diagram"},
    )


@pytest.mark.parametrize(("of_dose", "answer"), [(True, "supported"), (False, "refuted")])
def test_the_verdict_follows_what_orders_the_runs(of_dose: bool, answer: str) -> None:
    rows = decide(claim.measured(Results(studies={"d": diagram(of_dose)})))
    headlines = [row for row in rows if row.headline]
    assert [row.verdict for row in headlines] == [answer] * 2
    assert {row.seeds for row in headlines} == {12}


def test_too_few_runs_say_nothing() -> None:
    rows = decide(claim.measured(Results(studies={"d": diagram(True).isel(step_size=[0])})))
    assert {(row.seeds, row.without_value) for row in rows if row.experiment == "d"} == {(0, 12)}


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("batch_size", 2, "batch_size 2, the study follows single examples"),
        ("momentum", 0.5, "has momentum, but the law is that of plain steps"),
        ("steps", 5, "evaluations: 5 are not fewer than the 5 steps"),
    ],
)
def test_training_that_does_not_suit(key: str, value: object, message: str) -> None:
    changed = raw()
    changed["experiments"] = {"diagonal": changed["experiments"]["diagonal"] | {"views": ["curves"]}}
    changed["experiments"]["diagonal"]["training"] |= {key: value, "evaluations": 4, "snapshots": 2}
    with pytest.raises(config.ConfigError, match=message):
        config.parse(changed, "tiny")


def test_a_start_without_a_scale_is_refused() -> None:
    changed = raw()
    changed["experiments"]["diagonal"]["model"]["v"] = -changed["experiments"]["diagonal"]["model"]["u"]
    with pytest.raises(config.ConfigError, match=r"starts with \|u\| = \|v\|"):
        config.parse(changed, "tiny")


def test_the_figure_has_every_run(runs: xr.Dataset) -> None:
    drawn = figure.draw(runs)
    assert len(drawn.axes) == 3
    alive = int((runs["diverged_step"] < 0).sum())
    assert len(drawn.axes[2].lines) == alive + 1
