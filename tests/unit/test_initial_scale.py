"""C22: runs against those of the cells and of the exact law, the equivalent scale by hand, its claim and its figure."""

from __future__ import annotations

import copy
from functools import partial
from typing import Any

import numpy as np
import pytest
import xarray as xr
from numpy.typing import NDArray

from largestep import config, grid, stages
from largestep.claims import initial_scale as claim
from largestep.claims.results import Results
from largestep.claims.verdict import decide
from largestep.figures import initial_scale as figure
from largestep.specs.studies import StudySpec
from largestep.studies import exact_law
from tests import tiny_studies
from tests.settings import as_settings, law, train
from tests.tiny_studies import TINY


def raw(**settings: Any) -> dict[str, Any]:
    changed = copy.deepcopy(TINY)
    changed["studies"] = {name: changed["studies"][name] for name in ("initial_scale", "exact_law")}
    changed["studies"]["initial_scale"] |= settings
    return changed


run = partial(tiny_studies.run, "initial_scale")


@pytest.fixture(scope="module")
def tiny() -> xr.Dataset:
    return run(raw())


def trained(schedule: Any, model: dict[str, float], steps: int) -> xr.Dataset:
    """Losses of a cell with other initial values, six data sets."""
    settings = config.parse(raw(), "tiny").experiments["diagonal"].model_dump(mode="json")
    own = {"arms": ["data"], "seeds": 6, "steps": steps, "evaluations": 5, "snapshots": 1}
    data = stages.worker("data", "sparse_regression").draw(as_settings(settings["data"]), 6)
    parts = {"cell": "c", "model": settings["model"] | model, "training": settings["training"] | own}
    return train(parts | {"schedule": vars(schedule)}, data)[0].isel(arm=0)


@pytest.mark.parametrize(
    ("place", "schedule", "model"),
    [
        (0, law(0.1, decays=[{"at": 0.4955, "divide_by": 2.0}]), {}),
        (3, law(0.2, decays=[{"at": 0.4955, "divide_by": 4.0}]), {}),
        (6, law(0.05), {"u": 0.01}),
        (7, law(0.05), {"u": 0.1}),
    ],
)
def test_runs_are_those_of_the_cells(tiny: xr.Dataset, place: int, schedule: Any, model: dict[str, float]) -> None:
    """A step longer, because the last loss of a cell comes before its last update; the decay falls on the same step."""
    shown = tiny.isel(run=place)
    losses = trained(schedule, model, 202)
    decays = getattr(schedule, "decays", [])
    assert not decays or int(losses["decay_step"][0]) == 100
    for name in ("train_loss", "test_loss"):
        np.testing.assert_allclose(shown[name], losses[name].isel(step=-1), rtol=1e-6)


def test_the_scale_is_that_of_the_exact_law(tiny: xr.Dataset) -> None:
    """Over so many steps as the large ones last, by the study of the law itself."""
    changed = raw()
    changed["experiments"]["diagonal"]["cells"]["decay50"]["step_size"] = 0.2
    changed["experiments"]["diagonal"]["training"]["steps"] = 201
    changed["studies"]["exact_law"]["evaluations"] = 2
    spec = StudySpec.read(grid.study_spec(config.parse(changed, "tiny"), "exact_law"))
    by_law = exact_law.study(spec, 1)
    large = tiny.isel(run=3)
    # Its scale is that of u^2 - v^2, before the first decayed step less one.
    np.testing.assert_allclose(large["log10_scale"], by_law["scale"].isel(step=1) / 2.0, atol=0.02)
    assert (large["log10_scale"] < np.log10(0.1)).all()


def test_every_run_says_what_it_is(tiny: xr.Dataset) -> None:
    assert tiny["run"].values.tolist() == ["large", "law", "law_of_each"] * 2 + ["small"] * 2
    assert tiny["step_size"].values.tolist() == [0.1] * 3 + [0.2] * 3 + [0.0] * 2
    np.testing.assert_allclose(tiny["log10_scale"].isel(run=slice(6, 8)), [[-2.0] * 6, [-1.0] * 6])
    np.testing.assert_allclose(tiny["log10_scale"].isel(run=1), tiny["log10_scale"].isel(run=0))
    assert (tiny["diverged_step"] < 0).all()
    assert np.isfinite(tiny["test_loss"]).all()
    assert (np.abs(tiny["test_loss"].isel(run=1) - tiny["test_loss"].isel(run=2)) > 0).any()


def test_a_diverged_run_gives_no_scale_and_is_counted() -> None:
    lost = run(raw(step_sizes=[0.1, 50.0]))
    large = lost.isel(run=3)
    assert (large["diverged_step"] >= 0).all()
    assert np.isnan(lost["l0"].isel(run=[3, 4, 5])).all()
    assert (lost["diverged_step"].isel(run=[4, 5]) == -1).all()
    rows = decide(claim.measured(Results(studies={"s": lost.assign_attrs(kind="initial_scale")})))
    assert {(row.seeds, row.diverged, row.verdict) for row in rows if row.headline} == {(0, 6, "undecided")}
    assert len(figure.draw(lost).axes[0].lines) == 1 + 3  # the line, and the marks of the size that survives


