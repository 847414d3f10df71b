"""Debian's packages for the tests of clusters, without their services."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from filelock import FileLock


class PackageError(RuntimeError):
    """apt-get did not do what it was asked to."""


def why_not(names: Sequence[str]) -> str | None:
    """Why packages cannot be installed here, or None."""
    if shutil.which("apt-get") is None:
        return f"needs apt-get, or the packages {', '.join(names)}"
    done = subprocess.run(["apt-cache", "show", "--quiet", *names], capture_output=True, text=True)
    if done.returncode != 0:
        # Its lists may be older than the machine.
        subprocess.run(["apt-get", "update", "-qq"], capture_output=True)
        done = subprocess.run(["apt-cache", "show", "--quiet", *names], capture_output=True, text=True)
    return None if done.returncode == 0 else f"needs the packages {', '.join(names)}, which apt-get does not know"


def install(names: Sequence[str]) -> None:
    """Install packages; none of their services is started."""
    # apt starts services through this; 101 says that it must not.
    policy = Path("/usr/sbin/policy-rc.d")
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    commands = (
        ["apt-get", "update", "-qq"],
        ["apt-get", "install", "-qq", "--yes", "--no-install-recommends", *names],
    )
    with FileLock(Path(tempfile.gettempdir()) / "largestep-apt.lock"):
        ours = not policy.exists()
        if ours:
            policy.write_text("#!/bin/sh\nexit 101\n")
            policy.chmod(0o755)
        try:
            for command in commands:
                done = subprocess.run(command, env=environment, capture_output=True, text=True)
                if done.returncode != 0:
                    raise PackageError(f"{' '.join(command)} failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
        finally:
            if ours:
                policy.unlink()
