"""How often generators of what users bring draw: 300 settings, 60 folders and 60 networks in make test-reliability."""

from __future__ import annotations

from hypothesis import HealthCheck, Phase, settings

from tests.reliability.small import FULL


def drawn(full: int) -> settings:
    """The same draws on every run, so that a failure is there to stay until it is mended."""
    return settings(
        max_examples=full if FULL else max(6, full // 8),
        derandomize=True,
        database=None,
        deadline=None,
        # What fails is small as it is, and shrinking it takes minutes.
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
