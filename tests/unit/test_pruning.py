"""C20: deletions against torch and by hand, the study, its claim and its figure."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from numpy.typing import NDArray

from largestep import config
from largestep.claims import pruning as claim
from largestep.claims.results import Results
from largestep.claims.verdict import decide
from largestep.figures import pruning as figure
from largestep.measures import pruning, units
from largestep.studies import pruning as study
from tests import tiny_studies
from tests.tiny_studies import TINY

RNG = np.random.default_rng(0)
INPUTS = RNG.standard_normal((30, 3))


def net(biases: bool = True, seed: int = 0) -> pruning.Layers:
    """Two hidden layers of six and five units."""
    rng = np.random.default_rng(seed)
    shapes = ((6, 3), (5, 6), (2, 5))
    return [(rng.standard_normal(each), rng.standard_normal(each[0]) if biases else None) for each in shapes]


def none(of: pruning.Layers) -> list[NDArray[np.bool_]]:
    return [np.zeros(len(weights), dtype=np.bool_) for weights, _ in of[:-1]]


@pytest.mark.parametrize("biases", [True, False])
def test_the_network_is_that_of_torch(biases: bool) -> None:
    layers, modules = net(biases), []
    for weights, bias in layers:
        linear = torch.nn.Linear(weights.shape[1], weights.shape[0], bias=biases).double()
        linear.weight.data = torch.tensor(weights)
        if bias is not None:
            linear.bias.data = torch.tensor(bias)
        modules += [linear, torch.nn.ReLU()]
    expected = torch.nn.Sequential(*modules[:-1])(torch.tensor(INPUTS)).detach().numpy()
    np.testing.assert_allclose(pruning.activations(layers, INPUTS)[1], expected, rtol=1e-12)


@pytest.mark.parametrize("biases", [True, False])
def test_a_unit_is_replaced_by_the_least_squares_multiple_of_its_twin(biases: bool) -> None:
    """By numpy's lstsq on the activations of the whole network, in the first layer and in the second."""
    layers = net(biases)
    blocks, _ = pruning.activations(layers, INPUTS)
    for place, (block, twins) in enumerate(zip(blocks, pruning.twins(layers, INPUTS, False), strict=True)):
        for unit in np.flatnonzero(twins.twin != pruning.NO_TWIN):
            twin = block[:, twins.twin[unit]]
            columns = np.stack([twin, np.ones_like(twin)] if biases else [twin], axis=1)
            expected = block.copy()
            expected[:, unit] = columns @ np.linalg.lstsq(columns, block[:, unit], rcond=None)[0]
            deleted = none(layers)
            deleted[place][unit] = True
            changed = pruning.pruned(layers, pruning.twins(layers, INPUTS, False), deleted)
            assert (changed[place + 1][0][:, unit] == 0.0).all()
            weights, bias = layers[place + 1]
            after = expected @ weights.T + (0.0 if bias is None else bias)
            weights, bias = changed[place + 1]
            np.testing.assert_allclose(block @ weights.T + (0.0 if bias is None else bias), after, atol=1e-12)


@pytest.mark.parametrize("biases", [True, False])
def test_copies_and_inactive_units_cost_nothing(biases: bool) -> None:
    """A chain of three copies, of which the first two go, and a unit that no example activates."""
    layers = net(biases)
    (first, bias), (second, _), _ = layers
    first[2], first[4] = 3.0 * first[0], 0.5 * first[0]
    first[5] = 0.0
    if bias is not None:
        bias[2], bias[4], bias[5] = 3.0 * bias[0], 0.5 * bias[0], -1.0
    _, before = pruning.activations(layers, INPUTS)
    twins = pruning.twins(layers, INPUTS, False)
    deleted = pruning.redundant(twins, 0.999999)
    assert np.flatnonzero(deleted[0]).tolist() == [0, 2, 5]
    np.testing.assert_allclose(
        pruning.activations(pruning.pruned(layers, twins, deleted), INPUTS)[1], before, rtol=1e-10
    )
    first_of_all = pruning.most_redundant(twins, sum(int(each.sum()) for each in deleted))
    np.testing.assert_array_equal(np.concatenate(first_of_all), np.concatenate(deleted))
    assert twins[0].correlation[5] == np.inf
    # Thrown away without a twin, the copies are missed.
    second[:, [0, 2]] = 0.0
    assert np.abs(pruning.activations(layers, INPUTS)[1] - before).max() > 0.1


