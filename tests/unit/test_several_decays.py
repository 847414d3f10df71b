"""C23: schedules with several decays against runs of the cells, plateaus by hand, the claim and its figure."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
import xarray as xr

from largestep import config, stages
from largestep.claims import several_decays as claim
from largestep.claims.results import Results
from largestep.claims.verdict import decide
from largestep.figures import several_decays as figure
from largestep.measures.pruning import activations
from largestep.sparsity import measures
from largestep.studies import several_decays as study
from largestep.toys.network import layered, linear
from largestep.toys.orders import Orders
from largestep.toys.runs import Problem, Runs
from tests import tiny_studies
from tests.settings import as_settings, law, train
from tests.tiny_studies import TINY

raw = partial(tiny_studies.raw, "several_decays")
run = partial(tiny_studies.run, "several_decays")
NETWORKS = TINY["studies"]["several_decays"]["networks"]


@pytest.fixture(scope="module")
def tiny() -> xr.Dataset:
    return run(raw())


def trained(name: str, schedule: Any) -> tuple[xr.Dataset, xr.Dataset, xr.Dataset]:
    """Losses, snapshots and measures of a cell with this schedule, six data sets."""
    experiment = config.parse(raw(), "tiny").experiments[name]
    settings = experiment.model_dump(mode="json")
    own = {"arms": ["data"], "seeds": 6, "evaluations": 5, "snapshots": 1}
    data = stages.worker("data", experiment.data.kind).draw(experiment.data, 6)
    parts = {"cell": "c", "model": settings["model"], "training": settings["training"] | own}
    losses, snapshots = train(parts | {"schedule": vars(schedule)}, data)
    worker, read = stages.worker("features", experiment.model.kind), experiment.measures
    features = worker.features(as_settings(settings["model"]), read, data, snapshots, label="test", threads=1)
    features = features.assign_coords({each: snapshots.variables[each] for each in ("arm", "seed", "snapshot_step")})
    return losses.isel(arm=0), snapshots, measures(features, read).isel(arm=0, snapshot_step=-1)


@pytest.mark.parametrize("name", list(NETWORKS))
@pytest.mark.parametrize("kind", study.SCHEDULES)
def test_runs_and_features_are_those_of_cells(tiny: xr.Dataset, name: str, kind: str) -> None:
    first, middle, last = NETWORKS[name]["step_sizes"]
    decays = {
        "several": [{"at": 0.4, "divide_by": first / middle}, {"at": 0.7, "divide_by": middle / last}],
        "early": [{"at": 0.4, "divide_by": first / last}],
        "late": [{"at": 0.7, "divide_by": first / last}],
        "small": [],
    }[kind]
    losses, _, at_end = trained(name, law(first if decays else last, decays=decays))
    shown = tiny.sel(network=name, schedule=kind)
    for loss in ("train_loss", "test_loss"):
        np.testing.assert_array_equal(shown[loss].isel(point=-1), losses[loss].isel(step=-1))
    np.testing.assert_array_equal(shown["diverged_step"], losses["diverged_step"])
    if name == "diagonal":
        np.testing.assert_array_equal(shown["l0"].isel(point=-1), at_end["l0"])
    else:
        np.testing.assert_allclose(
            shown["feature_sparsity"].isel(point=-1), at_end["feature_sparsity"].isel(block=-1), rtol=1e-12
        )
        np.testing.assert_array_equal(shown["dead"].isel(point=-1), (at_end["active_fraction"] == 0).any("block"))


def test_plateaus_end_at_their_decays(tiny: xr.Dataset) -> None:
    """The training of the diagonal network divides after the update of the step, which is counted in."""
    for name, steps, divided in (("diagonal", 401, [160, 280]), ("teacher", 201, [80, 140])):
        one = tiny.sel(network=name)
        assert one["decay_step"].values.tolist() == divided
        ends = claim.plateau_ends(one)
        assert one["point_step"].values[ends].tolist() == [*divided, steps - 1]
        assert one.sizes["point"] == 1 + 3 * 2
    together = tiny["test_loss"].sel(schedule=["several", "early", "late"])
    apart = together.max("schedule") - together.min("schedule")
    assert (apart.isel(point=slice(3)) == 0).all()
    assert (apart.isel(point=-1) > 0).all()
    np.testing.assert_array_equal(study.measured_at([8, 12, 15], 2), [0, 4, 8, 10, 12, 14, 15])


def test_features_along_the_way_by_hand() -> None:
    """Of one run, in the first plateau: coordinates counted, and units of the last hidden layer compared in pairs."""
    settings = raw(arm="order", seeds=1)
    shown = run(settings).sel(schedule="several").isel(seed=0, point=1)
    for name, net in NETWORKS.items():
        experiment = config.parse(settings, "tiny").experiments[name]
        data = stages.worker("data", experiment.data.kind).draw(experiment.data, 0)
        problem = Problem(experiment.model, data, experiment.training.loss)
        runs, steps = Runs(problem, problem.net.initial(np.arange(1))), int(shown["point_step"].sel(network=name))
        runs.advance(np.full(steps, net["step_sizes"][0]), Orders([0], problem.examples).take(steps))
        if name == "diagonal":
            sizes = np.abs(linear(problem.net).predictor(runs.parameters[0]))
            assert shown["l0"].sel(network=name).values.tolist() == [(sizes > 1e-50).sum(), (sizes > 1e-4).sum()]
            continue
        block = activations(layered(problem.net).matrices(runs.parameters[0]), problem.inputs[0])[0][-1]
        block /= np.maximum(np.sqrt((block**2).sum(axis=1, keepdims=True)), 1e-300)
        with np.errstate(invalid="ignore"):  # of units that no example activates
            correlation = np.abs(np.corrcoef(block.T))
        kept = [not (correlation[unit, unit + 1 :] > 0.99).any() for unit in range(4)]
        expected = np.mean((block > 0).mean(axis=0) * kept)
        np.testing.assert_allclose(shown["feature_sparsity"].sel(network=name), [expected])


def test_a_diverged_run_is_counted() -> None:
    lost = run(raw(networks={"teacher": {"step_sizes": [1e6, 0.1, 0.05]}}))
    gone = lost["diverged_step"].sel(network="teacher")
    assert (gone.sel(schedule=["several", "early", "late"]) >= 0).all()
    assert (gone.sel(schedule="small") < 0).all()
    assert np.isnan(lost["test_loss"].sel(schedule="several").isel(point=slice(1, None))).all()
    assert "l0" not in lost
    rows = decide(claim.measured(Results(studies={"s": lost.assign_attrs(kind="several_decays")})))
    assert {(row.seeds, row.diverged, row.verdict) for row in rows if row.headline} == {(0, 6, "undecided")}
    assert [text.get_text() for text in figure.draw(lost).axes[0].texts] == ["every run diverged"]


def made_up(left: float, further: float, rise: float, better: float, diverged: int = 0) -> xr.Dataset:
    """Twenty seeds, three plateaus of two points: 40 features after the first one.

    left: features at the end over those. further: how many early has more. rise: of log10 test loss at the last decay.
    better: how far early's lies above.
    """
    rng, seeds = np.random.default_rng(0), 20
    counts = np.full((4, seeds, 7), 40.0)
    counts[0, :, 3:] = 40.0 * left
    counts[1, :, 3:] = 40.0 * left + further
    counts[3] = 60.0
    loss = np.zeros((4, seeds, 7))
    loss[:, :, 3:5], loss[:, :, 5:] = -1.0, -1.0 + rise
    loss[1, :, 3:] = loss[0, :, 3:] + better
    noise = 0.05 * rng.standard_normal((4, seeds, 7))
    gone = np.where((np.arange(seeds) < diverged) & (np.arange(4)[:, None] == 0), 5, -1)
    at = ("network", "schedule", "seed", "point")
    return xr.Dataset(
        {
            "l0": ((*at, "l0_threshold"), (counts + noise)[None, ..., None]),
            "test_loss": (at, 10.0 ** (loss + noise)[None]),
            "train_loss": (at, 10.0 ** (loss + noise)[None]),
            "dead": (at, np.zeros((1, 4, seeds, 7))),
            "diverged_step": (at[:3], gone[None]),
            "point_step": (("network", "point"), np.arange(7)[None] * 10),
            "decay_step": (("network", "decay"), [[20, 40]]),
            "step_size": (("network", "plateau"), [[0.3, 0.2, 0.1]]),
        },
        {"network": ["net"], "schedule": list(study.SCHEDULES), "seed": np.arange(seeds), "l0_threshold": [1e-4]},
        {"kind": "several_decays"},
    )


@pytest.mark.parametrize(
    ("values", "answer"),
    [((0.9, 5.0, -0.5, 0.5), "supported"), ((1.5, -5.0, 0.5, -0.5), "refuted"), ((1.25, 0.0, 0.0, 0.0), "undecided")],
)
def test_the_verdict_follows_the_plateaus(values: tuple[float, float, float, float], answer: str) -> None:
    rows = decide(claim.measured(Results(studies={"s": made_up(*values)})))
    headlines = [row.verdict for row in rows if row.headline]
    if answer == "undecided":
        assert headlines.count("undecided") >= 3  # the largest of two changes is above their mean
    else:
        assert headlines == [answer] * 4
    [first] = [row for row in rows if "half to half of the plateau at step size 0.2" in row.statistic]
    assert abs(first.estimate) < 0.1


def test_where_most_diverge_survivors_do_not_decide() -> None:
    rows = decide(claim.measured(Results(studies={"s": made_up(0.9, 5.0, -0.5, 0.5, diverged=12)})))
    assert {(row.survivors, row.verdict) for row in rows if row.headline} == {("supported", "undecided")}


def test_what_is_not_there_is_said() -> None:
    rows = decide(claim.measured(Results()))
    assert [row.note for row in rows] == ["not run: config.yaml has no study of kind several_decays"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"decay_at": [0.7, 0.4]}, r"tiny: studies\.several_decays\.decay_at: must increase"),
        ({"decay_at": [0.4, 0.5, 0.7]}, "needs 4 step_sizes, one more than decay_at has fractions"),
        ({"decay_at": [0.4, 0.4000001]}, "0.4 and 0.4000001 of 201 steps are the same step"),
        ({"networks": {"teachr": NETWORKS["teacher"]}}, "there is no experiment teachr; did you mean teacher"),
        ({"points": 100}, "the shortest plateau has fewer steps than points"),
        ({"networks": {"teacher": {"step_sizes": [0.1, 0.05, 0.07]}}}, "step_sizes must fall from plateau to plateau"),
        ({"networks": {"points": {"step_sizes": [0.1, 0.07, 0.05]}}}, "data points has no test set"),
    ],
)
def test_settings_that_do_not_fit(settings: dict[str, Any], message: str) -> None:
    networks = {"networks": {"teacher": NETWORKS["teacher"]}}
    with pytest.raises(config.ConfigError, match=message):
        config.parse(raw(**(networks | settings)), "tiny")


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("momentum", 0.5, "teacher has momentum, but the schedules compared are of plain steps"),
        ("batch_size", "full", "teacher has batch_size full, but the schedules compared are of mini-batches"),
    ],
)
def test_other_updates_are_refused(key: str, value: Any, message: str) -> None:
    changed = raw()
    changed["experiments"]["teacher"]["training"][key] = value
    with pytest.raises(config.ConfigError, match=message):
        config.parse(changed, "tiny")


def test_networks_of_one_study_share_their_thresholds() -> None:
    changed = raw(networks=dict.fromkeys(("teacher", "other"), NETWORKS["teacher"]))
    teacher = changed["experiments"]["teacher"]
    other = {"rank_thresholds": [1.0e-4], "correlation_thresholds": [0.9], "normalise_activations": True}
    changed["experiments"]["other"] = teacher | {"measures": other}
    with pytest.raises(config.ConfigError, match=r"teacher, other have different measures\.correlation_thresholds"):
        config.parse(changed, "tiny")


def test_the_figure_has_every_schedule(tiny: xr.Dataset) -> None:
    drawn = figure.draw(tiny)
    assert len(drawn.axes) == 4
    assert [len(ax.lines) for ax in drawn.axes] == [2 + 4] * 4  # two decays, four schedules
    alive = np.flatnonzero((tiny["diverged_step"].sel(network="diagonal") < 0).all("schedule"))
    middle = tiny["l0"].sel(network="diagonal", schedule="several").isel(seed=alive, l0_threshold=0).median("seed")
    np.testing.assert_allclose(drawn.axes[0].lines[4].get_ydata(), middle)
