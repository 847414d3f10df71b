"""What of a machine can show in the digits of a result: processor, compile target, BLAS kernels and threads."""

from __future__ import annotations

import platform
import sys
from functools import cache
from pathlib import Path

from threadpoolctl import threadpool_info

# What `attributes` gives.
ATTRIBUTES = ("processor", "compile_target", "blas", "threads")


class ProcessorError(RuntimeError):
    """The kernels cannot run on this processor; the message is one line that says why."""


@cache
def processor() -> str:
    """Name of the machine's processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    named = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or platform.machine())


def attributes() -> dict[str, str]:
    """What a store says of the machine that made it, as far as this process has used it.

    compile_target: of numba's kernels; blas: every BLAS library with its version and the kernels that it chose;
    threads: of each of these, of OpenMP and of numba.
    """
    described = {"processor": processor()}
    pools = threadpool_info()
    blas = {
        f"{each['internal_api']} {each['version']} {each.get('architecture', '')}".strip()
        for each in pools
        if each["user_api"] == "blas"
    }
    threads = {f"{each['internal_api']} {each['num_threads']}" for each in pools}
    if "largestep.compiled" in sys.modules:
        numba = sys.modules["numba"]
        described["compile_target"] = numba.config.CPU_NAME or f"{platform.machine()}, as this processor"
        threads.add(f"numba {numba.get_num_threads()}")
    return described | {"blas": ", ".join(sorted(blas)) or "none", "threads": ", ".join(sorted(threads)) or "1"}
