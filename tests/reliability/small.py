"""A project that runs every kind of job in half a minute, and what of its results must be the same every time."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psutil
import xarray as xr

from largestep.data import image_set
from tests.conftest import REPOSITORY, Project, make_project

# How many kills make test-reliability asks for, by which all other numbers go; make test does a handful.
KILLS = int(os.environ.get("LARGESTEP_KILLS", "4"))
FULL = KILLS >= 40
# What tells of a run, and what is deleted when it is over; all else must be the same.
OF_A_RUN = ("logs", "benchmarks", "checkpoints")


def make_small(folder: Path) -> Project:
    """The project, whose training saves checkpoints all the time."""
    project = make_project(folder, REPOSITORY / "tests/reliability/config.yaml")
    project.edit("workflow/rules/train.smk", " --checkpoints ", " --checkpoint-every 0.1 --checkpoints ")
    return project


WATCHED = "watched"
# Numba keeps compiled kernels in pickles, in a folder of the user's own, not in results/.
HOOK = f"""
import os, sys, traceback
def watch(event, arguments):
    if event == "pickle.find_class":
        stack = [frame.filename for frame in traceback.extract_stack()]
        if not any("/numba/" in each or "/multiprocessing/" in each for each in stack):
            with open(f"{WATCHED}/{{os.getpid()}}.unpickled", "a") as file:
                file.write(f"{{arguments}} {{stack[-3:]}}\\n")
if "".join(sys.orig_argv[2:3]).startswith("largestep."):
    sys.addaudithook(watch)
    open(f"{WATCHED}/{{os.getpid()}}.watched", "w").close()
"""


def run_watched(folder: Path) -> None:
    """Make it and run it, by processes that all note what they unpickle and start as those of users do."""
    make_small(folder)
    (folder / WATCHED).mkdir()
    (folder / WATCHED / "sitecustomize.py").write_text(HOOK)
    command = [sys.executable, "-m", "snakemake", "--cores", "2"]
    environment = os.environ | {"PYTHONPATH": str(folder / WATCHED)}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=1500)
    assert done.returncode == 0, done.stdout + done.stderr


def contents(project: Project) -> dict[str, str | bytes]:
    """By path, what every result holds: the checksum of a store, the bytes of a figure or a table."""
    results = project.folder / "results"
    held: dict[str, str | bytes] = {}
    for path in sorted(results.rglob("*")):
        name = path.relative_to(results)
        if path.is_dir() or name.parts[0] in OF_A_RUN:
            continue
        if path.suffix == ".nc":
            with xr.open_dataset(path) as dataset:
                held[str(name)] = str(dataset.attrs["content_sha256"])
        elif path.suffix == ".safetensors":
            held[str(name)] = image_set.read(path).train_images.numpy().tobytes()
        else:
            held[str(name)] = path.read_bytes()
    return held


def differences(project: Project, reference: Project) -> list[str]:
    """What differs from an undisturbed run, and what should not be there: unfinished files, checkpoints, locks."""
    mine, other = contents(project), contents(reference)
    names = [name for name in sorted({*mine, *other}) if mine.get(name) != other.get(name)]
    names += [str(path) for path in project.folder.rglob("*.part")]
    names += [str(path) for path in (project.folder / "results/checkpoints").glob("*")]
    return names


def jobs(project: Project) -> list[psutil.Process]:
    """The stages that are running in the folder, whoever started them."""
    processes = []
    for process in psutil.process_iter():
        try:
            if process.cwd() == str(project.folder) and any("largestep." in word for word in process.cmdline()[1:3]):
                processes.append(process)
        except (psutil.NoSuchProcess, psutil.ZombieProcess, psutil.AccessDenied):
            continue
    return processes