@pytest.mark.parametrize("normalise", [True, False])
def test_redundant_units_are_those_that_the_measure_leaves_out(normalise: bool) -> None:
    layers = net(seed=3)
    deleted = pruning.redundant(pruning.twins(layers, INPUTS, normalise), 0.4)
    for block, gone in zip(pruning.activations(layers, INPUTS)[0], deleted, strict=True):
        statistics = units.unit_statistics(units.normalised(block) if normalise else block)
        np.testing.assert_array_equal(gone, (statistics.active == 0) | (statistics.later > 0.4))
        assert 0 < gone.sum() < len(gone)


def test_a_unit_without_a_twin_is_its_mean_where_a_bias_can_hold_it() -> None:
    for biases in (True, False):
        layers = net(biases)
        twins = pruning.twins(layers, INPUTS, False)
        block = pruning.activations(layers, INPUTS)[0][1]
        alive = np.flatnonzero(block.any(axis=0))[-1]
        assert twins[1].twin[alive] == pruning.NO_TWIN
        assert twins[1].constant[alive] == pytest.approx(block[:, alive].mean() if biases else 0.0)


def test_as_many_of_every_layer_are_drawn() -> None:
    chosen = [np.array([True, False, False, True]), np.array([False, True])]
    drawn = [pruning.at_random(chosen, np.random.default_rng(seed)) for seed in range(20)]
    assert all([each.sum() for each in one] == [2, 1] for one in drawn)
    assert len({tuple(one[0].tolist()) for one in drawn}) > 2


@pytest.mark.parametrize(
    ("rise", "expected"),
    [([0.0, 0.0, 0.02, 0.0, 0.9], 0.75), ([0.0, 0.0, 0.0, 0.005, 0.01], 0.0), ([0.0, np.inf, 0.0, 0.0, 0.0], 1.0)],
)
def test_units_are_needed_from_the_first_rise_on(rise: list[float], expected: float) -> None:
    assert study.needed(np.array(rise)) == expected


raw = partial(tiny_studies.raw, "pruning")
run = partial(tiny_studies.run, "pruning")


@pytest.fixture(scope="module")
def pruned() -> xr.Dataset:
    return run(raw())


def test_the_study_has_every_schedule(pruned: xr.Dataset) -> None:
    assert pruned["run"].values.tolist() == ["teacher/small", "teacher/decay20", "teacher/decay50"]
    alive = pruned["diverged_step"].values < 0
    assert alive.any()
    rise = pruned["rise"].transpose("run", "seed", "deleted").values[alive]
    assert rise.shape[1] == 5
    assert (rise[:, 0] == 0.0).all()
    # Without units the network is 0: it has no biases.
    labels = labels_of_the_tiny_teacher()
    missing = (np.mean(labels**2) - pruned["train_loss"].values[alive]) / labels.var()
    np.testing.assert_allclose(rise[:, -1], missing, rtol=1e-9)
    for name in ("redundant_rise", "redundant_test_rise", "random_rise", "redundant_units", "needed"):
        assert np.isfinite(pruned[name].values[alive]).all()


def labels_of_the_tiny_teacher() -> NDArray[np.float64]:
    from largestep import stages

    data = config.parse(TINY, "tiny").experiments["teacher"].data
    return np.asarray(stages.worker("data", data.kind).draw(data, 0)["train_labels"].values[0])


def test_a_diverged_run_is_counted_and_not_pruned() -> None:
    teacher = TINY["studies"]["pruning"]["networks"]["teacher"]
    lost = run(raw(networks={"teacher": teacher | {"step_size": 1e6, "seeds": 3}}))
    assert (lost["diverged_step"].sel(run=["teacher/decay20", "teacher/decay50"]) >= 0).all()
    assert np.isnan(lost["rise"].sel(run="teacher/decay50")).all()
    rows = decide(claim.measured(Results(studies={"s": lost.assign_attrs(kind="pruning")})))
    assert {row.diverged for row in rows if row.headline and row.experiment == "s/teacher"} == {3}
    assert len(figure.draw(lost).axes[0].lines) == 4  # the small step with its two marks, and the dashed line


