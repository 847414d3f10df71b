"""Elementary functions of float64 arrays, by the C library: NumPy's own differ between AVX2 and AVX-512 processors.

Values as NumPy gives them, without its warnings: the logarithm of 0 is -inf and that of a negative number NaN, and
what is too large is inf.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


def exp(values: ArrayLike) -> Array:
    """e to the power of each value."""
    return _each(_exp, values)


def log(values: ArrayLike) -> Array:
    """Natural logarithms."""
    return _logarithm(math.log, values)


def log2(values: ArrayLike) -> Array:
    """Logarithms to base 2."""
    return _logarithm(math.log2, values)


def log10(values: ArrayLike) -> Array:
    """Decimal logarithms."""
    return _logarithm(math.log10, values)


def power(base: ArrayLike, exponent: ArrayLike) -> Array:
    """Each base, which is not negative, to the power of its exponent; the two broadcast."""
    bases, exponents = np.broadcast_arrays(np.asarray(base, dtype=np.float64), np.asarray(exponent, dtype=np.float64))
    powers = map(_power, bases.ravel().tolist(), exponents.ravel().tolist())
    return np.fromiter(powers, np.float64, bases.size).reshape(bases.shape)


def geomspace(first: float, last: float, count: int) -> Array:
    """So many positive numbers, at least one, from the first to the last in equal ratios."""
    numbers = exp(np.linspace(math.log(first), math.log(last), count))
    numbers[-1], numbers[0] = last, first
    return numbers


def _logarithm(function: Callable[[float], float], values: ArrayLike) -> Array:
    array = np.asarray(values, dtype=np.float64)
    positive = array > 0.0
    logarithms = np.where(array == 0.0, -np.inf, np.nan)
    logarithms[positive] = _each(function, array[positive])
    return logarithms


def _each(function: Callable[[float], float], values: ArrayLike) -> Array:
    array = np.asarray(values, dtype=np.float64)
    return np.fromiter(map(function, array.ravel().tolist()), np.float64, array.size).reshape(array.shape)


def _exp(value: float) -> float:
    try:
        return math.exp(value)
    except OverflowError:
        return math.inf


def _power(base: float, exponent: float) -> float:
    try:
        return math.pow(base, exponent)
    except OverflowError:
        return math.inf
    except ValueError:  # 0 to a negative power
        return math.inf if base == 0.0 else math.nan
