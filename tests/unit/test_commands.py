"""`python -m largestep`: what it says of its commands, and how each of them takes what all of them take."""

from __future__ import annotations

import importlib
import json
import sys

import pytest

from largestep import __version__, cli
from largestep.__main__ import COMMANDS, main
from largestep.claims import power


def said(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Exit status, and what was printed."""
    monkeypatch.setattr(sys, "argv", ["largestep", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    return (int(ended.value.code or 0), *capsys.readouterr())


def test_help_names_every_command_and_status(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    status, text, _ = said(monkeypatch, capsys, "--help")
    assert status == 0
    for name, (_, purpose) in COMMANDS.items():
        assert f"  {name} " in text
        assert purpose in text
    assert "exit status:" in text
    assert max(map(len, text.splitlines())) <= 120
    assert said(monkeypatch, capsys, "--version") == (0, f"largestep {__version__}\n", "")


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_and_json(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    status, text, _ = said(monkeypatch, capsys, name, "--help")
    assert (status, "--json" in text) == (0, True)
    assert text.startswith(f"usage: python -m largestep {name} ")


def test_what_is_no_command_is_2(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, error = said(monkeypatch, capsys, "cels")
    assert (status, out) == (2, "")
    assert "invalid choice: 'cels'" in error
    assert "check-bundle" in error


def test_power_as_json(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["power", "--samples", "1", "--seeds", "8", "--json"])
    cli.run(power.main)
    rows = json.loads(capsys.readouterr().out)
    assert {row["seeds"] for row in rows} == {8}
    assert all(row["power (%)"] in (0.0, 100.0) for row in rows)


def test_every_command_is_a_module_with_main() -> None:
    for module, _ in COMMANDS.values():
        assert callable(importlib.import_module(module).main)
