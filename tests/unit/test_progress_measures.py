"""What may change while the loss is flat: Jacobian columns, support, kinks, alignment, distances, effective rank."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from numpy.typing import NDArray

from largestep.data import points, sparse_regression, teacher_student
from largestep.measures import dense_features, linear_features
from largestep.measures.alignment import alignment
from largestep.measures.column_norms import column_statistics
from largestep.measures.distance import relative_distance
from largestep.measures.kinks import number_of_kinks, slope_changes, slope_variation
from largestep.measures.support import off_support_median, off_support_norm, support_rmse
from largestep.measures.thresholds import effective_rank
from largestep.models import dense
from largestep.toys.network import network
from tests.settings import as_settings

Array = NDArray[np.float64]
HIDDEN = {"weight": {"law": "gaussian", "scale": 1.0}, "bias": {"law": "gaussian", "scale": 1.0}}
OUTPUT = {"units": 1, "weight": {"law": "gaussian", "scale": 1.0}, "bias": None}


def layers(*units: int) -> list[Any]:
    return as_settings([*({"units": count, **HIDDEN} for count in units), OUTPUT])


def snapshots(parameters: Array, data_set: list[list[int]]) -> xr.Dataset:
    return xr.Dataset(
        {
            "parameters": (("arm", "seed", "snapshot_step", "parameter"), parameters),
            "data_set": (("arm", "seed"), np.array(data_set)),
        }
    )


def features(model: list[Any], data: xr.Dataset, kept: xr.Dataset) -> xr.Dataset:
    """Of a dense network."""
    net, measures = as_settings({"layers": model}), as_settings({"normalise_activations": True})
    return dense_features.features(net, measures, data, kept, label="made up", threads=1)


def test_effective_rank_is_the_exponential_of_the_entropy() -> None:
    values = np.array([[1.0, 1.0, 1.0, 1.0], [5.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0], [np.nan] * 4])
    np.testing.assert_allclose(effective_rank(values), [4.0, 1.0, 0.0, np.nan])
    # Shares 1/2, 1/4, 1/4 have an entropy of 1.5 bits.
    assert effective_rank(np.array([2.0, 1.0, 1.0])) == pytest.approx(2.0**1.5)
    generator = np.random.default_rng(0)
    random = generator.uniform(size=(7, 9))
    np.testing.assert_allclose(effective_rank(random), effective_rank(1e-200 * random))


def test_columns_of_a_diagonal_network_are_those_of_its_jacobian() -> None:
    generator = np.random.default_rng(1)
    inputs, parameters = generator.standard_normal((5, 3)), generator.standard_normal(6)

    def outputs(flat: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(inputs) @ (flat[:3] * flat[3:])

    jacobian = torch.autograd.functional.jacobian(outputs, torch.from_numpy(parameters)).numpy()
    net = network(as_settings({"kind": "diagonal", "u": 0.0, "v": 0.0}), 3)
    np.testing.assert_allclose(net.column_norms(parameters, inputs), np.linalg.norm(jacobian, axis=0))


def test_statistics_of_columns() -> None:
    norms = np.array([[1.0, 2.0, 3.0, 100.0], [0.1, 0.9, 2.0, 50.0], [np.nan] * 4]).reshape(1, 1, 3, 4)
    statistics = column_statistics(norms).isel(arm=0, seed=0)
    np.testing.assert_allclose(statistics["jacobian_norm"], [np.sqrt(10014), np.sqrt(0.01 + 0.81 + 4 + 2500), np.nan])
    np.testing.assert_allclose(statistics["column_norm"].sel(column_quantile=0.5), [2.5, 1.45, np.nan])
    np.testing.assert_allclose(statistics["column_norm"].sel(column_quantile=1.0), [100, 50, np.nan])
    np.testing.assert_allclose(statistics["small_columns"], [0.0, 0.5, np.nan])  # below a hundredth of 100


def test_off_support_keeps_numbers_whose_squares_underflow() -> None:
    truth = np.array([0.6, 0.8, 0.0, 0.0, 0.0])
    predictors = np.array([[0.5, 0.8, 3e-200, -4e-200, 0.0], [0.6, 0.8, 0.0, 0.0, 0.0], [np.nan] * 5])
    np.testing.assert_allclose(off_support_norm(predictors, truth), [5e-200, 0.0, np.nan], rtol=1e-14)
    np.testing.assert_allclose(off_support_median(predictors, truth), [3e-200, 0.0, np.nan], rtol=1e-14)
    np.testing.assert_allclose(support_rmse(predictors, truth), [0.1 / np.sqrt(2), 0.0, np.nan], atol=1e-15)


@pytest.mark.filterwarnings("error")
def test_a_truth_without_zeros_has_nothing_off_its_support() -> None:
    truth, predictors = np.ones(3), np.array([[1.0, 2.0, 3.0], [np.nan] * 3])
    np.testing.assert_array_equal(off_support_norm(predictors, truth), [0.0, np.nan])
    np.testing.assert_array_equal(off_support_median(predictors, truth), [0.0, np.nan])


def kinks_on_a_grid(w: Array, b: Array, a: Array) -> tuple[int, float]:
    """Kinks in (-1, 1) above 1% of the largest, and the variation of the slope, from values of the function alone."""
    x = np.linspace(-1.0, 1.0, 200_001)
    slopes = np.diff(np.maximum(np.outer(x, w) + b, 0.0) @ a) / np.diff(x)
    changes = np.abs(np.diff(slopes))
    bends = np.flatnonzero(changes > 1e-6)
    # A kink between two points of the grid shows in two neighbouring differences.
    groups = np.split(bends, np.flatnonzero(np.diff(bends) > 1) + 1)
    sizes = np.array([np.diff(slopes)[group].sum() for group in groups])
    return int(np.sum(np.abs(sizes) > 0.01 * np.abs(sizes).max())), float(np.abs(sizes).sum())


@pytest.mark.parametrize("seed", range(5))
def test_kinks_are_those_of_the_function(seed: int) -> None:
    generator = np.random.default_rng(seed)
    # Apart by more than what counts as one kink; some beyond the range, some small.
    places = generator.permutation(np.arange(-1.2, 1.2, 0.05) + generator.uniform(-0.01, 0.01, 48))
    w = generator.choice([-2.5, 0.4, 3.0], len(places))
    a = generator.standard_normal(len(places)) * generator.choice([1.0, 1e-3], len(places))
    positions, changes = slope_changes(w, -w * places, a)
    count, variation = kinks_on_a_grid(w, -w * places, a)
    assert number_of_kinks(positions, changes, -1.0, 1.0) == count
    assert slope_variation(positions, changes, -1.0, 1.0) == pytest.approx(variation, rel=1e-6)


def test_neighbouring_kinks_count_as_one_and_may_cancel() -> None:
    positions = np.array([0.0, 0.01, 0.5, 0.5, -3.0])
    assert number_of_kinks(positions, np.array([1.0, 1.0, 0.5, 0.2, 9.0]), -1.0, 1.0) == 2
    assert number_of_kinks(positions, np.array([1.0, 1.0, 0.5, -0.5, 9.0]), -1.0, 1.0) == 1
    assert slope_variation(positions, np.array([1.0, 1.0, 0.5, -0.5, 9.0]), -1.0, 1.0) == 3.0
    # A chain of neighbours is not one kink: each group is as wide as the tolerance.
    assert number_of_kinks(np.arange(-0.5, 0.5, 0.015), np.ones(67), -1.0, 1.0) == 34


def test_lines_and_diverged_runs_have_no_kinks_to_count() -> None:
    w, b, a = np.array([[0.0, 1.0], [0.0, 1.0], [np.nan, np.nan]]), np.array([[1.0, 5.0]] * 3), np.ones((3, 2))
    places = slope_changes(w, b, a)
    np.testing.assert_array_equal(number_of_kinks(*places, -1.0, 1.0), [0, 0, np.nan])
    np.testing.assert_array_equal(slope_variation(*places, -1.0, 1.0), [0, 0, np.nan])


def test_alignment_of_known_neurons() -> None:
    teachers = np.array([[2.0, 0.0], [0.0, 0.5]])
    diagonal = np.sqrt(0.5)
    students = np.array([[[3.0, 0.0], [0.0, 0.0], [-1.0, 0.0]], [[1.0, 1.0], [0.0, 0.0], [0.0, 0.0]]])
    of_students, of_teachers = alignment(students, teachers)
    # The third neuron is at a right angle to the second teacher: (3 * 1 + 1 * 0) / 4.
    np.testing.assert_allclose(of_students, [0.75, diagonal])
    np.testing.assert_allclose(of_teachers, [[1.0, 0.0], [diagonal, diagonal]])
    np.testing.assert_array_equal(alignment(np.zeros((1, 3, 2)), teachers)[0], [0.0])
    assert np.isnan(alignment(np.full((1, 3, 2), np.nan), teachers)[0]).all()


def test_a_short_neuron_near_the_teacher_covers_it_less_than_a_long_one() -> None:
    teachers = np.array([[1.0, 0.0]])
    lazy = np.array([[1.0, 1.0], [0.1, 0.0]])
    np.testing.assert_allclose(alignment(lazy, teachers)[1], [np.sqrt(0.5)])
    np.testing.assert_allclose(alignment(lazy[::-1] * [[10.0], [0.1]], teachers)[1], [1.0])


def test_distance_is_relative_to_the_init_of_the_layer_or_of_the_network() -> None:
    first = np.array([[3.0, 4.0], [3.0, 9.0], [np.nan, np.nan]])
    second = np.array([[0.0], [2.0], [np.nan]])  # starts at zero: relative to the 5 of the first layer
    np.testing.assert_allclose(relative_distance([first, second]), [[0, 0], [1, 0.4], [np.nan, np.nan]])


def test_features_of_a_diagonal_network() -> None:
    settings = {"examples": 4, "dimension": 5, "support": 2, "test_examples": 9, "seed": 0}
    data = sparse_regression.draw(as_settings(settings), 2)
    parameters = np.random.default_rng(0).standard_normal((2, 2, 3, 10))
    parameters[1, 1, 2] = np.nan
    model = as_settings({"kind": "diagonal", "u": 0.1, "v": 0.0})
    kept = snapshots(parameters, [[0, 0], [1, 2]])
    dataset = linear_features.features(model, as_settings({}), data, kept, label="made up", threads=1)
    u, v = parameters[1, 0, 1, :5], parameters[1, 0, 1, 5:]
    x, truth = data["train_inputs"].values[1], data["truth"].values[1]
    at = dataset.isel(arm=1, seed=0, snapshot_step=1)
    assert float(at["jacobian_norm"]) == pytest.approx(np.linalg.norm(np.hstack([x * v, x * u])))
    assert float(at["off_support_norm"]) == pytest.approx(np.linalg.norm((u * v)[2:]))
    assert float(at["support_rmse"]) == pytest.approx(np.sqrt(np.mean((u * v - truth)[:2] ** 2)))
    start = parameters[1, 0, 0]
    expected = [np.linalg.norm(u - start[:5]) / np.linalg.norm(start[:5])]
    assert float(at["distance"].isel(layer=0)) == pytest.approx(expected[0])
    lost = dataset.isel(arm=1, seed=1, snapshot_step=2)
    assert all(np.isnan(lost[name]).all() for name in lost.data_vars)


@pytest.mark.filterwarnings("error")
def test_features_of_a_network_on_points() -> None:
    model = layers(6)
    settings = {"inputs": [-1.0, 0.0, 2.0], "labels": [0.0, 1.0, 2.0], "rank_inputs": 20, "seed": 0}
    data = points.draw(as_settings(settings), 1)
    parameters = np.stack([dense.draw(1, model, seed) for seed in range(6)]).reshape(1, 2, 3, -1)
    parameters[0, 1, 2] = np.nan
    dataset = features(model, data, snapshots(parameters.copy(), [[0, 1]]))
    w, b, a = np.split(parameters[0, 0, 1], 3)
    places = -b / w
    assert float(dataset["kinks"][0, 0, 1]) <= np.sum((places > -1) & (places < 2))
    inside = (places > -1) & (places < 2)
    assert float(dataset["slope_variation"][0, 0, 1]) == pytest.approx(np.abs(a * w)[inside].sum())
    lost = dataset.isel(arm=0, seed=1, snapshot_step=2)
    for name in ("kinks", "slope_variation", "jacobian_norm", "column_norm", "small_columns", "distance"):
        assert np.isnan(lost[name]).all(), name


def test_features_of_a_student_use_the_data_set_of_the_run() -> None:
    teacher = [{"units": 2, "weight": {"law": "sphere", "scale": 1.0}, "bias": None}, OUTPUT]
    settings = {"examples": 7, "dimension": 3, "test_examples": 40, "seed": 0, "teacher": teacher}
    data = teacher_student.draw(as_settings(settings), 2)
    model = as_settings([{"units": 4, "weight": {"law": "gaussian", "scale": 1.0}, "bias": None}, OUTPUT])
    parameters = np.stack([dense.draw(3, model, seed) for seed in range(8)]).reshape(2, 2, 2, -1)
    dataset = features(model, data, snapshots(parameters, [[0, 0], [1, 2]]))
    flat, inputs = torch.from_numpy(parameters[1, 1, 1]), torch.from_numpy(data["train_inputs"].values[2])

    def outputs(values: torch.Tensor) -> torch.Tensor:
        return torch.relu(inputs @ values[:12].view(4, 3).T) @ values[12:]

    norms = np.linalg.norm(torch.autograd.functional.jacobian(outputs, flat).numpy(), axis=0)
    at = dataset.isel(arm=1, seed=1, snapshot_step=1)
    assert float(at["jacobian_norm"]) == pytest.approx(np.linalg.norm(norms))
    assert float(at["column_norm"].sel(column_quantile=0.5)) == pytest.approx(np.median(norms))
    expected = alignment(parameters[1, 1, 1, :12].reshape(4, 3), data["teacher_neurons"].values[2])
    assert float(at["student_alignment"]) == pytest.approx(float(expected[0]))
    np.testing.assert_allclose(at["teacher_alignment"], expected[1])
    moved = np.linalg.norm(parameters[1, 1, 1, 12:] - parameters[1, 1, 0, 12:])
    assert float(at["distance"].sel(layer="layer 2")) == pytest.approx(moved / np.linalg.norm(parameters[1, 1, 0, 12:]))


def test_a_deeper_student_has_no_alignment_and_no_biases_in_its_distances() -> None:
    settings = {"examples": 7, "dimension": 3, "test_examples": 90, "seed": 0, "teacher": layers(2, 2)}
    data, model = teacher_student.draw(as_settings(settings), 0), layers(4, 4)
    start = dense.draw(3, model, 0)
    moved = start.copy()
    moved[12:16] += 1.0  # the biases of the first layer
    moved[16:32] *= 3.0  # the weights of the second
    dataset = features(model, data, snapshots(np.stack([start, moved])[None, None], [[0]]))
    assert "student_alignment" not in dataset
    np.testing.assert_allclose(dataset["distance"][0, 0, 1], [0.0, 2.0, 0.0])
