"""`python -m MODULE` in a process forked off one that has its libraries: a test saves the seconds of their imports.

So do the jobs of a Snakemake that is run so, which takes a stand-in for Python that asks the same server. Tests that
kill jobs, and the run that others are compared with bit for bit in tests/reliability, start theirs as users do.
"""

from __future__ import annotations

import atexit
import multiprocessing
import os
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
from functools import cache
from multiprocessing.context import ForkServerContext
from pathlib import Path

from tests import fork_client

# What Snakemake and the stages import, the slowest of it. Not the package, of which each project has a copy.
PRELOADED = [
    "boto3",
    "docutils.core",
    "matplotlib.animation",
    "matplotlib.backends.backend_agg",
    "matplotlib.backends.backend_pdf",
    "matplotlib.pyplot",
    "mpl_toolkits.mplot3d",
    "netCDF4",
    "numba",
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
HERE = Path(__file__).parent
# What libraries read as they are imported: as Snakemake has it for a job of one thread.
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")
ENVIRONMENT = dict.fromkeys(THREADS, "1") | {"PYTHONPATH": "", "MPLBACKEND": "Agg"}


def context() -> ForkServerContext:
    """Its processes are forked off a server, not off this process, which has threads and the package."""
    server = multiprocessing.get_context("forkserver")
    server.set_forkserver_preload(["torchvision", "xarray"])
    return server


def run(
    folder: Path, module: str, *arguments: str, timeout: float = 1500, **environment: str
) -> subprocess.CompletedProcess[str]:
    """What `python -m module` with these arguments does in a folder; environment is added to that of this process.

    What a preloaded library reads when it is imported, such as BLAS its number of threads, it read as the tests began.

    Raises subprocess.TimeoutExpired.
    """
    server, python = _server()
    asked = {
        "arguments": [module, *arguments],
        "folder": str(folder.resolve()),
        "environment": dict(os.environ) | environment,
        "python": python,
    }
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as errors:
        try:
            status = fork_client.ask(server, asked, [out.fileno(), errors.fileno()], timeout)
        except TimeoutError as error:
            raise subprocess.TimeoutExpired([module, *arguments], timeout) from error
        printed = []
        for stream in (out, errors):
            stream.seek(0)
            printed.append(stream.read().decode(errors="replace"))
    return subprocess.CompletedProcess([module, *arguments], status, *printed)


@cache
def _server() -> tuple[str, str]:
    """The socket of a server that ends with this process, and what stands for Python there."""
    folder = Path(tempfile.mkdtemp(prefix="forked-"))
    path, python = folder / "socket", folder / "bin/python"
    python.parent.mkdir()
    words = [sys.executable, "-IS", str(HERE / "fork_client.py"), str(path), str(python), sys.executable]
    python.write_text(f'#!/bin/sh\nexec {shlex.join(words)} "$@"\n')
    python.chmod(0o755)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        # Who comes before the server has imported all waits here.
        listener.listen(64)
        process = subprocess.Popen(
            [sys.executable, str(HERE / "fork_server.py"), str(listener.fileno()), *PRELOADED],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            env=os.environ | ENVIRONMENT,
            pass_fds=[listener.fileno()],
            start_new_session=True,
        )
    atexit.register(_end, process, folder)
    return str(path), str(python)


def _end(process: subprocess.Popen[bytes], folder: Path) -> None:
    process.communicate()
    shutil.rmtree(folder)
