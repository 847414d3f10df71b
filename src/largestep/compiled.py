"""How the kernels are compiled, and on how many threads runs are trained."""

from __future__ import annotations

import hashlib
import os
import platform
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import numba
from llvmlite import binding

from largestep.machine import ProcessorError

# With reassoc the width of the vector instructions decides the last digit of a sum, and so which chaotic runs diverge.
# So kernels are compiled for what every x86-64 processor with AVX2 has, whichever this one is.
CPU_NAME = "x86-64-v3"
CPU_FEATURES = ("avx", "avx2", "bmi", "bmi2", "f16c", "fma", "lzcnt", "movbe")


def fix_target(machine: str, features: Mapping[str, bool]) -> None:
    """Make numba compile for `CPU_NAME` on x86-64, whatever the environment says; elsewhere for the processor it has.

    machine, features: of this processor, as `platform.machine` and LLVM name them. Raises ProcessorError where it
    lacks a feature.
    """
    if machine.lower() not in ("x86_64", "amd64"):
        return
    lacking = [each for each in CPU_FEATURES if not features.get(each)]
    if lacking:
        needs = (
            f"this processor has no {', '.join(lacking)}; largestep needs {CPU_NAME}, which is Intel's Haswell (2013)"
        )
        raise ProcessorError(f"{needs}, AMD's Excavator (2015) or newer: run it on one of those, or on aarch64")
    # numba reads the environment anew whenever it changes; only what stands there lasts. Its cache goes by both.
    os.environ["NUMBA_CPU_NAME"] = CPU_NAME
    os.environ["NUMBA_CPU_FEATURES"] = ",".join(f"+{each}" for each in CPU_FEATURES)
    numba.config.reload_config()


def keep_apart(package: Path) -> None:
    """Have numba keep what it compiles by the text of all kernels, in a folder of the user's own or NUMBA_CACHE_DIR.

    It notices changes of a kernel's own file alone, and would run what was compiled with an older kernel inside. Where
    the folder cannot be made, numba keeps to its own.
    """
    sources = (path.read_bytes() for path in sorted(package.rglob("*.py")))
    seal = hashlib.sha256(b"".join(text for text in sources if b"largestep.compiled" in text or b"@kernel" in text))
    usual = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "largestep/numba"
    cache = Path(os.environ.get("NUMBA_CACHE_DIR") or usual)
    # A process may have been started by one that has set it.
    cache = cache if cache.name == seal.hexdigest()[:12] else cache / seal.hexdigest()[:12]
    with suppress(OSError):
        # It is unpickled, so it is nobody else's.
        cache.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.environ["NUMBA_CACHE_DIR"] = str(cache)
        numba.config.reload_config()


fix_target(platform.machine(), binding.get_host_cpu_features())
keep_apart(Path(__file__).parent)

# reassoc and contract let sums use vector instructions and, unlike full fastmath, keep NaN and infinity,
# by which divergence is found.
kernel = numba.njit(cache=True, nogil=True, error_model="numpy", fastmath={"reassoc", "contract"})


def use_threads(threads: int) -> None:
    """Train runs on so many threads, or as many as there are."""
    numba.set_num_threads(min(threads, numba.config.NUMBA_NUM_THREADS))  # type: ignore[attr-defined]
