"""What the kernels are compiled for: the same on every processor, whatever the environment asks for."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import numba
import pytest

from largestep import compiled
from largestep.machine import ProcessorError, attributes

HAS = dict.fromkeys(compiled.CPU_FEATURES, True) | {"avx512f": True}
x86_64 = pytest.mark.skipif(platform.machine().lower() not in ("x86_64", "amd64"), reason="x86-64 alone has a target")
SUM = """
import sys

import numba
import numpy as np

if "host" not in sys.argv:
    import largestep.compiled

@numba.njit(cache=True, fastmath={"reassoc"})
def total(values):
    found = 0.0
    for value in values:
        found += value
    return found

total(np.ones(9))
print(numba.core.registry.cpu_target.target_context.codegen().magic_tuple()[1:])
print(len(total.stats.cache_hits))
"""


@x86_64
def test_the_target_is_fixed_and_code_for_others_is_not_taken(tmp_path: Path) -> None:
    (tmp_path / "total.py").write_text(SUM)
    environment = {k: v for k, v in os.environ.items() if not k.startswith("NUMBA_CPU")}
    environment |= {"NUMBA_CACHE_DIR": str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path)}

    def run(*arguments: str, **asked: str) -> list[str]:
        command, variables = [sys.executable, str(tmp_path / "total.py"), *arguments], environment | asked
        return subprocess.run(command, env=variables, capture_output=True, text=True, check=True).stdout.splitlines()

    ours = str((compiled.CPU_NAME, ",".join(f"+{each}" for each in compiled.CPU_FEATURES)))
    target, hits = run("host")
    assert target != ours
    assert hits == "0"
    assert run() == [ours, "0"]
    assert run(NUMBA_CPU_NAME="generic") == [ours, "1"]
    assert run(NUMBA_CPU_FEATURES="+sse2") == [ours, "1"]


def test_a_processor_without_avx2_is_refused() -> None:
    compiled.fix_target("x86_64", HAS)
    with pytest.raises(ProcessorError, match=r"no avx2, fma; largestep needs x86-64-v3") as refusal:
        compiled.fix_target("x86_64", HAS | {"avx2": False, "fma": False})
    assert "\n" not in str(refusal.value)
    compiled.fix_target("aarch64", {"neon": True})


@x86_64
def test_stores_name_the_target() -> None:
    assert attributes()["compile_target"] == compiled.CPU_NAME


def test_kernels_are_kept_apart_by_the_code_of_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Numba itself would run a kernel that was compiled with another one of before an edit."""
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    package, folders = tmp_path / "package", []
    package.mkdir()
    for other, helper in (("", "@kernel\ndef f(x): return x"), ("", "@kernel\ndef f(x): return 2 * x"), ("X = 1", "")):
        (package / "kernels.py").write_text("from largestep.compiled import kernel\n")
        (package / "helper.py").write_text(helper or "@kernel\ndef f(x): return x")
        (package / "other.py").write_text(other)
        monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
        compiled.keep_apart(package)
        folders.append(numba.config.CACHE_DIR)
    assert folders[0] != folders[1]
    assert folders[0] == folders[2]
    assert Path(folders[0]).stat().st_mode & 0o077 == 0
