"""Proposition 2.2: the simulation against plain references, and a verdict that follows what it finds."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
import xarray as xr
from docutils.core import publish_parts

from largestep import captions
from largestep.claims import bouncing as claims
from largestep.claims.results import Results
from largestep.claims.verdict import Row, decide
from largestep.figures import bouncing as figure
from largestep.measures.bouncing import HIGHEST_ITERATE, HIGHEST_LOSS, LOWEST_ITERATE, gap, inside
from largestep.specs.aggregates import StudyLeftOut
from largestep.studies import bouncing as studies
from largestep.toys import bouncing
from tests.drawn import check_legible, said
from tests.settings import study_of

RANGES = [[0.8, 0.95], [0.9, 1.1], [1.0001, 1.25], [1.05, 1.2], [1.3, 1.6]]
SETTINGS = {
    "kind": "bouncing",
    "ranges": RANGES,
    "seeds": 6,
    "starts": 40,
    "steps": 600,
    "tail": 100,
    "attractor": {"lowest": 0.9, "highest": 1.7, "points": 9, "spread": 0.05},
}


@pytest.fixture(scope="module")
def ranges() -> xr.Dataset:
    return studies.study(study_of({"study": "bouncing", "settings": SETTINGS, "experiments": {}}), 1)


def test_a_step_is_one_of_sgd() -> None:
    star, x, size = 1.7, 0.6, 0.9
    theta = torch.tensor(1.1, dtype=torch.float64, requires_grad=True)
    (0.25 * (x * star**2 - x * theta**2) ** 2).backward()
    after = float(theta.detach() - size * theta.grad)
    assert bouncing.step(1.1 / star, size * star**2 * x**2) == pytest.approx(after / star, rel=1e-14)


def reference(start: float, gammas: np.ndarray, tail: int, eps: float) -> dict[str, float]:
    """What `bouncing.summaries` says of one run, from the list of its iterates."""
    u = [start]
    for gamma in gammas:
        u.append(u[-1] + gamma * u[-1] * (1 - u[-1] ** 2))
        if not u[-1] > 0:
            return {"left": len(u) - 1, "settled": -1}
    iterates = np.array(u)
    above = iterates > 1
    well = np.where(
        above,
        (iterates > 1 + eps) & (iterates < HIGHEST_ITERATE),
        (iterates > LOWEST_ITERATE) & (iterates < 1 - eps),
    )
    turns = above[1:] != above[:-1]
    settled = next((t for t in range(1, len(u)) if well[t:].all() and turns[t:].all()), -1)
    loss, last = (1 - iterates[1:] ** 2) ** 2, iterates[-tail:]
    expected = {"left": -1, "settled": settled, "alternation": turns[-tail:].mean()}
    expected |= {"lowest": loss.min(), "highest": loss.max(), "tail_lowest": loss[-tail:].min()}
    expected |= {"tail_highest": loss[-tail:].max(), "tail_mean": loss[-tail:].mean()}
    expected |= {"low_from": last[last <= 1].min(initial=np.inf), "low_to": last[last <= 1].max(initial=-np.inf)}
    return expected | {"high_from": last[last > 1].min(initial=np.inf), "high_to": last[last > 1].max(initial=-np.inf)}


@pytest.mark.parametrize(
    ("low", "high", "steps"), [*((*each, 200) for each in RANGES[:-1]), (1.2, 1.4, 25), (1.3, 1.6, 25)]
)
def test_summaries_equal_a_plain_loop(low: float, high: float, steps: int) -> None:
    """Where the map is chaotic, rounding grows: there the runs are short."""
    generator, tail = np.random.default_rng(5), steps // 4
    starts, uniforms = generator.random(30), generator.random((30, steps))
    eps = float(gap(np.array(low)))
    got = bouncing.summaries(starts, uniforms, low, high, tail, LOWEST_ITERATE, HIGHEST_ITERATE, eps)
    for run, start in enumerate(starts):
        expected = reference(float(start), low + (high - low) * uniforms[run], tail, eps)
        for column, value in expected.items():
            here = got[run, bouncing.COLUMNS.index(column)]
            np.testing.assert_allclose(here, value, rtol=1e-6, atol=1e-12, err_msg=column)


def test_two_iterates_in_turn_solve_their_equation() -> None:
    """Of period two, u and w have u w = 1/gamma and u + w = sqrt(1 + 3/gamma)."""
    for gamma in (1.05, 1.1, 1.2):
        last = bouncing.orbit(0.3, np.full(3000, gamma))[-2:]
        total = np.sqrt(1 + 3 / gamma)
        expected = np.roots([1.0, -total, 1 / gamma])
        np.testing.assert_allclose(np.sort(last), np.sort(expected), rtol=1e-9)


def test_stated_iterates_are_the_extremes_of_the_map() -> None:
    u = np.linspace(0, 1, 100_001)
    top = bouncing.step(u, 1.25).max()
    assert HIGHEST_ITERATE - 1e-3 < top < HIGHEST_ITERATE
    assert LOWEST_ITERATE < bouncing.step(top, 1.25) < LOWEST_ITERATE + 1e-2


def test_gap_and_interval() -> None:
    np.testing.assert_allclose(gap(np.array([0.9, 1.0, 1.03, 1.06, 1.2])), [0, 0, 0.01, 0.02, 0.02])
    assert list(inside(np.array([[1.0, 1.1], [1.01, 1.25], [1.01, 1.26]]))) == [False, True, False]


def test_a_run_that_leaves_is_counted_and_ends() -> None:
    orbit = bouncing.orbit(0.77, np.full(50, 1.9))
    assert np.isnan(orbit[-1])
    got = bouncing.summaries(np.array([0.77]), np.zeros((1, 50)), 1.9, 1.95, 5, 0.65, 1.162, 0.02)[0]
    left = int(got[0])
    assert left == np.isfinite(orbit).sum() + 1
    assert got[1] == -1
    assert np.isnan(got[2:]).all()


def test_the_loss_is_that_of_the_model(ranges: xr.Dataset) -> None:
    """F of a start near 0, theta = 0, is E (y^2) / 4, which is E gamma / 4 in units of theta*^2 / eta."""
    for low, high in RANGES:
        runs = ranges.sel(range=f"{low:g} to {high:g}")
        # The first start is 1/80 and its first iterate less than 2.7 times that.
        assert (runs["highest_loss"] < (low + high) / 8).all()
        assert (runs["highest_loss"] > (low + high) / 8 * (1 - (2.7 / 80) ** 2) ** 2).all()


def test_what_is_stated_holds_inside_the_interval_after_a_while(ranges: xr.Dataset) -> None:
    for name in ("1.0001 to 1.25", "1.05 to 1.2"):
        runs = ranges.sel(range=name)
        for share in ("alternating", "bouncing", "tail_within_bounds"):
            assert (runs[share] == 1).all()
        assert (runs["under_upper_bound"] < 0.9).all()
        assert (runs["highest_tail_loss"] < HIGHEST_LOSS).all()
        assert (runs["lowest_tail_loss"] > runs["gap"] ** 2).all()
        assert (runs["last_settled"] < 100).all()
        assert (runs["low_to"] < 1 - runs["gap"]).all()


def test_outside_the_interval_it_does_not(ranges: xr.Dataset) -> None:
    below, edge, beyond = (ranges.sel(range=name) for name in ("0.8 to 0.95", "0.9 to 1.1", "1.3 to 1.6"))
    assert (below["alternation"] == 0).all()
    assert (below["highest_tail_loss"] < 1e-20).all()
    assert (edge["alternating"] == 1).all()
    assert (edge["typical_tail_loss"] < 1e-3).all()
    assert (beyond["bouncing"] == 0).all()
    assert beyond["last_settled"].isnull().all()


def test_seeds_differ_and_reruns_do_not(ranges: xr.Dataset) -> None:
    again = studies.study(study_of({"study": "bouncing", "settings": SETTINGS, "experiments": {}}), 2)
    xr.testing.assert_identical(ranges, again)
    assert len(np.unique(ranges["typical_tail_loss"].sel(range="1.05 to 1.2"))) == SETTINGS["seeds"]


def made_up(share: float, spread: float = 0.0, floor: float = 1e-9, seed: int = 0) -> Results:
    """Results in which a share of the runs does all that is stated, and F falls to `floor` outside."""
    ranges = np.array([[0.9, 1.1], [1.01, 1.2], [1.05, 1.15], [1.2, 1.5]])
    generator, size = np.random.default_rng(seed), (len(ranges), 20)
    names = (*claims.STATED, "typical_tail_loss")
    values = {
        name: (("range", "seed"), np.clip(share + spread * generator.standard_normal(size), 0, 1)) for name in names
    }
    values["typical_tail_loss"] = (("range", "seed"), np.full(size, floor))
    values["bouncing"][1][-1] = floor
    study = xr.Dataset(values | {"gamma_range": (("range", "end"), ranges)}, attrs={"kind": "bouncing"})
    return Results({}, {"bouncing": study})


def rows(results: Results) -> list[Row]:
    return decide(claims.measured(results))


@pytest.mark.parametrize(("share", "floor", "answer"), [(1.0, 1e-9, "supported"), (0.9, 0.9, "refuted")])
def test_verdict_follows_the_runs(share: float, floor: float, answer: str) -> None:
    got = rows(made_up(share, floor=floor))
    assert {row.verdict for row in got} == {answer}
    assert {row.experiment for row in got if row.headline} == {"bouncing/γ 1.01 to 1.2"}
    controls = [row.experiment for row in got if row.statistic.startswith("control")]
    assert controls == ["bouncing/γ 0.9 to 1.1", "bouncing/γ 1.2 to 1.5"]
    assert len(got) == 2 * len(claims.STATED) + 2


def over_draws(share: float, spread: float) -> list[str]:
    """The verdicts on the five statistics of one range in 40 draws."""
    studies = (made_up(share, spread, seed=seed).studies["bouncing"].isel(range=[1]) for seed in range(40))
    return [row.verdict for study in studies for row in rows(Results({}, {"bouncing": study}))]


def test_a_share_at_the_criterion_is_rarely_supported_and_all_runs_nearly_always() -> None:
    nothing, effect = over_draws(0.999, 0.0005), over_draws(1.0, 0.0005)
    assert len(nothing) == len(effect) == 200
    assert nothing.count("supported") <= 10
    assert effect.count("supported") >= 190


def test_a_run_without_the_study_says_so() -> None:
    (row,) = rows(Results())
    assert row.verdict == "not run"
    (row,) = rows(Results(later_studies={"bouncing": StudyLeftOut(kind="bouncing", scale="paper")}))
    assert "scale=paper" in row.note


@pytest.mark.filterwarnings("error")
def test_figure_is_legible_and_counts_the_runs_that_left(ranges: xr.Dataset) -> None:
    ranges = ranges.copy()
    ranges["left"][-1] = 0.05
    drawn = figure.draw(ranges)
    check_legible(drawn)
    # 5% of 6 seeds x 40 starts.
    assert "12 of 240 for 1.3 to 1.6" in said(drawn)
    assert len(drawn.axes) == 4
    assert all(ax.get_xlabel() and ax.get_ylabel() for ax in drawn.axes)
    assert all(name in ranges for name in figure.NEEDS)


@pytest.mark.parametrize("kind", ["bouncing", "label_noise"])
def test_caption_is_well_formed(kind: str) -> None:
    text = captions.of_study(SimpleNamespace(kind=kind, title="Title", paper="Prop."))
    publish_parts(text, writer="html", settings_overrides={"halt_level": 2, "report_level": 2})
    for part in ("*What is plotted.*", "*What the paper claims.*", "*What to look for.*"):
        assert text.count(part) == 1
