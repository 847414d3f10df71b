"""The image of the Containerfile, built and run on the tiny study as an ordinary user: make test-container.

Where no registry of images is in reach, on a base made of Debian's packages by debootstrap.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY

IMAGE, BASE = "localhost/largestep-test", "localhost/largestep-test-debian"
# Bytes: the files of the container, their archive in /var/tmp, twice while it is written, and the layer of the image.
NEEDED = 32e9
SNAKEMAKE = ("snakemake", "--snakefile", "/opt/largestep/workflow/Snakefile")

if shutil.which("podman") is None:
    pytest.skip("podman is not installed", allow_module_level=True)


def podman(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["podman", *map(str, arguments)], capture_output=True, text=True)


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> str:
    if (free := shutil.disk_usage("/var/tmp").free) < NEEDED:
        pytest.skip(
            f"{free / 1e9:.0f} GB of disk are free: to write the image takes up to {NEEDED / 1e9:.0f}, most of it torch"
        )
    base = "docker.io/library/python:3.12-slim-bookworm"
    if podman("pull", base).returncode:
        base = debian(tmp_path_factory.mktemp("debian") / "root")
    built = podman("build", "--build-arg", f"BASE={base}", *as_here(), "--tag", IMAGE, REPOSITORY)
    assert built.returncode == 0, built.stderr[-3000:]
    return IMAGE


def debian(root: Path) -> str:
    """An image of Debian with its own Python, from Debian's packages; once made it is used again."""
    if podman("image", "exists", BASE).returncode == 0:
        return BASE
    if shutil.which("debootstrap") is None or os.getuid() != 0:
        pytest.skip("no registry of images is in reach, and only root can make a base, with debootstrap")
    made = subprocess.run(
        ["debootstrap", "--variant=minbase", "--include=ca-certificates,python3,python3-venv", "bookworm", str(root)],
        capture_output=True,
        text=True,
    )
    assert made.returncode == 0, made.stdout[-2000:]
    archive = root.with_suffix(".tar")
    subprocess.run(["tar", "--create", "--one-file-system", "--file", archive, "--directory", root, "."], check=True)
    shutil.rmtree(root)
    imported = podman("import", archive, BASE)
    assert imported.returncode == 0, imported.stderr
    archive.unlink()
    return BASE


def as_here() -> list[str]:
    """Options of a build that finds packages where this machine does."""
    files = [path for path in ("/etc/pip.conf", "/etc/ssl/certs", "/etc/apt/apt.conf.d") if Path(path).exists()]
    # In a chroot: a build needs no container then, which not every machine lets even root start.
    return [
        "--isolation",
        "chroot",
        "--network",
        "host",
        *(part for path in files for part in ("--volume", f"{path}:{path}:ro")),
    ]


# The words before a command that is to run in the image with a folder as its working directory.
Inside = Callable[[Path], list[str]]


@pytest.fixture(scope="module")
def inside(image: str) -> Iterator[Inside]:
    """By podman; where it starts no container, as on machines with cgroups of both versions, by buildah in a chroot."""
    if podman("run", "--rm", image, "true").returncode == 0:
        user = [] if os.getuid() == 0 else ["--userns", "keep-id"]
        yield lambda folder: ["podman", "run", "--rm", "--volume", f"{folder}:/work", *user, image]
        return
    if shutil.which("buildah") is None:
        pytest.skip("podman starts no container here, and buildah is not installed")
    made = subprocess.run(["buildah", "from", image], capture_output=True, text=True, check=True).stdout.strip()
    run = ["buildah", "run", "--isolation", "chroot"]
    yield lambda folder: [*run, "--volume", f"{folder}:/work", made, "--"]
    subprocess.run(["buildah", "rm", made], check=True)


def test_both_commands_run_as_an_ordinary_user(inside: Inside, tmp_path: Path) -> None:
    shutil.copy(REPOSITORY / "tests/tiny/config.yaml", tmp_path)
    tmp_path.chmod(0o777)
    user = subprocess.run([*inside(tmp_path), "id", "-u"], capture_output=True, text=True)
    assert user.stdout.strip() == "1000", user.stderr
    report = ("--reporter", "largestep")
    for command in ((*SNAKEMAKE, "--cores", "2"), (*SNAKEMAKE, "--cores", "1", *report)):
        done = subprocess.run([*inside(tmp_path), *command], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
    assert (tmp_path / "results/largestep.nc").stat().st_size > 0
    assert (tmp_path / "results/report.html").stat().st_size > 0
