"""The short form of make same-digits: toy cells and studies under the two mixes that are the farthest apart."""

from __future__ import annotations

import platform

import pytest

from tests.same_digits.mixes import ROOT, Mix, Work, dispatched

FAR = Mix("generic", "Nehalem", " ".join(dispatched()), 2)


@pytest.mark.skipif(platform.machine().lower() not in ("x86_64", "amd64"), reason="is promised on x86-64")
def test_digits_are_the_same_whatever_computes_them() -> None:
    cells = ("diagonal.decay50", "points.decay2", "teacher.small")
    work = Work(ROOT / "tests/tiny/config.yaml", cells, ("flows", "loss_slice", "sharpness"))
    near = work.compute(Mix())
    assert len(near) == 18
    assert work.compute(FAR) == near