def made_up(rise: float, random: float, needed: tuple[float, float], diverged: int = 0) -> xr.Dataset:
    """Twenty seeds: the small step and three durations, with the share of units needed at the first and the last."""
    rng, seeds = np.random.default_rng(1), 20
    durations = np.array([0.0, 0.1, 0.3, 0.5])
    gone = np.where((np.arange(seeds) < diverged) & (durations[:, None] == 0.5), 7, -1)
    noise = 1.0 + 0.05 * rng.standard_normal((4, seeds))
    share = np.interp(durations, [0.1, 0.5], needed)[:, None] * noise
    at = ("run", "seed", "correlation_threshold")
    return xr.Dataset(
        {
            "redundant_rise": (at, (rise * noise)[..., None]),
            "random_rise": (at, (random * noise[::-1])[..., None]),
            "redundant_test_rise": (at, np.full((4, seeds, 1), np.nan)),
            "needed": (("run", "seed"), np.where(gone < 0, share, np.nan)),
            "decay_fraction": (("run",), durations),
            "network": (("run",), ["net"] * 4),
            "seeds_run": (("run",), [seeds] * 4),
            "diverged_step": (("run", "seed"), gone),
        },
        {"correlation_threshold": [0.99], "seed": np.arange(seeds)},
        {"kind": "pruning"},
    )


@pytest.mark.parametrize(
    ("rise", "random", "needed", "answers"),
    [
        (0.001, 0.1, (0.8, 0.3), ["supported"] * 3),
        (0.1, 0.05, (0.3, 0.8), ["refuted"] * 3),
        (0.01, 0.01, (0.5, 0.5), ["undecided"] * 3),
    ],
)
def test_the_verdict_follows_what_the_units_are_worth(
    rise: float, random: float, needed: tuple[float, float], answers: list[str]
) -> None:
    rows = decide(claim.measured(Results(studies={"s": made_up(rise, random, needed)})))
    assert [row.verdict for row in rows if row.headline and row.verdict != "not run"] == answers
    assert {row.seeds for row in rows if row.verdict != "not run"} == {20}


def test_where_most_diverge_survivors_do_not_decide() -> None:
    rows = decide(claim.measured(Results(studies={"s": made_up(0.001, 0.1, (0.8, 0.3), diverged=12)})))
    headlines = [row for row in rows if row.headline and row.verdict != "not run"]
    assert {(row.survivors, row.verdict) for row in headlines} == {("supported", "undecided")}


def test_what_is_not_there_is_said() -> None:
    rows = decide(claim.measured(Results()))
    assert [row.note for row in rows] == [f"not run: config.yaml has no study of kind {kind}" for kind in claim.KINDS]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"step_size": 0.05}, "networks.teacher: decayed_step_size must be below step_size"),
        ({"decay_at": [0.5, 0.5]}, "0.5 is listed twice"),
        (
            {"decay_at": [0.5, 0.5000001]},
            r"networks\.teacher\.decay_at: 0\.5 and 0\.5000001 of \d+ steps are the same step",
        ),
        ({"decay_at": [1e-6, 0.5]}, r"networks\.teacher\.decay_at: 1e-06 of \d+ steps leaves no large step"),
    ],
)
def test_settings_that_do_not_fit(change: dict[str, Any], message: str) -> None:
    teacher = TINY["studies"]["pruning"]["networks"]["teacher"]
    with pytest.raises(config.ConfigError, match=message):
        config.parse(raw(networks={"teacher": teacher | change}), "tiny")


def test_networks_of_one_study_share_their_thresholds() -> None:
    changed = raw(networks=dict.fromkeys(("teacher", "points"), TINY["studies"]["pruning"]["networks"]["teacher"]))
    with pytest.raises(config.ConfigError, match=r"have different measures\.correlation_thresholds"):
        config.parse(changed, "tiny")


def test_the_figure_has_every_schedule(pruned: xr.Dataset) -> None:
    drawn = figure.draw(pruned)
    assert len(drawn.axes) == 1
    assert len(drawn.axes[0].lines) == 3 * 3 + 1  # of each schedule a line and two marks
    alive = np.flatnonzero(pruned["diverged_step"].values[0] < 0)
    np.testing.assert_allclose(
        drawn.axes[0].lines[0].get_ydata(), np.median(pruned["rise"].values[0][alive], axis=0), atol=1e-12
    )
