"""The run that others are compared with, and counts of what tests of reliability did, printed at the end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest

from tests.conftest import Project, made_once
from tests.reliability.small import run_watched

Counted = Callable[..., None]
KEY = "counted"


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Project:
    """The small project after a run that nothing disturbed but a look at what is unpickled, made once."""
    return made_once(tmp_path_factory, worker_id, "small", run_watched)


@pytest.fixture
def counted(record_property: Callable[[str, object], None]) -> Counted:
    """Count something that this test did: what it is, and how many."""

    def count(what: str, number: int = 1) -> None:
        record_property(KEY, [what, number])

    return count


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the counts of the tests that passed."""
    total = Counter[str]()
    for report in terminalreporter.getreports("passed"):
        for key, value in report.user_properties:
            if key == KEY:
                total[value[0]] += value[1]
    if total:
        terminalreporter.section("counts")
    for what, number in sorted(total.items()):
        terminalreporter.write_line(f"{what}: {number}")
