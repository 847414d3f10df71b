"""`python -m MODULE` in a process forked off one that has its libraries: a test saves the seconds of their imports."""

from __future__ import annotations

import multiprocessing
import os
import runpy
import subprocess
import sys
import tempfile
from multiprocessing.context import ForkServerContext
from pathlib import Path

# What Snakemake and the stages import, the slowest of it. Not the package, of which each project has a copy, nor numba,
# which reads its settings when it is imported. A job of Snakemake's is a process of its own in any case.
PRELOADED = [
    "boto3",
    "docutils.core",
    "matplotlib.backends.backend_agg",
    "matplotlib.pyplot",
    "netCDF4",
    "pandas",
    "pydantic",
    "requests",
    "scipy.stats",
    "snakemake.cli",
    "snakemake.report.html_reporter",
    "snakemake.storage",
    "torchvision",
    "xarray",
    "yte",
]


def context() -> ForkServerContext:
    """Its processes are forked off a server, not off this process, which has threads and the package."""
    found = multiprocessing.get_context("forkserver")
    found.set_forkserver_preload(PRELOADED)
    return found


def run(
    folder: Path, module: str, *arguments: str, timeout: float = 1500, **environment: str
) -> subprocess.CompletedProcess[str]:
    """What `python -m module` with these arguments does in a folder; environment is added to that of this process.

    What a preloaded library reads when it is imported, such as BLAS its number of threads, it read as the tests began.

    Raises subprocess.TimeoutExpired.
    """
    with tempfile.TemporaryDirectory() as printed:
        streams = Path(printed, "stdout"), Path(printed, "stderr")
        for stream in streams:
            stream.touch()
        told = (folder, module, arguments, dict(os.environ) | environment, streams)
        process = context().Process(target=_become, args=told)
        process.start()
        process.join(timeout)
        if process.exitcode is None:
            process.kill()
            process.join()
            raise subprocess.TimeoutExpired([module, *arguments], timeout)
        out, errors = (stream.read_text(errors="replace") for stream in streams)
    return subprocess.CompletedProcess([module, *arguments], process.exitcode, out, errors)


def _become(
    folder: Path, module: str, arguments: tuple[str, ...], environment: dict[str, str], streams: tuple[Path, Path]
) -> None:
    """Be that process: its output, folder, environment, and where it imports from."""
    for number, stream in enumerate(streams, start=1):
        os.dup2(os.open(stream, os.O_WRONLY | os.O_APPEND), number)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.path[:0] = [str(folder), *filter(None, environment.get("PYTHONPATH", "").split(os.pathsep))]
    sys.argv[1:] = arguments
    runpy.run_module(module, run_name="__main__", alter_sys=True)
