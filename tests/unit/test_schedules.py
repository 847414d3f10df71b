"""Step sizes against the published settings, by hand."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from largestep.decay_steps import decay_fraction
from largestep.schedules import PHASE_OF_IMAGES, Schedule
from tests.settings import CONSTANT, as_settings


def step_sizes(law: Any, steps: int, decay_after_update: bool = False, phase: int = 0) -> NDArray[np.float64]:
    return Schedule(law, steps, decay_after_update, phase).sizes


def schedule(**changes: object) -> Any:
    return as_settings(CONSTANT | {"step_size": 0.1} | changes)


def test_constant() -> None:
    assert (step_sizes(schedule(), 7) == 0.1).all()
    assert decay_fraction(schedule()) == 0.0


def test_decay_before_or_after_the_update() -> None:
    halved = schedule(decays=[{"at": 0.5, "divide_by": 2.0}])
    np.testing.assert_array_equal(step_sizes(halved, 5), [0.1, 0.1, 0.05, 0.05, 0.05])
    np.testing.assert_array_equal(step_sizes(halved, 5, decay_after_update=True), [0.1, 0.1, 0.1, 0.05, 0.05])
    assert decay_fraction(halved) == 0.5


def test_several_decays_multiply() -> None:
    sizes = step_sizes(schedule(decays=[{"at": 0.5, "divide_by": 10.0}, {"at": 0.9, "divide_by": 10.0}]), 100)
    np.testing.assert_allclose(sizes[[0, 49, 50, 89, 90, 99]], [0.1, 0.1, 0.01, 0.01, 0.001, 0.001])


def test_power_warmup_of_the_one_dimensional_case() -> None:
    """eta_i = eta + (F - 1) eta i / N up to the decay, which divides the peak (published settings of Fig. 4)."""
    law = {"kind": "power", "factor": 200.0, "exponent": 1.0}
    steps = 31623
    sizes = step_sizes(schedule(step_size=2e-4, warmup=law, decays=[{"at": 0.5, "divide_by": 3.0}]), steps)
    until = int(0.5 * steps)
    assert sizes[1000] == pytest.approx(2e-4 + 199 * 2e-4 * 1000 / steps)
    peak = 2e-4 + 199 * 2e-4 * until / steps
    assert sizes[until] == pytest.approx(peak / 3)
    assert sizes[-1] == pytest.approx(peak / 3)


def test_exponential_warmup_of_the_deep_nets() -> None:
    """The peaks are 1.63, 4.32 and 11.47 times the step size for decay at 10, 30 and 50%."""
    law = {"kind": "exponential", "base": 1.05}
    for at, peak in ((0.1, 1.63), (0.3, 4.32), (0.5, 11.47)):
        decays = [{"at": at, "divide_by": 10.0}, {"at": 0.9, "divide_by": 10.0}]
        sizes = step_sizes(schedule(step_size=1.0, warmup=law, decays=decays), 1500)
        assert sizes[int(at * 1500)] == pytest.approx(peak / 10, rel=1e-3)
        assert sizes[-1] == pytest.approx(peak / 100, rel=1e-3)


def test_a_linear_warmup_that_ends_between_two_steps_reaches_the_step_size() -> None:
    law = {"kind": "linear", "start": 0.0, "until": 0.2}
    sizes = step_sizes(schedule(step_size=1.0, warmup=law), 8)
    np.testing.assert_allclose(sizes, [0.0, 0.625, *[1.0] * 6], rtol=1e-15)


def test_a_linear_warmup_rises_to_the_step_size_and_stays_there() -> None:
    law = {"kind": "linear", "start": 0.1, "until": 0.4}
    sizes = step_sizes(schedule(warmup=law), 10)
    np.testing.assert_allclose(sizes, 0.1 * np.array([0.1, 0.325, 0.55, 0.775, *[1.0] * 6]))
    halved = step_sizes(schedule(warmup=law, decays=[{"at": 0.6, "divide_by": 2.0}]), 10)
    np.testing.assert_allclose(halved, sizes / np.where(np.arange(10) < 6, 1, 2))


def test_cosine_annealing_falls_from_the_peak_to_nothing_after_the_last_step() -> None:
    sizes = step_sizes(schedule(annealing="cosine"), 4)
    np.testing.assert_allclose(sizes, 0.1 * np.array([1.0, 0.5 + 8**-0.5, 0.5, 0.5 - 8**-0.5]))
    law = {"kind": "linear", "start": 0.0, "until": 0.2}
    warm = step_sizes(schedule(warmup=law, annealing="cosine"), 10)
    assert warm[0] == 0
    assert warm.argmax() == 2
    assert warm[2] == pytest.approx(0.1)
    assert (np.diff(warm[2:]) < 0).all()


def test_the_duration_of_the_large_steps_is_that_before_the_first_decay() -> None:
    assert decay_fraction(schedule()) == 0
    assert decay_fraction(schedule(decays=[{"at": 0.3, "divide_by": 2.0}, {"at": 0.9, "divide_by": 2.0}])) == 0.3
    assert np.isnan(decay_fraction(schedule(annealing="cosine")))


EXPONENTIAL = {"kind": "exponential", "base": 1.05}
LINEAR = {"kind": "linear", "start": 0.1, "until": 0.25}
TWICE = [{"at": 0.25, "divide_by": 10.0}, {"at": 0.75, "divide_by": 4.0}]


@pytest.mark.parametrize(
    ("settings", "law"),
    [
        ({}, lambda t: 1.0),
        ({"decays": TWICE}, lambda t: 1.0 if t < 0.25 else 0.1 if t < 0.75 else 0.025),
        (
            {"warmup": EXPONENTIAL, "decays": TWICE},
            lambda t: 1.05 ** (100 * min(t, 0.25)) * (1.0 if t < 0.25 else 0.1 if t < 0.75 else 0.025),
        ),
        ({"warmup": LINEAR}, lambda t: min(0.1 + 0.9 * t / 0.25, 1.0)),
        ({"annealing": "cosine"}, lambda t: 0.5 * (1.0 + np.cos(np.pi * t))),
        (
            {"warmup": LINEAR, "annealing": "cosine"},
            lambda t: (
                min(0.1 + 0.9 * t / 0.25, 1.0) * (1.0 if t < 0.25 else 0.5 * (1.0 + np.cos(np.pi * (t - 0.25) / 0.75)))
            ),
        ),
    ],
    ids=["constant", "two decays", "warm-up and decays", "linear warm-up", "cosine", "linear warm-up and cosine"],
)
def test_the_step_sizes_of_images_follow_the_published_law(
    settings: dict[str, object], law: Callable[[float], float]
) -> None:
    """Update k of N, from 0 on, takes the size at the time (k + 1) / N, so the last one that at the end of training."""
    n = 40
    sizes = step_sizes(schedule(**settings), n, phase=PHASE_OF_IMAGES)
    np.testing.assert_allclose(sizes, [0.1 * law((k + 1) / n) for k in range(n)], rtol=1e-14, atol=1e-17)


@pytest.mark.parametrize("steps", [7, 30, 64, 95, 100, 1000, 3300])
def test_decays_of_images_fall_due_as_published_whatever_floats_make_of_the_share(steps: int) -> None:
    """The first update k with (k + 1) / N at the share or above it, in exact arithmetic."""
    for hundredths in range(1, 100):
        at = hundredths / 100
        divided = Schedule(schedule(decays=[{"at": at, "divide_by": 10.0}]), steps, phase=PHASE_OF_IMAGES)
        expected = next(k for k in range(steps) if (k + 1) * 100 >= hundredths * steps)
        assert divided.decay_step == expected, at
        np.testing.assert_array_equal(divided.sizes, np.where(np.arange(steps) < expected, 0.1, 0.1 / 10.0))
    assert {at: Schedule(schedule(decays=[{"at": at, "divide_by": 2.0}]), 100).decay_step for at in (0.29, 0.57)} == {
        0.29: 28,  # what the published code of toy networks makes of it, in floats
        0.57: 56,
    }


@pytest.mark.parametrize(("at", "steps"), [(0.29, 100), (0.57, 100), (0.3, 95), (0.55, 30), (0.1, 64)])
def test_what_a_decay_of_images_divides_is_the_warm_up_at_its_share_of_training(at: float, steps: int) -> None:
    law = {"warmup": EXPONENTIAL, "decays": [{"at": at, "divide_by": 10.0}]}
    sizes = step_sizes(schedule(**law), steps, phase=PHASE_OF_IMAGES)
    part = Fraction(str(at))
    rising = [Fraction(k + 1, steps) < part for k in range(steps)]
    expected = [
        0.1 * 1.05 ** (100 * (k + 1) / steps) if up else 0.01 * 1.05 ** (100 * at) for k, up in enumerate(rising)
    ]
    np.testing.assert_allclose(sizes, expected, rtol=1e-14)


def test_a_cosine_begins_where_the_linear_warm_up_ends_between_two_updates() -> None:
    law = {"warmup": {"kind": "linear", "start": 0.0, "until": 0.29}, "annealing": "cosine"}
    for steps in (30, 100):
        t = (np.arange(steps) + 1) / steps
        expected = 0.1 * np.minimum(t / 0.29, 1) * 0.5 * (1 + np.cos(np.pi * np.maximum(t - 0.29, 0) / 0.71))
        np.testing.assert_allclose(step_sizes(schedule(**law), steps, phase=PHASE_OF_IMAGES), expected, atol=1e-16)
