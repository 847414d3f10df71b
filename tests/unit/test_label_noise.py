"""Proposition 2.1: the noise against its definition, both steps against each other, and the verdict on them."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import xarray as xr

from largestep import config, grid
from largestep.claims import label_noise as claims
from largestep.claims.results import Results
from largestep.claims.verdict import Row, decide
from largestep.figures import label_noise as figure
from largestep.specs.studies import StudySpec
from largestep.studies import label_noise as studies
from tests.conftest import REPOSITORY
from tests.drawn import check_legible, said

TINY = REPOSITORY / "tests" / "tiny" / "config.yaml"


def spec(seeds: int = 2, **networks: dict[str, object]) -> StudySpec[Any, Any]:
    raw = config.read(TINY)
    common = {"kind": "label_noise", "title": "", "paper": "", "scale": "laptop", "seeds": seeds}
    raw["studies"] = {"label_noise": common | {"networks": networks}}
    return StudySpec.read(grid.study_spec(config.parse(raw, "tiny"), "label_noise"))


NETWORKS = {
    "diagonal": {"cell": "small", "after": [0, 100]},
    "points": {"cell": "decay50", "after": [50]},
    "teacher": {"cell": "small", "after": [0, 100]},
    "digits": {"cell": "small", "after": [0, 2], "examples": 4},
}


@pytest.fixture(scope="module")
def errors() -> xr.Dataset:
    return studies.study(spec(**NETWORKS), 1)


def test_noise_is_that_of_the_proposition() -> None:
    residuals = np.array([[1.0, -2.0], [0.5, 3.0], [-4.0, 0.25]])
    noise = studies.enumerated_noise(residuals)
    for index in range(3):
        for example in range(3):
            factor = 1 - 3 * (index == example)
            np.testing.assert_array_equal(noise[index, example], residuals[example] * factor)
    np.testing.assert_allclose(noise.mean(axis=0), 0.0, atol=1e-15)
    # 2 L is the mean square of the residuals, summed over outputs.
    twice_loss = np.sum(residuals**2) / 3
    assert np.mean(np.sum(noise**2, axis=(1, 2))) / (3 * 2) == pytest.approx(twice_loss, rel=1e-15)


def test_both_steps_agree_for_every_network_and_precision(errors: xr.Dataset) -> None:
    assert list(errors["network"].values) == sorted(NETWORKS)
    assert (errors["diverged_step"] == -1).all()
    for error in ("update_error", "mean_error", "variance_error"):
        assert (errors[error].sel(precision="float64") < 1e-14).all(), error
        assert (errors[error].sel(precision="float32") < 1e-6).all(), error
    # Steps in float32 are taken in float32: some rounding shows, but on the points, whose steps are too small for it.
    single = errors["update_error"].sel(precision="float32").drop_sel(network="points")
    assert (single.max("seed") > 1e-10).all()
    # A step is shorter than the parameters.
    assert (errors["step_error"] >= errors["update_error"]).all()


@pytest.mark.parametrize("network", NETWORKS)
def test_another_noise_is_found_out(network: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Noise with n - 1 in place of n: neither the steps nor the moments agree, in either precision."""

    def wrong(residuals: np.ndarray) -> np.ndarray:
        n = len(residuals)
        return np.asarray(residuals * (1 - (n - 1) * np.eye(n, dtype=residuals.dtype))[:, :, None])

    monkeypatch.setattr(studies, "enumerated_noise", wrong)
    got = studies.study(spec(1, **{network: NETWORKS[network]}), 1)
    for error in ("step_error", "mean_error", "variance_error"):
        assert (got[error] > 1e-2).all(), error
    assert (got["update_error"] > 1e-5).all()


def test_ends_of_the_steps_by_hand() -> None:
    """The errors themselves, on steps that are known to differ."""
    before, sgd, gd = np.zeros(2), np.array([3.0, 4.0]), np.array([3.0, 3.0])
    of_ends, of_steps = studies._update_errors(before, [(sgd, gd), (2 * sgd, 2 * sgd)])
    assert of_ends == pytest.approx(1 / 5)
    assert of_steps == pytest.approx(1 / np.sqrt((25 + 100) / 2))
    before = np.array([100.0, 0.0])
    assert studies._update_errors(before, [(sgd, gd)])[1] == pytest.approx(1 / np.hypot(97, 4))


