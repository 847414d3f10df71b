"""Which of Snakemake's schedulers is faster on many small jobs: python benchmarks/scheduler.py [JOBS].

Chains of three jobs that do nothing, with memory, times and priorities as ours have, on two cores: both schedulers in
turn, three times each. Printed are wall time and processor time of Snakemake, the least of three, and their ratios.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench import processor

SNAKEFILE = """
rule all:
    input: expand("{{i}}.sparsity", i=range({chains}))
rule train:
    output: "{{i}}.train"
    priority: 100
    resources: mem_mb=3000, runtime=30, gpu=0
    shell: "touch {{output}}"
rule features:
    input: "{{i}}.train"
    output: "{{i}}.features"
    priority: 200
    resources: mem_mb=4000, runtime=30, gpu=0
    shell: "touch {{output}}"
rule sparsity:
    input: "{{i}}.features"
    output: "{{i}}.sparsity"
    resources: mem_mb=2000, runtime=10
    shell: "touch {{output}}"
"""
SCHEDULERS = ("ilp", "greedy")
REPEATS = 3


def main() -> None:
    """Print the table."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("jobs", nargs="?", type=int, default=150, help="multiple of 3 (default: 150)")
    jobs = arguments.parse_args().jobs
    print(f"{processor()}, {os.cpu_count()} cores; {jobs} jobs")
    runs = [(name, run(name, jobs // 3)) for _ in range(REPEATS) for name in SCHEDULERS]
    best = {name: [min(times) for times in zip(*(t for n, t in runs if n == name), strict=True)] for name in SCHEDULERS}
    for name, (wall, cpu) in best.items():
        print(f"{name:8s} {wall:6.1f} s wall {cpu:6.1f} s of processor time")
    (wall, cpu), (greedy_wall, greedy_cpu) = best.values()
    print(f"ratio    {wall / greedy_wall:6.2f}        {cpu / greedy_cpu:6.2f}")


def run(scheduler: str, chains: int) -> tuple[float, float]:
    """Wall and processor seconds of one run in an empty folder."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "Snakefile").write_text(SNAKEFILE.format(chains=chains))
        command = [sys.executable, "-m", "snakemake", "--cores", "2", "--quiet", "all", "--scheduler", scheduler]
        start, before = time.perf_counter(), os.times()
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
        after = os.times()
        used = after.children_user + after.children_system - before.children_user - before.children_system
        return time.perf_counter() - start, used


if __name__ == "__main__":
    main()
