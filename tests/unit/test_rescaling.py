"""Units rescaled without a change of the function: against autograd, by hand, and what the claims make of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr
from numpy.typing import NDArray

from largestep import config, sparsity, stages
from largestep.claims.summary import rescaling as said
from largestep.claims.verdict import Measured, below, decide
from largestep.config.experiments import Experiment
from largestep.measures import RUN, rescaling
from largestep.measures.thresholds import rank
from largestep.toys.network import Rescalable, network

SETTINGS = config.parse(config.read(Path(__file__).parents[1] / "tiny/config.yaml"), "tiny")
NETWORKS = ("diagonal", "points", "teacher")
Array = NDArray[np.float64]


def drawn(name: str) -> tuple[Experiment, xr.Dataset, xr.Dataset]:
    """An experiment, its data, and snapshots of two seeds in two arms, of which the last run diverged."""
    experiment = SETTINGS.experiments[name]
    data = stages.worker("data", experiment.data.kind).draw(experiment.data, 0)
    start = network(experiment.model, data.sizes["input"]).initial(np.arange(2))
    parameters = np.stack([start, start + 0.3 * np.random.default_rng(0).standard_normal(start.shape)])
    parameters = np.stack([np.zeros_like(parameters), parameters], axis=2)
    parameters[1, 1, 1] = np.nan
    names = {"arm": ["order", "data"], "seed": [3, 5], "snapshot_step": [0, 9]}
    kept = {"parameters": ((*RUN, "parameter"), parameters), "data_set": (RUN[:2], np.zeros((2, 2), dtype=np.int64))}
    return experiment, data, xr.Dataset(kept, names)


@pytest.mark.parametrize("name", NETWORKS)
def test_the_function_stays_and_the_weights_do_not(name: str) -> None:
    experiment, data, snapshots = drawn(name)
    net = network(experiment.model, data.sizes["input"])
    assert isinstance(net, Rescalable)
    changed, last = rescaling.rescaled(net, snapshots), snapshots["parameters"].values[:, :, -1]
    inputs = data["train_inputs"].values
    for arm, seed in ((0, 0), (0, 1), (1, 0)):
        before, after = (net.outputs(each[None], inputs) for each in (last[arm, seed], changed[arm, seed]))
        np.testing.assert_allclose(after, before, rtol=1e-10, atol=1e-13)
        moved = changed[arm, seed] != last[arm, seed]
        assert moved.any()
        assert (np.sign(changed[arm, seed]) == np.sign(last[arm, seed])).all()
        assert 0.3 < np.log(changed[arm, seed][moved] / last[arm, seed][moved]).std() < 2.5
    assert np.isnan(changed[1, 1]).all()


def test_a_seed_has_one_draw_in_all_arms_and_cells() -> None:
    experiment, data, snapshots = drawn("points")
    net = network(experiment.model, data.sizes["input"])
    assert isinstance(net, Rescalable)
    one = rescaling.rescaled(net, snapshots)
    other = rescaling.rescaled(net, snapshots.isel(seed=[1, 0]))
    np.testing.assert_array_equal(one[:, 0], other[:, 1])
    factors = one[0, :, :3] / snapshots["parameters"].values[0, :, -1, :3]
    assert not np.isclose(factors[0], factors[1]).any()


@pytest.mark.parametrize("name", NETWORKS)
def test_measures_are_those_of_the_rescaled_network_by_autograd(name: str) -> None:
    experiment, data, snapshots = drawn(name)
    net = network(experiment.model, data.sizes["input"])
    assert isinstance(net, Rescalable)
    worker = stages.worker("features", experiment.model.kind)
    features = worker.features(experiment.model, experiment.measures, data, snapshots, label="t", threads=1)
    measures = sparsity.measures(features.assign_coords(snapshots.coords), experiment.measures)
    assert measures["rescaled_rank"].dims == ("arm", "seed", "rank_threshold")
    assert np.isnan(measures["rescaled_rank"].values[1, 1]).all()
    changed = rescaling.rescaled(net, snapshots)
    inputs = torch.tensor(data["rank_inputs"].values[: changed.shape[-1]])
    module = net.module(changed[0, 1])  # type: ignore[attr-defined]
    weights = list(module.parameters())
    gradients = [torch.autograd.grad(module(each[None]).sum(), weights) for each in inputs]
    jacobian = torch.stack([torch.cat([part.flatten() for part in each]) for each in gradients])
    singular = torch.linalg.svdvals(jacobian).numpy()
    kept = features["rescaled_singular_values"].values[0, 1]
    np.testing.assert_allclose(kept[: len(singular)], singular[: len(kept)], rtol=1e-8, atol=1e-9 * singular[0])
    for threshold in measures["rank_threshold"].values[measures["rank_threshold"].values > 1e-9]:
        at = measures["rescaled_rank"].sel(rank_threshold=threshold).values[0, 1]
        assert at == rank(singular, threshold)


def test_activations_that_are_not_normalised_do_not_know_the_scale() -> None:
    """Correlation and activity of a unit do not change with it, as docs/claims.md says of image classifiers."""
    experiment, data, snapshots = drawn("teacher")
    worker = stages.worker("features", experiment.model.kind)
    for normalise in (False, True):
        read = experiment.measures.model_copy(update={"normalise_activations": normalise})
        features = worker.features(experiment.model, read, data, snapshots, label="t", threads=1)
        now, before = features["rescaled_later_correlation"], features["unit_later_correlation"].isel(snapshot_step=-1)
        assert np.allclose(now, before, atol=1e-7, equal_nan=True) is not normalise


def rows(plain: float, scaled: float) -> str:
    noise = np.random.default_rng(0).standard_normal(20) / 10
    asked = [
        Measured("C5", "net/order", f"correlation of rank{suffix}, cells", value + noise, below(0.0))
        for suffix, value in (("", plain), (", units rescaled", scaled))
    ]
    return said(decide(asked))


def test_the_summary_names_the_verdicts_that_move() -> None:
    assert rows(-1.0, 1.0) == "With units rescaled 0 / 1 / 0 where it is 1 / 0 / 0 without, moved: 1 (net/order)."
    assert rows(-1.0, -0.5) == "With units rescaled 1 / 0 / 0 where it is 1 / 0 / 0 without, none moved."
    assert said([]) == ""
