"""Singular values and extreme eigenvalues whose every digit is the same on every processor; LAPACK's last ones are not.

Householder's reductions and what is left of the classical iterations when no vectors are wanted (Golub and Van Loan
2013, sections 5.4, 8.4 and 8.6), as kernels: the matrices of toy networks are small, and ranks at a threshold near the
rounding error would otherwise be those of the library.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from largestep.compiled import kernel

Array = NDArray[np.float64]
EPSILON = float(np.finfo(np.float64).eps)
# Squares this small lose their digits, and their reciprocals overflow.
VANISHING = 1e-290
# Implicit QR takes two or three steps for each value.
MOST_STEPS = 60
FOUR = np.uint64(4)


def singular_values(matrices: Array) -> Array:
    """Singular values, largest first, of matrices of shape (..., n, p); NaN where one is not finite.

    Raises ArithmeticError if an iteration does not converge.
    """
    tall = matrices if matrices.shape[-2] >= matrices.shape[-1] else np.swapaxes(matrices, -1, -2)
    finite = np.asarray(np.isfinite(tall).all(axis=(-2, -1)))
    values = np.full((*finite.shape, tall.shape[-1]), np.nan)
    for place in np.argwhere(finite):
        values[tuple(place)] = _of_one(tall[tuple(place)])
    return values


def extremes(matrix: Array) -> Array:
    """Smallest and largest eigenvalue, (2,), of a symmetric matrix; NaN where it is not finite."""
    if not np.isfinite(matrix).all():
        return np.full(2, np.nan)
    # A power of two rounds nothing and keeps squares among the numbers.
    exponent = np.frexp(np.abs(matrix).max())[1]
    diagonal, beside = np.empty(len(matrix)), np.zeros(len(matrix))
    _tridiagonal(np.ascontiguousarray(np.ldexp(matrix, -exponent)), diagonal, beside)
    both = [_eigenvalue(diagonal, beside, 0), _eigenvalue(diagonal, beside, len(matrix) - 1)]
    return np.asarray(np.ldexp(both, exponent))


def triangle(matrix: Array) -> Array:
    """R, (p, p), of matrix = Q R, (n, p) with n >= p, up to the signs of its rows."""
    reduced = np.array(matrix, order="C")
    _triangular(reduced)
    return np.triu(reduced[: reduced.shape[1]])


def _of_one(matrix: Array) -> Array:
    values = np.zeros(matrix.shape[1])
    # Columns of zeros, as those of units that no input activates, add values of 0 and nothing else.
    matrix = matrix[:, matrix.any(axis=0)]
    if not matrix.size:
        return values
    largest = np.abs(matrix).max()
    # Columns from long to short keep the rounding errors of long ones out of the small values.
    lengths = np.einsum("ij,ij->j", matrix / largest, matrix / largest)
    work = np.take(matrix / largest, np.argsort(-lengths, kind="stable"), axis=1)
    if len(work) > 1.5 * work.shape[1]:
        work = triangle(work)
    diagonal, above = np.empty(work.shape[1]), np.zeros(work.shape[1])
    _bidiagonal(np.ascontiguousarray(work), diagonal, above)
    if not _diagonalise(diagonal, above):
        raise ArithmeticError(f"no convergence of the singular values of a matrix of shape {matrix.shape}")
    values[: matrix.shape[1]] = largest * -np.sort(-np.abs(diagonal))
    return values


@kernel
def _reflector(vector):
    """Make a vector that of the reflection I - factor v v^T that maps it to (length, 0, ...): length, factor."""
    square = 0.0
    for k in range(len(vector)):
        square += vector[k] * vector[k]
    if square < VANISHING:
        return 0.0, 0.0
    length = -np.copysign(np.sqrt(square), vector[0])
    factor = 1.0 / (length * (length - vector[0]))
    vector[0] -= length
    return length, factor


@kernel
def _rows_weighted(a, first, column, weights, total):
    """Fill total with the sum of rows from `first` on, from a column on, with weights."""
    total[:] = 0.0
    rows, columns = np.uint64(a.shape[0]), np.uint64(len(total))
    whole = rows - (rows - first) % FOUR
    for i in range(first, whole, FOUR):
        j, k, m = i + np.uint64(1), i + np.uint64(2), i + np.uint64(3)
        of_i, of_j, of_k, of_m = weights[i - first], weights[j - first], weights[k - first], weights[m - first]
        for c in range(columns):
            at = column + c
            total[c] += of_i * a[i, at] + of_j * a[j, at] + of_k * a[k, at] + of_m * a[m, at]
    for i in range(whole, rows):
        weight = weights[i - first]
        for c in range(columns):
            total[c] += weight * a[i, column + c]


@kernel
def _triangular(a):
    """Replace a (n, p), n >= p, by R above and on the diagonal; what is below is no longer used."""
    n, p = a.shape
    total = np.empty(p)
    for k in range(p):
        vector = a[k:, k].copy()
        length, factor = _reflector(vector)
        a[k, k] = length
        if k + 1 < p:
            sums = total[k + 1 :]
            _rows_weighted(a, np.uint64(k), np.uint64(k + 1), vector, sums)
            for i in range(np.uint64(k), np.uint64(n)):
                share = factor * vector[i - np.uint64(k)]
                for c in range(np.uint64(k + 1), np.uint64(p)):
                    a[i, c] -= share * sums[c - np.uint64(k + 1)]


@kernel
def _bidiagonal(a, diagonal, above):
    """Reflect a (n, p), n >= p, in place from both sides to its diagonal (p,) and what is above it (p,), 0 first."""
    n, p = np.uint64(a.shape[0]), np.uint64(a.shape[1])
    total = np.empty(p)
    for step in range(p):
        k = np.uint64(step)
        nxt = k + np.uint64(1)
        vector = a[k:, k].copy()
        length, factor = _reflector(vector)
        diagonal[k] = length
        if nxt == p:
            break
        sums = total[nxt:]
        _rows_weighted(a, k, nxt, vector, sums)
        share = factor * vector[0]
        for c in range(p - nxt):
            a[k, nxt + c] -= share * sums[c]
        across = a[k, nxt:]
        above[nxt], across_factor = _reflector(across)
        # Both reflections of a row at once: the matrix is read and written once.
        for i in range(nxt, n):
            share, product = factor * vector[i - k], 0.0
            for c in range(p - nxt):
                value = a[i, nxt + c] - share * sums[c]
                a[i, nxt + c] = value
                product += value * across[c]
            product *= across_factor
            for c in range(p - nxt):
                a[i, nxt + c] -= product * across[c]


@kernel
def _diagonalise(diagonal, above):
    """Turn a bidiagonal matrix in place into its singular values, up to signs, by implicit QR; whether it converged."""
    # What is lost against the largest values is lost to the shifts too, without which convergence is slow.
    largest = max(np.max(np.abs(diagonal)), np.max(np.abs(above)))
    lost, zero = EPSILON / 16.0 * largest, EPSILON * EPSILON * largest
    for last in range(len(diagonal) - 1, -1, -1):
        for steps in range(MOST_STEPS + 1):
            first = last
            while first > 0:
                negligible = EPSILON * (abs(diagonal[first]) + abs(diagonal[first - 1]))
                if abs(above[first]) <= max(negligible, lost):
                    above[first] = 0.0
                    break
                first -= 1
            if first == last:
                break
            if steps == MOST_STEPS:
                return False
            # A step without shift moves a value of 0 out of the block.
            shifted = np.min(np.abs(diagonal[first : last + 1])) > zero
            _qr_step(diagonal, above, first, last, shifted)
    return True


@kernel
def _qr_step(diagonal, above, first, last, shifted):
    """One step on the block from first to last, perhaps shifted by an eigenvalue of the end of its B^T B."""
    x, y, z = diagonal[first], diagonal[last - 1], diagonal[last]
    g, h = above[last - 1] if last - 1 > first else 0.0, above[last]
    shift = 0.0
    if shifted:
        f = ((y - z) * (y + z) + (g - h) * (g + h)) / (2.0 * h * y)
        shift = z * z - h * (y / (f + np.copysign(np.sqrt(f * f + 1.0), f)) - h)
    f = x - shift / x if shifted else x
    c, s = 1.0, 1.0
    g = above[first + 1]
    for i in range(first, last):
        r = np.sqrt(f * f + g * g)
        c, s = (f / r, g / r) if r != 0.0 else (1.0, 0.0)
        if i > first:
            above[i] = r
        f = c * diagonal[i] + s * above[i + 1]
        above[i + 1] = c * above[i + 1] - s * diagonal[i]
        g = s * diagonal[i + 1]
        diagonal[i + 1] = c * diagonal[i + 1]
        r = np.sqrt(f * f + g * g)
        c, s = (f / r, g / r) if r != 0.0 else (1.0, 0.0)
        diagonal[i] = r
        f = c * above[i + 1] + s * diagonal[i + 1]
        diagonal[i + 1] = c * diagonal[i + 1] - s * above[i + 1]
        if i + 2 <= last:
            g = s * above[i + 2]
            above[i + 2] = c * above[i + 2]
        above[i + 1] = f


@kernel
def _tridiagonal(a, diagonal, beside):
    """Reflect a symmetric matrix (p, p), of which the lower half is used, to its diagonal and what is beside it."""
    p = len(a)
    for last in range(p - 1, 0, -1):
        m = np.uint64(last)
        vector = a[last, :last][::-1].copy()
        length, factor = _reflector(vector)
        v = vector[::-1].copy()
        beside[last] = length
        diagonal[last] = a[last, last]
        products = np.zeros(last)
        for i in range(m):
            weight, product = v[i], a[i, i] * v[i]
            for j in range(i):
                product += a[i, j] * v[j]
                products[j] += a[i, j] * weight
            products[i] += product
        inner = 0.0
        for i in range(m):
            products[i] *= factor
            inner += products[i] * v[i]
        for i in range(m):
            products[i] -= 0.5 * factor * inner * v[i]
        for i in range(m):
            of_v, of_product = v[i], products[i]
            for j in range(i + np.uint64(1)):
                a[i, j] -= of_v * products[j] + of_product * v[j]
    diagonal[0] = a[0, 0]


@kernel
def _eigenvalue(diagonal, beside, index):
    """The eigenvalue of a tridiagonal matrix with so many below it, by bisection with Sturm's sequence."""
    low, high, largest = np.inf, -np.inf, 0.0
    for i in range(len(diagonal)):
        reach = abs(beside[i]) + (abs(beside[i + 1]) if i + 1 < len(diagonal) else 0.0)
        low, high = min(low, diagonal[i] - reach), max(high, diagonal[i] + reach)
        largest = max(largest, abs(diagonal[i]), abs(beside[i]))
    tiny = EPSILON * EPSILON * largest
    while True:
        middle = 0.5 * (low + high)
        if not low < middle < high:
            return middle
        below, q = 0, 1.0
        for i in range(len(diagonal)):
            q = diagonal[i] - middle - beside[i] * beside[i] / q
            if abs(q) < tiny:
                q = -tiny
            below += q < 0.0
        if below > index:
            high = middle
        else:
            low = middle
