"""Features of image classifiers: units of every block, filters, distances; the network's size does not matter."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr

from largestep import sparsity
from largestep.config.measures import Thresholds
from largestep.data.image_set import ImageSet
from largestep.measures import image_features, unit_tensors
from largestep.measures.thresholds import effective_rank
from largestep.measures.units import feature_sparsity, sampling_error, unit_statistics
from largestep.models import networks
from tests.image_runs import EXAMPLES, spec, train
from tests.settings import as_settings

RUN = ("arm", "seed", "snapshot_step")
BLOCKS = [128, 64, 32, 16, 16]


@pytest.fixture(scope="module")
def kept(data: ImageSet, tmp_path_factory: pytest.TempPathFactory) -> xr.Dataset:
    return train(spec(0.3, 2), data, tmp_path_factory.mktemp("kept"))[1]


def measured(
    data: ImageSet, kept: xr.Dataset, limit: int | None = None, probe: int | None = None, **model: Any
) -> xr.Dataset:
    measures = as_settings({"normalise_activations": False, "units_per_block": limit, "probe_images": probe})
    net = as_settings(spec()["model"] | model)
    return image_features.features(net, measures, data, kept, label="test.images", threads=1)


def measures_of(features: xr.Dataset) -> xr.Dataset:
    """What the sparsity stage makes of them."""
    runs = {name: np.arange(features.sizes[name]) for name in RUN}
    return sparsity.measures(features.assign_coords(runs), Thresholds(correlation_thresholds=[0.95]))


def test_features_are_the_statistics_of_every_block(data: ImageSet, kept: xr.Dataset) -> None:
    features = measured(data, kept)
    assert features["unit_active_count"].dims == (*RUN, "unit")
    assert features["examples"].item() == EXAMPLES
    np.testing.assert_array_equal(np.bincount(features["unit_block"]), [0, *BLOCKS])
    net = networks.draw(as_settings(spec()["model"]), 1, 10, (8, 8), 0).eval()
    networks.load(net, kept["parameters"].values[0, 1, -1])
    with torch.inference_mode():
        blocks = net.blocks(data.train_images.float() / 16.0)
    last = features.isel(arm=0, seed=1, snapshot_step=-1)
    for number, block in enumerate(blocks, start=1):
        values = block.flatten(1).numpy()
        count, later, *_ = unit_statistics(values)
        of_block = features["unit_block"].values == number
        np.testing.assert_allclose(last["unit_active_count"].values[of_block], count, atol=1)
        np.testing.assert_allclose(last["unit_later_correlation"].values[of_block], later, atol=1e-4)
        rank = effective_rank(np.linalg.svd(values.astype(float), compute_uv=False))
        assert last["feature_effective_rank"].values[number - 1] == pytest.approx(rank, rel=1e-3)


def test_the_sampling_error_of_sparsity_is_how_much_draws_of_units_scatter() -> None:
    """Of 600 units, 200 at a time in random order, as the published code draws them; a tenth of them copies."""
    draw = np.random.default_rng(0)
    whole = np.maximum(draw.normal(size=(40, 600)) + draw.normal(size=600), 0).astype(np.float32)
    whole[:, 540:] = whole[:, :60]
    estimates, errors = [], []
    for _ in range(300):
        count, later, *_ = unit_statistics(whole[:, draw.permutation(600)[:200]])
        estimates.append(feature_sparsity(count, later, 40, 0.95))
        errors.append(sampling_error(count, later, 40, 0.95, 600))
    assert np.mean(errors) == pytest.approx(np.std(estimates), rel=0.15)
    count, later, *_ = unit_statistics(whole)
    assert sampling_error(count, later, 40, 0.95, 600) == 0.0


def test_the_sampling_error_stands_beside_the_sparsity(data: ImageSet, kept: xr.Dataset) -> None:
    features = measured(data, kept, limit=20).assign_coords({name: kept[name] for name in RUN})
    assert features["units"].values.tolist() == BLOCKS
    measures = sparsity.measures(features, Thresholds(correlation_thresholds=[0.95, 0.5]))
    assert measures["feature_sparsity_error"].dims == measures["feature_sparsity"].dims
    of_block = features["unit_block"] == 2
    last = features.isel(arm=0, seed=0, snapshot_step=-1)
    count, later = last["unit_active_count"].values[of_block], last["unit_later_correlation"].values[of_block]
    error = measures["feature_sparsity_error"].isel(arm=0, seed=0, snapshot_step=-1).sel(block=2)
    share = count / EXAMPLES * (later <= 0.5)
    assert error.sel(correlation_threshold=0.5).item() == pytest.approx(share.std(ddof=1) * np.sqrt((1 - 20 / 64) / 20))
    assert (measures["feature_sparsity_error"].sel(block=[4, 5]) == 0).all()  # all 16 units are looked at


@pytest.mark.parametrize("seed", range(20))
def test_on_a_device_the_statistics_are_those_of_numpy(seed: int) -> None:
    """With units that are dead, constant, equal, opposite and nearly equal."""
    draw = np.random.default_rng(seed)
    values = np.maximum(draw.normal(size=(30, 12)), 0).astype(np.float32)
    values[:, 1] = 0
    values[:, 2] = 0.1
    values[:, 5] = values[:, 3]
    values[:, 6] = 1.0 - values[:, 4]
    values[:, 8] = values[:, 7] + 1e-4 * draw.normal(size=30)
    count, later, *_ = unit_statistics(values)
    statistics = unit_tensors.unit_statistics(torch.from_numpy(values))
    np.testing.assert_array_equal(statistics.active, count)
    np.testing.assert_allclose(statistics.later, later, atol=1e-12)
    np.testing.assert_allclose(statistics.reordered, unit_statistics(values).reordered, atol=1e-12)
    assert statistics.negative == unit_statistics(values).negative > 0  # of the sixth unit
    lost = torch.full((3, 2), torch.nan)
    assert np.isnan(unit_tensors.unit_statistics(lost)[1]).all()
    assert np.isnan(unit_tensors.feature_effective_rank(lost))
    assert unit_tensors.feature_effective_rank(torch.zeros(3, 2)) == 0


def test_units_and_probe_images_are_sampled_once_for_all_snapshots(data: ImageSet, kept: xr.Dataset) -> None:
    everything, some = measured(data, kept), measured(data, kept, limit=20)
    # The active fraction is that of all units, whichever are looked at.
    np.testing.assert_array_equal(some["active_fraction"], everything["active_fraction"])
    of_stage = [
        sparsity.measures(
            features.assign_coords({name: kept[name] for name in RUN}), Thresholds(correlation_thresholds=[0.95])
        )
        for features in (some, everything.drop_vars("active_fraction"))
    ]
    np.testing.assert_array_equal(of_stage[0]["active_fraction"], everything["active_fraction"])
    np.testing.assert_allclose(of_stage[1]["active_fraction"], everything["active_fraction"], rtol=1e-12)
    np.testing.assert_array_equal(np.bincount(some["unit_block"]), [0, 20, 20, 20, 16, 16])
    of_first = everything["unit_active_count"].values[..., everything["unit_block"] == 1]
    chosen = np.random.default_rng(1).permutation(128)[:20]
    np.testing.assert_array_equal(some["unit_active_count"].values[..., :20], of_first[..., np.sort(chosen)])
    probed = measured(data, kept, probe=30)
    assert probed["examples"].item() == 30
    assert probed["unit_active_count"].max() <= 30
    # Two orders of reading give the same, so that nothing depends on the snapshot before.
    backwards = measured(data, kept.isel(seed=[1]))
    np.testing.assert_array_equal(
        backwards["unit_active_count"].values[0, 0], everything["unit_active_count"].values[0, 1]
    )


def test_activations_are_normalised_over_the_whole_block_when_asked(data: ImageSet) -> None:
    net = networks.draw(as_settings(spec()["model"]), 1, 10, (8, 8), 0).eval()
    some = [torch.arange(3)] * 5
    raw, shares = image_features.activations(net, data.train_images, data, [torch.arange(n) for n in BLOCKS], False)
    scaled, same = image_features.activations(net, data.train_images, data, some, True)
    np.testing.assert_allclose(shares, [float((block != 0).double().mean()) for block in raw], rtol=1e-12)
    np.testing.assert_array_equal(same, shares)
    for block, values in zip(raw, scaled, strict=True):
        torch.testing.assert_close(values, (block / block.norm(dim=1, keepdim=True))[:, :3])


@pytest.mark.parametrize("alive", [0, 1])
def test_a_dead_block_has_no_activity(data: ImageSet, alive: int) -> None:
    net = networks.draw(as_settings(spec()["model"]), 1, 10, (8, 8), 0)
    with torch.no_grad():
        for norm in (net.stages[3][0].downsample[1], net.stages[3][0].bn2, net.stages[3][1].bn2):
            norm.bias[alive:] = -1e6
    dead = xr.Dataset({"parameters": ((*RUN, "parameter"), np.tile(networks.flatten(net), (1, 1, 2, 1)))})
    features = measured(data, dead)
    for block in (4, 5):
        count = features["unit_active_count"].values[0, 0, 0, features["unit_block"] == block]
        assert (count[alive:] == 0).all()
        assert (count[:alive] > 0).all()
        assert (features["unit_later_correlation"].values[0, 0, 0, features["unit_block"] == block] == 0).all()


def test_a_diverged_snapshot_has_no_statistics(data: ImageSet, kept: xr.Dataset) -> None:
    lost = kept.copy(deep=True)
    lost["parameters"][0, 0, 1:] = np.nan
    features = measured(data, lost)
    for name in ("unit_later_correlation", "active_fraction", "feature_effective_rank", "distance", "weight_distance"):
        assert np.isnan(features[name].values[0, 0, -1]).all(), name
        assert np.isfinite(features[name].values[0, 0, 0]).all(), name
        assert np.isfinite(features[name].values[0, 1]).all(), name
    assert np.isnan(features["filters"].values[0, 0, 1]).all()


def test_distances_are_those_of_each_layer_and_of_each_part(data: ImageSet, kept: xr.Dataset) -> None:
    features = measured(data, kept)
    start, end = (networks.draw(as_settings(spec()["model"]), 1, 10, (8, 8), 0) for _ in range(2))
    networks.load(start, kept["parameters"].values[0, 1, 0])
    networks.load(end, kept["parameters"].values[0, 1, -1])
    assert list(features["layer"].values) == ["stem", "stage 1", "stage 2", "stage 3", "stage 4", "head"]
    for names, values, of in (
        ("weight", "weight_distance", lambda net: {name: [each] for name, each in networks.weights(net).items()}),
        ("layer", "distance", networks.parts),
    ):
        for name in features[names].values:
            before, after = (torch.cat([each.flatten() for each in of(net)[str(name)]]) for net in (start, end))
            expected = ((after - before).norm() / before.norm()).item()
            at = features[values].isel(arm=0, seed=1).sel({names: name})
            assert at[-1] == pytest.approx(expected, rel=1e-5)
            assert at[0] == 0


def test_filters_are_the_weights_of_the_first_layer(data: ImageSet, kept: xr.Dataset) -> None:
    filters = measured(data, kept)["filters"]
    assert filters.dims == ("arm", "seed", "moment", "filter", "channel", "row", "column")
    net = networks.draw(as_settings(spec()["model"]), 1, 10, (8, 8), 0)
    networks.load(net, kept["parameters"].values[0, 1, -1])
    np.testing.assert_array_equal(filters.values[0, 1, 1], net.stem[0].weight.detach())


def test_a_network_of_any_size_is_read_one_snapshot_at_a_time(
    data: ImageSet, kept: xr.Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "snapshots.nc"
    kept.to_netcdf(path)
    sizes: list[int] = []
    load = networks.load
    monkeypatch.setattr(networks, "load", lambda net, flat: sizes.append(flat.size) or load(net, flat))
    with xr.open_dataset(path, cache=False) as lazily:
        features = measured(data, lazily)
    assert sizes == [kept.sizes["parameter"]] * 6
    xr.testing.assert_identical(features.drop_attrs(), measured(data, kept).drop_attrs())