def test_a_run_that_diverges_is_recorded() -> None:
    described = json.loads(spec(1, diagonal={"cell": "small", "after": [0, 300]}).text())
    described["experiments"]["diagonal"]["schedules"]["small"]["step_size"] = 50.0
    got = studies.study(StudySpec.read(json.dumps(described)), 1)
    assert 0 < got["diverged_step"].item() < 300
    assert (got["update_error"].sel(precision="float64") < 1e-12).all()  # the point before


def test_reruns_are_the_same(errors: xr.Dataset) -> None:
    xr.testing.assert_identical(studies.study(spec(**NETWORKS), 1), errors)


def made_up(size: float, seed: int = 0, diverged: int = 0) -> Results:
    """Results whose errors have the mean `size` times the criterion of their precision."""
    generator, criteria = np.random.default_rng(seed), np.array([1e-12, 1e-6])[:, None]
    names = ("update_error", "step_error", "mean_error", "variance_error")
    errors = {name: size * criteria * generator.normal(1.0, 0.3, (1, 2, 20)) for name in names}
    # The larger of the two moments' errors is what counts: one of them has the mean that is wanted.
    errors["mean_error"] *= 1e-3
    dims = ("network", "precision", "seed")
    steps = np.where(np.arange(20) < diverged, 7, -1)[None]
    study = xr.Dataset(
        {name: (dims, values) for name, values in errors.items()} | {"diverged_step": (("network", "seed"), steps)},
        {"network": ["net"], "precision": ["float64", "float32"], "seed": np.arange(20)},
        {"kind": "label_noise"},
    )
    return Results({}, {"check": study})


def rows(results: Results) -> list[Row]:
    return decide(claims.measured(results))


@pytest.mark.parametrize(("size", "answer"), [(1e-3, "supported"), (1e3, "refuted"), (1.0, "undecided")])
def test_verdict_follows_the_errors(size: float, answer: str) -> None:
    got = rows(made_up(size))
    assert [row.verdict for row in got] == [answer] * 3
    assert {row.experiment for row in got} == {"check/net"}


def test_errors_at_the_criterion_are_rarely_supported_and_half_of_it_nearly_always() -> None:
    answers = [row.verdict for seed in range(70) for row in rows(made_up(1.0, seed))]
    assert len(answers) >= 200
    assert answers.count("supported") <= 0.05 * len(answers)
    verdicts = [row.verdict for seed in range(70) for row in rows(made_up(0.5, seed))]
    assert verdicts.count("supported") >= 0.95 * len(verdicts)


def test_moments_and_steps_are_judged_apart() -> None:
    results = made_up(1e-3)
    results.studies["check"]["variance_error"] *= 1e6
    assert [row.verdict for row in rows(results)] == ["supported", "supported", "refuted"]


def test_diverged_runs_are_named() -> None:
    results = made_up(1e-3, diverged=3)
    for row in rows(results):
        assert (row.seeds, row.diverged) == (20, 0)
        assert row.note.startswith("3 of these runs diverged later")
    results.studies["check"] = results.studies["check"].where(results.studies["check"]["diverged_step"] < 0)
    assert {(row.seeds, row.diverged, row.without_value) for row in rows(results)} == {(17, 0, 3)}


def test_a_run_without_the_study_says_so() -> None:
    (row,) = rows(Results())
    assert row.verdict == "not run"


@pytest.mark.filterwarnings("error")
def test_figure_is_legible_and_marks_every_seed(errors: xr.Dataset) -> None:
    drawn = figure.draw(errors)
    check_legible(drawn)
    assert "diverged before their last point: 0" in said(drawn)
    marks = [line for line in drawn.axes[0].lines if line.get_marker() == "o"]
    assert [len(line.get_xdata()) for line in marks] == [len(NETWORKS) * 2] * 2
    assert all(ax.get_xlabel() for ax in drawn.axes)
    assert [ax.get_title(loc="left")[0] for ax in drawn.axes] == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"after": [401]}, "networks.diagonal.after: 401 is not a step of a run of 401 steps"),
        ({"examples": 9}, "networks.diagonal.examples: 9 exceeds the 8 training examples"),
        ({"aftr": [1]}, "studies.label_noise.networks.diagonal.aftr: unknown key"),
        ({"cell": "none"}, "experiment diagonal has no cell none"),
    ],
)
def test_settings_that_do_not_fit_are_one_line(change: dict[str, object], message: str) -> None:
    with pytest.raises(config.ConfigError) as raised:
        spec(2, diagonal={"cell": "small", "after": [0]} | change)
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)
