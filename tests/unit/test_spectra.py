"""Decompositions against LAPACK, on matrices that are easy, graded over hundreds of decades, deficient or empty."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from largestep import spectra

Array = NDArray[np.float64]
RNG = np.random.default_rng(0)
CLOSE = 1e-13


def graded(rows: int, columns: int, decades: float) -> Array:
    scales = 10.0 ** -np.linspace(0.0, decades, columns)
    return RNG.standard_normal((rows, columns)) * RNG.permutation(scales)


MATRICES = {
    "square": graded(40, 40, 0),
    "tall": graded(90, 20, 0),
    "wide": graded(7, 30, 0),
    "graded": graded(60, 60, 17),
    "graded beyond squares": graded(50, 40, 250),
    "tiny": 1e-200 * graded(9, 9, 0),
    "huge": 1e200 * graded(9, 9, 0),
    "deficient": graded(30, 3, 0) @ graded(3, 30, 0),
    "of equal columns": np.ones((12, 8)),
    "with columns of zeros": graded(20, 10, 3) * (np.arange(10) % 3 > 0),
    "upper triangle": np.triu(graded(30, 30, 12)),
    "nilpotent": np.diag(np.ones(11), k=1),
    "diagonal": np.diag(np.r_[np.zeros(3), 2.0, 2.0, 1e-16]),
    "one row": graded(1, 5, 0),
    "one number": np.array([[-3.0]]),
    "zeros": np.zeros((4, 3)),
}


@pytest.mark.parametrize("matrix", MATRICES.values(), ids=MATRICES)
def test_singular_values_are_those_of_lapack(matrix: Array) -> None:
    values, wanted = spectra.singular_values(matrix), np.linalg.svd(matrix, compute_uv=False)
    assert values.shape == wanted.shape
    assert (np.diff(values) <= 0).all()
    assert (values >= 0).all()
    np.testing.assert_allclose(values, wanted, rtol=0, atol=CLOSE * wanted.max(initial=0.0))


def test_values_of_a_stack_keep_their_places_and_nan_stays_apart() -> None:
    stack = RNG.standard_normal((2, 3, 8, 5))
    stack[1, 0, 2, 2] = np.inf
    values = spectra.singular_values(stack)
    assert np.isnan(values[1, 0]).all()
    assert np.isfinite(values).all(axis=-1).sum() == 5
    np.testing.assert_array_equal(values[0, 2], spectra.singular_values(stack[0, 2]))


def test_small_values_of_graded_columns_keep_their_digits() -> None:
    scales = 10.0 ** -np.arange(0.0, 15.0)
    values = spectra.singular_values(np.eye(15)[:, ::-1] * scales)
    np.testing.assert_allclose(values, scales, rtol=1e-12)


@pytest.mark.parametrize("size", [1, 2, 3, 30, 75])
@pytest.mark.parametrize("rank", [None, 1])
def test_extreme_eigenvalues_are_those_of_lapack(size: int, rank: int | None) -> None:
    half = RNG.standard_normal((size, rank or size))
    matrix = half @ half.T if rank else half + half.T
    wanted = np.linalg.eigvalsh(matrix)[[0, -1]]
    np.testing.assert_allclose(spectra.extremes(matrix), wanted, rtol=0, atol=CLOSE * np.abs(wanted).max())


def test_eigenvalues_of_no_finite_matrix_are_nan_and_those_of_zeros_are_zero() -> None:
    assert np.isnan(spectra.extremes(np.array([[1.0, np.nan], [np.nan, 1.0]]))).all()
    np.testing.assert_array_equal(spectra.extremes(np.zeros((3, 3))), np.zeros(2))


@pytest.mark.parametrize("size", [1e-310, 1e-200, 1e200, 1e306])
def test_eigenvalues_of_matrices_whose_squares_are_no_numbers(size: float) -> None:
    half = RNG.standard_normal((6, 6))
    matrix = size * (half + half.T)
    wanted = np.linalg.eigvalsh(half + half.T)[[0, -1]]
    np.testing.assert_allclose(spectra.extremes(matrix) / size, wanted, rtol=1e-10)


def test_the_matrix_is_left_as_it_is() -> None:
    matrix = RNG.standard_normal((6, 6))
    before = matrix.copy()
    spectra.singular_values(matrix)
    spectra.extremes(matrix)
    spectra.triangle(matrix)
    np.testing.assert_array_equal(matrix, before)


@pytest.mark.parametrize("shape", [(5, 5), (40, 17), (3, 1)])
def test_the_triangle_is_that_of_lapack_up_to_signs(shape: tuple[int, int]) -> None:
    matrix = RNG.standard_normal(shape)
    triangle, wanted = spectra.triangle(matrix), np.linalg.qr(matrix, mode="r")
    np.testing.assert_allclose(np.abs(triangle), np.abs(wanted), rtol=0, atol=1e-13)
    np.testing.assert_array_equal(triangle, np.triu(triangle))


def test_columns_of_zeros_add_zeros_alone() -> None:
    """Of units that no input activates; a matrix that keeps nothing else has no other values."""
    matrix = np.random.default_rng(3).standard_normal((30, 12))
    wide = np.zeros((30, 20))
    wide[:, np.r_[0:5, 9:16]] = matrix
    values = spectra.singular_values(np.stack([wide, np.zeros_like(wide)]))
    np.testing.assert_array_equal(values[0], np.r_[spectra.singular_values(matrix), np.zeros(8)])
    np.testing.assert_array_equal(values[1], np.zeros(20))
