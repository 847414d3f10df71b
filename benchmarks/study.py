"""CPU time of all jobs of the study, by stage, of this tree and of another commit: python benchmarks/study.py COMMIT.

Both are run here at the same time, each on one core, in an empty folder, with this Python and with kernels compiled
anew: what else the machine does slows both alike. When a job ends it notes the processor time that it took: what
Snakemake's own benchmarks say is a sample, for long jobs up to half a minute old.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
from bench import processor

REPOSITORY = Path(__file__).resolve().parent.parent
# Goal of the whole: this tree's time over that of commit 6001ad0.
GOAL = 0.5
# Python imports a module of this name in every process.
HOOK = "sitecustomize.py"
NOTE = """
import atexit, os, sys
if "-m" in sys.orig_argv and "LARGESTEP_CPU_TIMES" in os.environ:
    module = sys.orig_argv[sys.orig_argv.index("-m") + 1]
    def note():
        with open(os.environ["LARGESTEP_CPU_TIMES"], "a") as file:
            file.write(f"{module} {sum(os.times()[:4]):.2f}\\n")
    if module.startswith("largestep."):
        atexit.register(note)
"""


def main() -> None:
    """Print one line per stage; exit status 1 if the whole study misses its goal."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("commit", nargs="?", help="what to compare with")
    arguments.add_argument(
        "--times", nargs=2, type=Path, metavar="FILE", help="of earlier runs: this tree's, the other's"
    )
    arguments.add_argument("--save", type=Path, help="folder to keep both files of times in")
    arguments.add_argument("--targets", nargs="*", default=[], help="make these files alone; there is no goal for that")
    options = arguments.parse_args()
    if bool(options.commit) == bool(options.times):
        arguments.error("give either a commit or --times")
    with tempfile.TemporaryDirectory() as folder:
        if options.commit:
            save = options.save or Path(folder)
            save.mkdir(parents=True, exist_ok=True)
            other = cloned(options.commit, Path(folder) / "other")
            times = save.resolve() / "ours.txt", save.resolve() / f"{options.commit}.txt"
            with ThreadPoolExecutor() as both:
                list(both.map(partial(study, options.targets), (REPOSITORY, other), times))
        else:
            times = tuple(options.times)
        ratio = report(*map(stages, times), options.commit or times[1].stem)
    if not options.targets and ratio > GOAL:
        sys.exit(f"error: the whole takes {ratio:.2f} of the time of the other; the goal is {GOAL}")


def cloned(commit: str, folder: Path) -> Path:
    """The commit's tree in a folder."""
    subprocess.run(["git", "clone", "--quiet", "--shared", "--no-checkout", REPOSITORY, folder], check=True)
    subprocess.run(["git", "-C", folder, "checkout", "--quiet", commit], check=True)
    return folder


def study(targets: list[str], tree: Path, times: Path) -> None:
    """Run the study of a tree in an empty folder; its jobs add their CPU times to a file."""
    with tempfile.TemporaryDirectory() as folder:
        run(targets, tree, Path(folder), times)


def run(targets: list[str], tree: Path, folder: Path, times: Path) -> None:
    """Run the study of a tree in this folder."""
    hook = folder / "hook"
    hook.mkdir()
    (hook / HOOK).write_text(NOTE)
    times.unlink(missing_ok=True)
    environment = os.environ | {
        "PYTHONPATH": str(hook),
        "LARGESTEP_CPU_TIMES": str(times),
        "NUMBA_CACHE_DIR": str(folder / "numba"),
    }
    # Read where it stands, because profile and environments lie beside it.
    (folder / "workflow").symlink_to(tree / "workflow")
    (folder / "config.yaml").write_text((tree / "config.yaml").read_text())
    program = [sys.executable, "-m", "snakemake", "--snakefile", str(tree / "workflow/Snakefile"), "--cores", "1"]
    done = subprocess.run([*program, *targets], cwd=folder, env=environment, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"error: {tree}: {done.stderr[-3000:]}")


def stages(times: Path) -> dict[str, list[float]]:
    """CPU seconds of the jobs of each stage, those of images and of toy networks together."""
    seconds_of: dict[str, list[float]] = {}
    for line in times.read_text().splitlines():
        module, seconds = line.split()
        stage = module.removeprefix("largestep.").partition(".")[0].replace("train_images", "train")
        seconds_of.setdefault(stage, []).append(float(seconds))
    return seconds_of


def report(ours: dict[str, list[float]], other: dict[str, list[float]], name: str) -> float:
    """Print both by stage; returns the ratio of the sums."""
    print(f"{processor()}, {os.cpu_count()} cores; CPU seconds of all jobs")
    print(f"{'stage':15s}{'jobs, this tree':>17s}{'jobs, ' + name[:9]:>17s}{'ratio':>8s}")
    rows = [(stage, ours.get(stage, []), other.get(stage, [])) for stage in {**other, **ours}]
    rows.sort(key=lambda row: -sum(row[2]))
    rows.append(("all", [t for each in ours.values() for t in each], [t for each in other.values() for t in each]))
    ratio = np.nan
    for stage, mine, theirs in rows:
        ratio = sum(mine) / sum(theirs) if theirs else np.nan
        said = f"{ratio:7.2f}x" if theirs else f"{'–':>8s}"
        print(f"{stage:15s}{len(mine):5d}{sum(mine):10.1f} s{len(theirs):5d}{sum(theirs):10.1f} s{said}")
    return ratio


if __name__ == "__main__":
    main()
