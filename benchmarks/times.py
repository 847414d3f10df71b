"""Where the time of a run went: seconds of every kind of job, and its longest ones, from results/benchmarks."""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd

FOLDER = Path("results/benchmarks")
LONGEST = 3


def main() -> None:
    """Print one line per kind of job, those that took longest first."""
    jobs = [
        (str(path.relative_to(FOLDER).parent), path.stem, float(pd.read_csv(path, sep="\t")["s"].iloc[0]))
        for path in sorted(FOLDER.rglob("*.tsv"))
    ]
    if not jobs:
        sys.exit(f"error: {FOLDER}: holds no times; run snakemake first")
    table = pd.DataFrame(jobs, columns=["kind", "job", "seconds"]).replace({"kind": {".": "aggregates"}})
    kinds = table.groupby("kind")["seconds"].agg(["size", "sum"]).sort_values("sum", ascending=False)
    for kind, (count, total) in kinds.iterrows():
        longest = table[table["kind"] == kind].nlargest(LONGEST, "seconds")
        named = ", ".join(
            f"{job} {seconds:.0f}" for job, seconds in zip(longest["job"], longest["seconds"], strict=True)
        )
        print(f"{kind:11s}{count:4.0f} jobs{total:7.0f} s   longest: {named}")
    print(f"{'all':11s}{len(table):4d} jobs{table['seconds'].sum():7.0f} s of one core")


if __name__ == "__main__":
    main()
