"""What a finished run holds, once every store of it is known to be there, sound and fresh."""

from __future__ import annotations

import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from largestep import grid, store, verify
from largestep.claims.__main__ import MODULES, measured, statements
from largestep.claims.results import Results
from largestep.claims.summary import conclude, number
from largestep.claims.verdict import decide
from largestep.compare import identity, samples
from largestep.compare.reference import FORMAT, Kept, Made, Reference
from largestep.config import Config
from largestep.specs.aggregates import ClaimsSpec


@dataclass(frozen=True)
class Run:
    """A finished run. target: for which the kernels were compiled; libraries: versions of those that compute.

    stores: in the order in which they were made; the rest as in `Reference`.
    """

    scale: str
    target: str
    libraries: dict[str, str]
    stores: list[identity.Stored]
    cells: dict[str, dict[str, samples.Sample]]
    headlines: dict[str, samples.Sample]
    answers: dict[str, str]

    def kept(self, version: str) -> Reference:
        """The reference that this run makes."""
        return Reference(
            made=Made(format=FORMAT, version=version, scale=self.scale, target=self.target, libraries=self.libraries),
            stores={each.path: each.variables for each in self.stores},
            cells={
                name: {statistic: Kept.of(sample) for statistic, sample in own.items()}
                for name, own in self.cells.items()
            },
            headlines={key: Kept.of(sample) for key, sample in self.headlines.items()},
            answers=self.answers,
        )

    def without_claims(self) -> Run:
        """The same, as a run whose claims are not to be compared."""
        return replace(self, headlines={}, answers={})


def gather(settings: Config, results: Path) -> Run:
    """Read a finished run. Raises StoreError, one line, where a file of it is missing, stale, damaged or foreign."""
    findings = [each for each in verify.verify(settings, results, remake=False)[0] if each.fault != verify.LEFT_OVER]
    if findings:
        first, more = findings[0], f", and {len(findings) - 1} files more" if len(findings) > 1 else ""
        why = first.fault if first.fault == "missing" else f"{first.fault}: {first.why}"
        raise store.StoreError(f"{results / first.path}: {why}{more}; run snakemake to its end, then compare again")
    wanted = [each for each in verify.expected(settings) if each.path.endswith(".nc") and not each.optional]
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        stores = list(pool.map(partial(identity.stored, results), sorted(wanted, key=_order), chunksize=8))
    experiments, studies = store.read_all(results / "largestep.nc")
    asked = measured(Results.of_run(experiments, studies, ClaimsSpec.read(grid.claims_spec(settings))))
    headlines = [each for each in asked if each.headline]
    rows = decide(headlines)
    claims = sorted(statements(MODULES), key=number)
    targets = sorted({each.target for each in stores if each.target})
    return Run(
        settings.scale,
        " and ".join(targets) or "nothing",
        stores[0].libraries,
        stores,
        {key: own for name, each in experiments.items() for key, own in samples.of_experiment(name, each).items()},
        {samples.key(each): samples.of_headline(each) for each in headlines},
        {claim: conclude([row for row in rows if row.claim == claim]) for claim in claims},
    )


def _order(wanted: verify.Expected) -> tuple[int, str]:
    """Causes before what follows from them."""
    return [*verify.ORDER, "studies"].index(wanted.stage), wanted.path
