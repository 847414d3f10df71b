"""The ways to compute that this machine can be made to take, and what comes out of each."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path

from llvmlite import binding
from numpy._core import _multiarray_umath as numpy_core

ROOT = Path(__file__).resolve().parents[2]
# What decides how the libraries compute; a mix sets its own and no other.
DECIDES = ("NUMBA_CPU", "OPENBLAS_", "NPY_DISABLE", "OMP_NUM", "MKL_", "ATEN_CPU", "ONEDNN_")
AVX512 = "avx512f"
# Kernels of OpenBLAS, by what they need of the processor.
BLAS = {"Prescott": "sse3", "Nehalem": "sse4.2", "Sandybridge": "avx", "Haswell": "avx2", "Zen": "avx2"}
BLAS |= {"SkylakeX": AVX512}
TARGETS = {"generic": "sse2", "nehalem": "sse4.2", "haswell": "avx2", "znver3": "vaes", "skylake-avx512": AVX512}


@dataclass(frozen=True)
class Mix:
    """One way to compute: numba's target in the environment, BLAS kernels, NumPy's features, threads."""

    target: str | None = None
    blas: str | None = None
    numpy_disabled: str = ""
    threads: int = 1
    # Of qemu-user; None is this processor.
    emulated: str | None = None

    def environment(self, cache: Path | None) -> dict[str, str]:
        """The environment of a process that computes this way. cache: of compiled kernels; None for the usual one."""
        own = {name: value for name, value in os.environ.items() if not name.startswith(DECIDES)}
        own |= {f"{name}_NUM_THREADS": str(self.threads) for name in ("OMP", "OPENBLAS", "MKL", "NUMBA")}
        own |= {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "src")])}
        own |= {"NUMBA_CACHE_DIR": str(cache)} if cache else {}
        asked = {
            "NUMBA_CPU_NAME": self.target,
            "OPENBLAS_CORETYPE": self.blas,
            "NPY_DISABLE_CPU_FEATURES": self.numpy_disabled,
            "ATEN_CPU_CAPABILITY": "avx2" if self.numpy_disabled else None,
        }
        return own | {name: value for name, value in asked.items() if value}

    def __str__(self) -> str:
        words = (self.target or "host", self.blas or "own", self.numpy_disabled or "none", f"{self.threads}")
        return "  ".join(f"{word:<15}" for word in (self.emulated or "this processor", *words)).rstrip()


@dataclass
class Work:
    """What every mix computes: the arguments of `tests.same_digits.compute`."""

    config: Path
    cells: Sequence[str] = ()
    studies: Sequence[str] = ()
    steps: int | None = None
    digests: dict[Mix, dict[str, str]] = field(default_factory=dict)

    def compute(self, mix: Mix, cache: Path | None = None) -> dict[str, str]:
        """Digests by name. Raises RuntimeError with what the process said when it failed."""
        command = [sys.executable, "-m", "tests.same_digits.compute", str(self.config)]
        command += ["--threads", str(mix.threads)]
        for name in ("cells", "studies"):
            command += [f"--{name}", *getattr(self, name)]
        command += ["--steps", str(self.steps)] if self.steps else []
        if mix.emulated:
            # A virtual environment's Python is a link; the emulator is to find the same libraries.
            command = ["qemu-x86_64", "-cpu", mix.emulated, *command]
        done = subprocess.run(command, env=mix.environment(cache), cwd=ROOT, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"{mix}: {done.stderr.strip().splitlines()[-1]}")
        self.digests[mix] = json.loads(done.stdout)["digests"]
        return self.digests[mix]


def possible() -> Iterator[Mix]:
    """Every mix that this processor can take."""
    features = binding.get_host_cpu_features()
    targets = [None, *(name for name, needs in TARGETS.items() if features.get(needs))]
    kernels = [name for name, needs in BLAS.items() if features.get(needs)]
    disabled = ["", " ".join(dispatched())]
    for target, blas, off, threads in product(targets, kernels, disabled, (1, 2)):
        yield Mix(target, blas, off, threads)


def dispatched() -> list[str]:
    """The features that NumPy chooses faster code for on this processor."""
    return [name for name in numpy_core.__cpu_dispatch__ if numpy_core.__cpu_features__.get(name)]
