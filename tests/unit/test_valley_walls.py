"""C24: lines and turns by hand and against torch, the study against runs step by step, its claim and its figure."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr

from largestep import config, stages
from largestep.claims import valley_walls as claim
from largestep.claims.results import Results
from largestep.claims.verdict import decide
from largestep.figures import valley_walls as figure
from largestep.measures import walk
from largestep.studies import valley_walls as study
from tests import tiny_studies
from tests.tiny_studies import TINY

raw = partial(tiny_studies.raw, "valley_walls")
run = partial(tiny_studies.run, "valley_walls")


@pytest.fixture(scope="module")
def tiny() -> xr.Dataset:
    return run(raw())


def test_a_line_crosses_a_valley_if_it_is_lowest_between_its_ends() -> None:
    bowl = (walk.PLACES - 0.5) ** 2
    lines = np.stack([bowl, -bowl, walk.PLACES, walk.PLACES**0, (walk.PLACES - 0.04) ** 2, bowl * np.nan])
    np.testing.assert_array_equal(walk.crosses(lines), [1.0, 0.0, 0.0, 0.0, 0.0, np.nan])
    lines[0, 0] = np.nan
    assert np.isnan(walk.crosses(lines)[0])


def test_turns_by_hand() -> None:
    """Ahead, at a right angle, back, standing still, and after that."""
    path = np.cumsum([[0.0, 0.0], [1.0, 0.0], [2.0, 0.0], [0.0, 3.0], [0.0, -0.5], [0.0, 0.0], [1.0, 1.0]], axis=0)
    np.testing.assert_allclose(walk.cosines(path), [1.0, 0.0, -1.0, np.nan, np.nan, np.nan], atol=1e-15)


def test_sgd_on_a_bowl_bounces_beyond_half_the_largest_step() -> None:
    """Gradient descent on x²/2: the line crosses the floor beyond step size 1, where updates turn round."""
    for size, crossing in ((0.5, 0.0), (1.5, 1.0)):
        path = ((1.0 - size) ** np.arange(5.0))[:, None]
        lines = np.stack([((1 - t) * path[:-1, 0] + t * path[1:, 0]) ** 2 / 2 for t in walk.PLACES], axis=-1)
        assert walk.crosses(lines).tolist() == [crossing] * 4
        np.testing.assert_allclose(walk.cosines(path)[:-1], 1.0 - 2.0 * crossing)


def test_the_study_is_a_run_step_by_step(tiny: xr.Dataset) -> None:
    """The second window of the large-step phase and the first after it, by torch from the start, of two seeds."""
    experiment = config.parse(TINY, "tiny").experiments["teacher"]
    data = stages.worker("data", experiment.data.kind).draw(experiment.data, 0)
    problem = study.Problem(experiment.model, data, experiment.training.loss)
    x, y = (torch.tensor(data[name].values[0]) for name in ("train_inputs", "train_labels"))
    shown = tiny.isel(network=0)
    assert shown["window_step"].values.tolist() == [50, 92, 150, 192]
    assert (shown["diverged_step"] < 0).all()
    for seed in (0, 1):
        net = problem.net.module(problem.net.initial(np.array([seed]))[0])
        order = study.Orders([seed], problem.examples).take(200)[0, :, 0]
        path = []
        for step, example in enumerate(order):
            path.append(torch.nn.utils.parameters_to_vector(net.parameters()).detach())
            loss = (net(x[[example]])[0, 0] - y[example]) ** 2
            gradients = torch.autograd.grad(loss, list(net.parameters()))
            with torch.no_grad():
                for each, gradient in zip(net.parameters(), gradients, strict=True):
                    each -= (0.1 if step < 100 else 0.05) * gradient
        for window in (1, 2):
            start, seen = int(shown["window_step"][window]), shown.isel(seed=seed, window=window)
            for update in range(8):
                now, then, after = path[start + update : start + update + 3]
                losses = []
                for t in walk.PLACES:
                    torch.nn.utils.vector_to_parameters((1 - t) * now + t * then, net.parameters())
                    losses.append(((net(x)[:, 0] - y) ** 2).mean().item())
                np.testing.assert_allclose(seen["train_loss"][update], losses[0], rtol=1e-8)
                assert float(seen["crosses"][update]) == (min(losses[1:-1]) < min(losses[0], losses[-1]))
                if seed == 0:
                    np.testing.assert_allclose(shown["shown_loss"][window, update], losses, rtol=1e-8)
                if update < 7:
                    cosine = torch.nn.functional.cosine_similarity(then - now, after - then, dim=0)
                    np.testing.assert_allclose(seen["cosine"][update], cosine, rtol=1e-6, atol=1e-9)
                    assert float(seen["repeats"][update]) == (order[start + update] == order[start + update + 1])
    assert np.isnan(tiny["cosine"].isel(update=-1)).all()
    assert set(np.unique(tiny["repeats"].isel(update=slice(-1)))) == {0.0, 1.0}


def test_a_diverged_run_is_counted() -> None:
    settings = raw(seeds=5, networks={"teacher": {"step_size": 1e6, "decays": [{"at": 0.5, "divide_by": 2.0}]}})
    lost = run(settings)
    assert (lost["diverged_step"] >= 0).all()
    for name in ("crosses", "cosine", "train_loss", "shown_loss", "dead"):
        assert np.isnan(lost[name]).all()
    rows = decide(claim.measured(Results(studies={"s": lost.assign_attrs(kind="valley_walls")})))
    assert {(row.seeds, row.diverged, row.verdict) for row in rows if row.headline} == {(0, 5, "undecided")}
    assert all("every run diverged" in {text.get_text() for text in ax.texts} for ax in figure.draw(lost).axes)


def test_a_run_that_no_example_activates_is_dead() -> None:
    experiment = config.parse(TINY, "tiny").experiments["teacher"]
    data = stages.worker("data", experiment.data.kind).draw(experiment.data, 0)
    problem = study.Problem(experiment.model, data, experiment.training.loss)
    parameters = problem.net.initial(np.arange(3))
    parameters[1, : 4 * 2] = 0.0
    parameters[2] = np.nan
    np.testing.assert_array_equal(study._dead(problem, parameters), [0.0, 1.0, np.nan])


def made_up(large: float, after: float, turn: float, diverged: int = 0) -> xr.Dataset:
    """Twenty seeds, two windows before the decay and two after it: shares of crossings, and a cosine before it."""
    rng, seeds = np.random.default_rng(0), 20
    shares = np.array([large, large, after, after])[None, :, None]
    crossings = (rng.random((seeds, 4, 200)) < shares).astype(float)
    turns = np.array([turn, turn, 0.0, 0.0])[None, :, None] + 0.1 * rng.standard_normal((seeds, 4, 200))
    repeats = (rng.random((seeds, 4, 200)) < 0.2).astype(float)
    at = ("network", "seed", "window", "update")
    return xr.Dataset(
        {
            "crosses": (at, crossings[None]),
            "cosine": (at, np.where(repeats == 1.0, -1.0, turns)[None]),
            "repeats": (at, repeats[None]),
            "train_loss": (at, np.ones((1, seeds, 4, 200))),
            "dead": (("network", "seed"), np.zeros((1, seeds))),
            "window_step": (("network", "window"), [[10, 30, 60, 80]]),
            "decay_step": (("network",), [50]),
            "diverged_step": (("network", "seed"), np.where(np.arange(seeds) < diverged, 5, -1)[None]),
        },
        {"network": ["net"], "seed": np.arange(seeds)},
        {"kind": "valley_walls"},
    )


@pytest.mark.parametrize(
    ("values", "answer"),
    [((0.8, 0.2, -0.3), "supported"), ((0.2, 0.5, 0.3), "refuted"), ((0.5, 0.5, 0.0), "undecided")],
)
def test_the_verdict_follows_the_walk(values: tuple[float, float, float], answer: str) -> None:
    rows = decide(claim.measured(Results(studies={"s": made_up(*values)})))
    assert [row.verdict for row in rows if row.headline] == [answer] * 3
    [level] = [row for row in rows if row.statistic.startswith("change of log10")]
    assert (level.estimate, level.verdict) == (0.0, "supported")
    turns = {row.statistic: row.estimate for row in rows if row.statistic.startswith(claim.COSINE)}
    # Repeated examples turn back in this data whatever the others do.
    different, every = (turns[f"{claim.COSINE}{which}, {claim.LARGE}"] for which in (" by different examples", ""))
    np.testing.assert_allclose([different, every], [values[2], 0.8 * values[2] - 0.2], atol=0.02)


def test_where_most_diverge_survivors_do_not_decide() -> None:
    rows = decide(claim.measured(Results(studies={"s": made_up(0.8, 0.2, -0.3, diverged=12)})))
    assert {(row.survivors, row.verdict) for row in rows if row.headline} == {("supported", "undecided")}


def test_what_is_not_there_is_said() -> None:
    rows = decide(claim.measured(Results()))
    assert [row.note for row in rows] == ["not run: config.yaml has no study of kind valley_walls"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"networks": {"teacher": {"step_size": 0.1}}}, "networks.teacher: has no decays, of which the first ends"),
        (
            {
                "networks": {
                    "teacher": {"step_size": 0.1, "decays": [{"at": at, "divide_by": 2} for at in (0.5, 0.501)]}
                }
            },
            r"networks\.teacher\.decays: those at 0.5 and 0.501 of 201 steps are the same step",
        ),
        ({"windows": 6}, "networks.teacher: 108 steps are needed before and after the decay at step 100"),
    ],
)
def test_settings_that_do_not_fit(change: dict[str, Any], message: str) -> None:
    with pytest.raises(config.ConfigError, match=message):
        config.parse(raw(**change), "tiny")


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("momentum", 0.5, "teacher has momentum, but the walk is that of plain steps"),
        ("batch_size", "full", "teacher has batch_size full, but the walk is that of mini-batches"),
    ],
)
def test_other_updates_are_refused(key: str, value: Any, message: str) -> None:
    changed = raw()
    changed["experiments"]["teacher"]["training"][key] = value
    with pytest.raises(config.ConfigError, match=message):
        config.parse(changed, "tiny")


def test_the_figure_shows_one_run_and_all(tiny: xr.Dataset) -> None:
    walked, windows = figure.draw(tiny).axes
    assert [len(line.get_xdata()) for line in walked.lines] == [81, 9] * 2
    np.testing.assert_array_equal(walked.lines[1].get_ydata()[:-1], tiny["shown_loss"][0, 1, :, 0])
    np.testing.assert_array_equal(walked.lines[3].get_ydata()[-1], tiny["shown_loss"][0, 3, -1, -1])
    shares = tiny["crosses"].isel(network=0, window=slice(2)).mean("update").median("seed")
    np.testing.assert_allclose(windows.lines[3].get_ydata(), shares)
