"""Compute the same under every mix of compile target, BLAS kernels, NumPy features and threads, and compare.

python -m tests.same_digits [--emulated]: the tiny study and a cell of each toy network, under every mix that this
processor can take; with --emulated the cells alone, as Haswell and EPYC under Debian's qemu-user. Prints a table;
exit status 1 where a digest differs.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from largestep.machine import processor
from tests.same_digits.mixes import ROOT, Mix, Work, possible

STUDIES = (
    *("label_noise", "bouncing", "phase_diagram", "loss_slice", "flows", "sde_convergence", "sharpness", "controls"),
)
TINY_CELLS = ("diagonal.small", "diagonal.decay50", "points.decay2", "points.decay50", "teacher.small")
# One of each toy network of the study, over the first steps, which is where they are at their most chaotic.
CELLS = ("diagonal_sgd.decay50", "regression_1d.decay50", "two_layer.decay50", "three_layer.decay50")
STEPS = 2000
EMULATED = ("Haswell", "EPYC")


def main() -> int:
    """Print the table; 1 where something differs, 2 where nothing could be compared."""
    parser = argparse.ArgumentParser(prog="python -m tests.same_digits", description=__doc__)
    parser.add_argument("--emulated", action="store_true", help="under qemu-user instead, the cells alone")
    emulated = parser.parse_args().emulated
    if emulated and not shutil.which("qemu-x86_64"):
        print("error: there is no qemu-x86_64; apt-get install qemu-user", file=sys.stderr)
        return 2
    cells = Work(ROOT / "config.yaml", cells=CELLS, steps=STEPS if not emulated else STEPS // 10)
    tiny = Work(ROOT / "tests/tiny/config.yaml", cells=TINY_CELLS, studies=STUDIES)
    works = [cells] if emulated else [tiny, cells]
    print(f"{processor()}; compared with the first line")
    print(
        "  ".join(f"{word:<15}" for word in ("processor", "numba target", "BLAS kernels", "NumPy without", "threads"))
    )
    differ = 0
    with tempfile.TemporaryDirectory() as folder:
        for mix in [Mix(), *(_emulated() if emulated else possible())]:
            started = time.perf_counter()
            # What one emulated processor compiles must not be lent to another.
            cache = Path(folder, mix.emulated or "native")
            try:
                differing = [name for work in works for name in _differing(work, mix, cache)]
            except RuntimeError as error:
                differing = [str(error)]
            verdict = "same" if not differing else f"DIFFERS: {', '.join(differing)}"
            differ += bool(differing)
            print(f"{mix!s:<79}  {verdict}, {time.perf_counter() - started:.0f} s", flush=True)
    digests = sum(len(work.digests.get(Mix(), {})) for work in works)
    print(f"{digests} digests; {differ or 'no'} mixes differ")
    return 1 if differ else 0


def _differing(work: Work, mix: Mix, cache: Path) -> Iterator[str]:
    computed = work.compute(mix, cache)
    wanted = work.digests[Mix()]
    yield from (name for name in wanted if computed[name] != wanted[name])


def _emulated() -> Iterator[Mix]:
    return (Mix(emulated=name) for name in EMULATED)


if __name__ == "__main__":
    sys.exit(main())
