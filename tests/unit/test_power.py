"""The rules of the claims on made-up runs, of which those with the larger values diverge."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from largestep.claims.power import DIVERGING, NAMED, headline, rates, runs

SAMPLES = 200


@pytest.mark.parametrize("diverging", DIVERGING)
def test_no_effect_is_rarely_supported(diverging: str) -> None:
    shares = rates(0.0, DIVERGING[diverging], 50, SAMPLES)
    assert shares.supported <= 0.05
    assert shares.refuted <= 0.05


def test_survivors_alone_would_be_misled() -> None:
    """Where more of the longer runs diverge, and rather those with large values."""
    assert rates(0.0, DIVERGING["12 / 29 / 55%"], 50, SAMPLES).survivors > 0.06


@pytest.mark.parametrize("diverging", ["none", "12% of each"])
def test_the_named_effect_is_found(diverging: str) -> None:
    assert rates(NAMED, DIVERGING[diverging], 50, SAMPLES).supported >= 0.95


def test_shares_and_sizes_are_what_they_are_called() -> None:
    values, gone = runs(np.random.default_rng(0), 1.0, (0.12, 0.29, 0.55), 20_000)
    np.testing.assert_allclose(gone.mean(axis=1), [0.12, 0.29, 0.55], atol=0.02)
    np.testing.assert_array_equal(np.isnan(values), gone)
    whole, _ = runs(np.random.default_rng(0), 1.0, (0.0, 0.0, 0.0), 20_000)
    np.testing.assert_allclose(whole.mean(axis=1), [0.0, -1.0, -2.0], atol=0.03)
    assert whole[2, gone[2]].mean() > whole[2].mean() + 0.3  # the larger their value the likelier
    assert headline(values, gone).lost.mean() > 0.55


def test_the_command_says_what_counts_it_needs() -> None:
    command = [sys.executable, "-m", "largestep", "power", "--samples", "0"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.strip() == "error: --samples and --seeds are counts, 1 or more"
