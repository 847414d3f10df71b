"""A process that has the libraries, and forks one for every `python -m MODULE` that it is asked for.

python fork_server.py NUMBER MODULE ...: it imports the modules, and ends when its standard input does. Like
`fork_client.py` it is a program of its own, which imports nothing of the tests.
"""

from __future__ import annotations

import atexit
import fcntl
import gc
import importlib
import os
import runpy
import select
import signal
import socket
import sys
import threading
import traceback
from contextlib import suppress
from typing import Any, NoReturn

import fork_client


def serve(number: int, modules: list[str]) -> None:
    """Fork a process for every connection to the socket with this file number, once the modules are imported."""
    with socket.socket(fileno=number) as listener:
        for name in modules:
            # What is not installed is not used.
            with suppress(ImportError):
                importlib.import_module(name)
        # What is looked at for garbage is copied: two seconds of processor time for every process.
        gc.collect()
        gc.freeze()
        # Nobody waits for what is forked; whoever asked for it hears from it.
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        while sys.stdin not in (ready := select.select([listener, sys.stdin], [], [])[0]):
            assert ready == [listener]
            connection, _ = listener.accept()
            if os.fork() == 0:
                listener.close()
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                _answer(connection)
            connection.close()


def _answer(connection: socket.socket) -> NoReturn:
    """Be the process that was asked for, to its end, and say what it ended with."""
    asked, streams = fork_client.receive(connection)
    # The kernel ends this process when whoever asked for it is gone.
    fcntl.fcntl(connection, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(connection, fcntl.F_SETFL, fcntl.fcntl(connection, fcntl.F_GETFL) | os.O_ASYNC)
    status = 1
    try:
        _become(asked, streams)
        status = 0
    except SystemExit as left:
        status = left.code if isinstance(left.code, int) else int(left.code is not None)
        if isinstance(left.code, str):
            print(left.code, file=sys.stderr)
    except BaseException:
        traceback.print_exc()
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    # Whoever asked may unmount the folder at once.
    os.chdir("/")
    fcntl.fcntl(connection, fcntl.F_SETFL, 0)
    connection.sendall(bytes([status & 255]))
    os._exit(0)


def _become(asked: dict[str, Any], streams: list[int]) -> None:
    """Take over output (there is no input), folder, environment and where to import from, and run the module."""
    for number, stream in enumerate([os.open(os.devnull, os.O_RDONLY), *streams]):
        os.dup2(stream, number)
        os.close(stream)
    os.chdir(asked["folder"])
    os.environ.clear()
    os.environ.update(asked["environment"])
    sys.path[:0] = [asked["folder"], *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    sys.executable = asked["python"]
    sys.dont_write_bytecode = bool(os.environ.get("PYTHONDONTWRITEBYTECODE"))
    if numba := sys.modules.get("numba"):
        # It read its settings as it was imported.
        numba.config.reload_config()
    module, *sys.argv[1:] = asked["arguments"]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    # Where this file lies is nothing that others import from.
    del sys.path[0]
    serve(int(sys.argv[1]), sys.argv[2:])
