"""What stands for Python where jobs shall be forked off a server that has the libraries; see `forked.py`.

python fork_client.py SOCKET PYTHON -m MODULE ...: as PYTHON -m MODULE ..., by the server. It starts in 30 ms.
"""

from __future__ import annotations

import json
import os
import socket
import sys

LENGTH = 8
KILLED = 128 + 9


def ask(server: str, asked: dict[str, object], streams: list[int], timeout: float | None = None) -> int:
    """The exit status of what the server was asked for. streams: its output and errors. Raises TimeoutError."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(timeout)
        connection.connect(server)
        text = json.dumps(asked).encode()
        socket.send_fds(connection, [len(text).to_bytes(LENGTH, "big")], streams)
        connection.sendall(text)
        # A process that is killed says nothing.
        status = (connection.recv(1) or bytes([KILLED]))[0]
        # It is gone when nobody holds the other end.
        connection.recv(1)
        return status


def receive(connection: socket.socket) -> tuple[dict[str, object], list[int]]:
    """What was asked for, and the streams to write to."""
    head, streams, _, _ = socket.recv_fds(connection, LENGTH, 2)
    text, size = b"", int.from_bytes(head, "big")
    while len(text) < size and (more := connection.recv(size - len(text))):
        text += more
    return json.loads(text), streams


def main() -> None:
    server, shim, python, *given = sys.argv[1:]
    if given[:1] != ["-m"]:
        os.execv(python, [python, *given])
    asked = {"arguments": given[1:], "folder": os.getcwd(), "environment": dict(os.environ), "python": shim}
    sys.exit(ask(server, asked, [1, 2]))


if __name__ == "__main__":
    main()