@pytest.mark.parametrize(
    ("counts", "wanted", "expected"),
    [
        ([10.0, 20.0, 40.0, 80.0], 30.0, -2.5),
        ([10.0, 20.0, 20.0, 80.0], 20.0, -2.5),  # the middle of the scales that have as many
        ([10.0, 40.0, 20.0, 80.0], 30.0, -2.5),  # made monotone
        ([10.0, 20.0, 40.0, 80.0], 80.0, np.nan),  # any larger scale would do
        ([10.0, 20.0, 40.0, 80.0], 5.0, np.nan),
        ([10.0, np.nan, 40.0, 80.0], 30.0, np.nan),
    ],
)
def test_the_equivalent_scale(counts: list[float], wanted: float, expected: float) -> None:
    scales = np.array([-4.0, -3.0, -2.0, -1.0])
    assert claim.equivalent(scales, np.array(counts), wanted) == pytest.approx(expected, nan_ok=True)


def made_up(ratio: float, more: float, diverged: int = 0) -> xr.Dataset:
    """Twenty seeds: 40 non-zeros and test loss 1 of large steps, times a ratio of small ones from the law."""
    rng, seeds = np.random.default_rng(0), 20
    kinds = ["large", "law", "law_of_each", "small", "small", "small"]
    middle = np.array([40.0, 40.0 * ratio, 40.0, 20.0, 40.0, 40.0 + more])[:, None]
    counts = middle * np.exp(0.02 * rng.standard_normal((6, seeds)))
    scales = np.array([-2.0, -2.0, -2.0, -3.0, -2.0, -1.0])[:, None] + np.zeros(seeds)
    gone = np.where((np.arange(seeds) < diverged) & (np.arange(6)[:, None] == 0), 5, -1)
    return xr.Dataset(
        {
            "l0": (("run", "seed", "l0_threshold"), counts[..., None]),
            "test_loss": (("run", "seed"), counts / 40.0),
            "log10_scale": (("run", "seed"), scales),
            "step_size": (("run",), [0.2] * 3 + [0.0] * 3),
            "diverged_step": (("run", "seed"), gone),
        },
        {"run": kinds, "l0_threshold": [1e-4], "seed": np.arange(seeds)},
        {"kind": "initial_scale"},
    )


@pytest.mark.parametrize(
    ("ratio", "more", "answer"), [(1.0, 30.0, "supported"), (2.0, -10.0, "refuted"), (1.25, 0.0, "undecided")]
)
def test_the_verdict_follows_the_ratio(ratio: float, more: float, answer: str) -> None:
    rows = decide(claim.measured(Results(studies={"s": made_up(ratio, more)})))
    assert [row.verdict for row in rows if row.headline] == [answer] * 3
    [scale] = [row for row in rows if "equivalent scale" in row.statistic]
    assert abs(scale.estimate) < 0.2 or more <= 0.0


def test_where_most_diverge_survivors_do_not_decide() -> None:
    rows = decide(claim.measured(Results(studies={"s": made_up(1.0, 30.0, diverged=12)})))
    assert {(row.survivors, row.verdict) for row in rows if row.headline} == {("supported", "undecided")}


def test_what_is_not_there_is_said() -> None:
    rows = decide(claim.measured(Results()))
    assert [row.note for row in rows] == ["not run: config.yaml has no study of kind initial_scale"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"training": {"momentum": 0.5}}, "has momentum, but the law is that of plain steps"),
        ({"training": {"batch_size": 2}}, "batch_size 2, the study follows single examples"),
        ({"model": {"v": 0.2}}, "starts with v 0.2; scales are of v 0"),
    ],
)
def test_experiments_that_do_not_suit(change: dict[str, dict[str, float]], message: str) -> None:
    changed = raw()
    del changed["studies"]["exact_law"]
    for part, values in change.items():
        changed["experiments"]["diagonal"][part] |= values
    with pytest.raises(config.ConfigError, match=message):
        config.parse(changed, "tiny")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"small_step_size": 0.1}, r"step_sizes must all be above small_step_size 0\.1"),
        ({"decay_at": 1e-6}, r"initial_scale\.decay_at: 1e-06 of 201 steps leaves no large step"),
        (
            {"scales": [0.001, 0.002]},
            r"initial_scale\.scales: the largest is 0\.002, but must be \|u\| of diagonal, 0\.1",
        ),
        ({"scales": [0.1, 0.2]}, r"initial_scale\.scales: the largest is 0\.2"),
    ],
)
def test_settings_that_do_not_fit(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(config.ConfigError, match=message):
        config.parse(raw(**settings), "tiny")


def test_the_figure_has_every_size(tiny: xr.Dataset) -> None:
    drawn = figure.draw(tiny)
    assert [len(ax.lines) for ax in drawn.axes] == [1 + 3 * 2] * 2
    counts: NDArray[np.float64] = tiny["l0"].isel(run=slice(6, 8), l0_threshold=-1).median("seed").values
    np.testing.assert_allclose(drawn.axes[0].lines[0].get_ydata(), counts)
