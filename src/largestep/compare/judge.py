"""The comparison of a run with a reference: by digits where they must be equal, by statistics for all else."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from largestep import compiled
from largestep.claims.verdict import FEWEST_SEEDS
from largestep.compare import chance, identity
from largestep.compare.gather import Run
from largestep.compare.reference import Kept, Reference
from largestep.compare.samples import Sample

Verdict = Literal["identical", "agreement", "drift", "disagreement"]
Sense = Literal["better", "worse", "different"]
SEVERITY: tuple[Verdict, ...] = ("identical", "agreement", "drift", "disagreement")
# A difference beyond chance is a drift while it is less than a standard deviation of normal values would be: then a
# value of the run is the higher one in 76% of the pairs.
LARGE = 0.76


@dataclass(frozen=True)
class Found:
    """A statistic that differs beyond chance, and whether for the better, where the measure or the claim has a better.

    p, higher: as in `chance.Difference`.
    """

    statistic: str
    median: float | None
    reference: float | None
    p: float
    higher: float
    sense: Sense

    @property
    def large(self) -> bool:
        """Whether it is more than a drift."""
        return not 1.0 - LARGE < self.higher < LARGE

    @property
    def text(self) -> str:
        """In words."""
        here, there = ("none" if value is None else f"{value:.3g}" for value in (self.median, self.reference))
        return (
            f"{self.sense}: {self.statistic}: median {here} here, {there} in the reference; "
            f"higher here in {100 * self.higher:.0f}% of pairs, p = {self.p:.2g}"
        )


@dataclass(frozen=True)
class Judged:
    """A cell or a claim. compared: how many statistics; few: those of them with too few seeds to find a difference;
    lacking: those that only the reference has; answers: of a claim, here and in the reference.
    """

    name: str
    verdict: Verdict
    compared: int
    few: int
    found: list[Found]
    lacking: list[str] = field(default_factory=list)
    answers: tuple[str, str] | None = None

    @property
    def text(self) -> str:
        """In words, a line for each difference."""
        said = f"{self.name}: {self.verdict}, statistics compared: {self.compared}"
        said += (
            f" ({self.few} with too few seeds to find a difference)" if self.few and self.verdict != "identical" else ""
        )
        if self.answers:
            here, there = self.answers
            said += f"; {here} here and in the reference" if here == there else f"; {here} here, {there} there"
            said += ", as chance can have it" if here != there and self.verdict == "agreement" else ""
        lines = [said, *(f"    {each.text}" for each in self.found)]
        lines += [f"    this run has no statistic {each}" for each in self.lacking]
        return "\n".join(lines)


@dataclass(frozen=True)
class Digits:
    """Which stores hold other values than the reference's, by path the variables, and why they may, if they may.

    stores: how many were compared; of: how many the reference has, where the run is of a part alone. same_cells: cells
    of whose stores all are the same. first: the first store of those that must be the same and is not.
    """

    stores: int
    of: int | None
    same_cells: list[str]
    unlike: dict[str, list[str]]
    may_differ: str
    first: str | None

    @property
    def text(self) -> str:
        """In words."""
        same = f"{self.stores - len(self.unlike)} of {self.stores} stores hold the values of the reference"
        if self.of:
            same += f", which has {self.of} (this run is of what `only` names; claims rest on all and are not compared)"
        if self.first:
            return f"{same}; {self.first} is the first that does not but must, in {', '.join(self.unlike[self.first])}"
        if self.may_differ:
            return f"{same}; others may differ: {self.may_differ}"
        return same


@dataclass(frozen=True)
class Report:
    """The whole comparison. unknown: cells and studies that the reference does not have."""

    digits: Digits
    claims: list[Judged]
    cells: list[Judged]
    unknown: list[str]

    @property
    def verdict(self) -> Verdict:
        """The worst of all; digits that differ are at best an agreement, and where they must not at best a drift."""
        worst = max((each.verdict for each in (*self.claims, *self.cells)), key=SEVERITY.index, default=SEVERITY[0])
        least: Verdict = "drift" if self.digits.first else "agreement" if self.digits.unlike else "identical"
        return max(worst, least, key=SEVERITY.index)

    @property
    def text(self) -> str:
        """In words: the digits, every claim and cell, and the verdict last."""
        every = [*self.claims, *self.cells]
        lines = [self.digits.text, *(each.text for each in every)]
        if self.unknown:
            lines.append(f"not in the reference: {', '.join(self.unknown)}")
        differing, compared = [each for judged in every for each in judged.found], sum(each.compared for each in every)
        better = sum(each.sense == "better" for each in differing)
        beyond = f"{len(differing)} of {compared} statistics differ beyond chance, {better} of them for the better"
        return "\n".join([*lines, f"{self.verdict}: {beyond}"])


@dataclass(frozen=True)
class _Pair:
    """A statistic in the reference and in the run. owner: its cell or claim."""

    owner: str
    statistic: str
    reference: Kept
    run: Sample

    @property
    def equal(self) -> bool:
        same = np.array_equal(self.reference.sample, self.run.values, equal_nan=True)
        return bool(same) and self.reference.diverged == self.run.diverged

    @property
    def few(self) -> bool:
        """Whether too few seeds have a value in both for any difference to be beyond chance."""
        both = sum(bool(np.isfinite(one) and np.isfinite(other)) for one, other in self._by_seed())
        return both < FEWEST_SEEDS

    def presence(self) -> _Pair | None:
        """Which seeds have a value, as a statistic of its own; None where it is the same ones in both."""
        known = [[float(np.isfinite(value)) for value in values] for values in zip(*self._by_seed(), strict=True)]
        if self.lost or not known or known[0] == known[1]:
            return None
        there, here = (Sample(np.array(each)) for each in known)
        return _Pair(self.owner, f"{self.statistic}: has a value", Kept.of(there), here)

    def _by_seed(self) -> Iterable[tuple[float, float]]:
        return zip(self.reference.sample, self.run.values, strict=False)

    @property
    def lost(self) -> bool:
        """Whether the run has no value at all where the reference has, and not because all its runs diverged."""
        return (
            self.reference.n > 0 and not np.isfinite(self.run.values).any() and self.run.diverged < len(self.run.values)
        )

    def beyond_chance(self, difference: chance.Difference) -> Found:
        side = np.sign(difference.higher - 0.5) * self.run.toward
        usable = self.run.values[np.isfinite(self.run.values)]
        return Found(
            self.statistic,
            float(np.median(usable)) if len(usable) else None,
            self.reference.median,
            difference.p,
            difference.higher,
            "better" if side > 0 else "worse" if side < 0 else "different",
        )


def judge(reference: Reference, run: Run, of: int | None = None) -> Report:
    """Compare a run with a reference, or with the part of one that has so many stores."""
    digits = compare_digits(reference, run, of)
    cells, claims = list(_of_cells(reference, run)), list(_of_claims(reference, run))
    pairs = [*cells, *claims]
    differences = chance.differences([(pair.reference.sample, pair.run.values) for pair in pairs])
    by_owner: dict[str, list[Found]] = {}
    for pair, difference in zip(pairs, differences, strict=True):
        own = by_owner.setdefault(pair.owner, [])
        if difference.p <= chance.LEVEL:
            own.append(pair.beyond_chance(difference))
    return Report(
        digits,
        [
            _claim(claim, reference, run, claims, by_owner.get(claim, []))
            for claim in dict.fromkeys([*run.answers, *reference.answers])
        ],
        [
            _cell(cell, reference, digits, cells, by_owner.get(cell, []))
            for cell in dict.fromkeys(map(_owner, reference.cells))
        ],
        _unknown(reference, run),
    )


def _unknown(reference: Reference, run: Run) -> list[str]:
    """Cells and studies that only the run has."""
    studies = {each.path for each in run.stores if each.path.startswith("studies/")} - set(reference.stores)
    cells = {_owner(name) for name in run.cells} - {_owner(name) for name in reference.cells}
    return [*sorted(cells), *(path.removesuffix(".nc") for path in sorted(studies))]


def compare_digits(reference: Reference, run: Run, of: int | None = None) -> Digits:
    """The stores by their values."""
    kept = {each.path: each for each in run.stores if each.path in reference.stores}
    unlike = {path: identity.unlike(reference.stores[path], each.variables) for path, each in kept.items()}
    unlike = {path: variables for path, variables in unlike.items() if variables}
    may_differ = "; ".join(_other_machine(reference, run))
    of_cells = [path.split("/")[1] for path in kept if path.startswith("cells/")]
    other_cells = {path.split("/")[1] for path in unlike if path.startswith("cells/")}
    same_cells = [cell for cell in dict.fromkeys(of_cells) if cell not in other_cells]
    first = next((path for path in unlike if kept[path].promised and not may_differ), None)
    images = "image networks depend on the processor and its threads"
    if unlike and not first and not may_differ:
        may_differ = images
    return Digits(len(kept), of, same_cells, unlike, may_differ, first)


def _other_machine(reference: Reference, run: Run) -> Iterator[str]:
    """Why digits may differ: what computed in the run and in the reference is not the same."""
    if run.target != reference.made.target:
        yield f"kernels compiled for {run.target} here, for {reference.made.target} in the reference"
    elif run.target != compiled.CPU_NAME:
        yield f"kernels compiled for {run.target}, not for {compiled.CPU_NAME}"
    for name in sorted({*run.libraries, *reference.made.libraries}):
        here, there = run.libraries.get(name), reference.made.libraries.get(name)
        if here != there:
            yield f"{name} {here} here, {there} in the reference"


def _of_cells(reference: Reference, run: Run) -> Iterator[_Pair]:
    for name, kept in reference.cells.items():
        for statistic, own in kept.items():
            if statistic in run.cells.get(name, {}):
                pair = _Pair(_owner(name), _in_arm(statistic, name), own, run.cells[name][statistic])
                yield pair
                presence = pair.presence()
                if presence:
                    yield presence


def _of_claims(reference: Reference, run: Run) -> Iterator[_Pair]:
    for key, kept in reference.headlines.items():
        if key in run.headlines:
            yield _Pair(key.partition(":")[0], key, kept, run.headlines[key])


def _owner(name: str) -> str:
    """The cell of a cell and arm."""
    return name.partition("/")[0]


def _in_arm(statistic: str, name: str) -> str:
    """How a statistic of a cell and arm is named within its cell."""
    return f"{statistic} ({name.partition('/')[2]})"


def _cell(cell: str, reference: Reference, digits: Digits, pairs: Iterable[_Pair], differing: list[Found]) -> Judged:
    own = {pair.statistic: pair for pair in pairs if pair.owner == cell}
    names = [_in_arm(each, name) for name, kept in reference.cells.items() if _owner(name) == cell for each in kept]
    lacking = [name for name in names if name not in own or own[name].lost]
    verdict: Verdict = "identical" if cell in digits.same_cells else "agreement"
    if differing or lacking:
        verdict = "disagreement" if any(each.large for each in differing) else "drift"
    return Judged(cell, verdict, len(own), sum(pair.few for pair in own.values()), differing, lacking)


def _claim(claim: str, reference: Reference, run: Run, pairs: Iterable[_Pair], differing: list[Found]) -> Judged:
    own = [pair for pair in pairs if pair.owner == claim]
    answers = run.answers.get(claim, "not asked"), reference.answers.get(claim, "not asked")
    here, there = (_keys(claim, each) for each in (run.headlines, reference.headlines))
    lacking = sorted(there - here)
    verdict: Verdict = "agreement"
    if differing or lacking:
        verdict = "drift" if answers[0] == answers[1] else "disagreement"
    elif answers[0] == answers[1] and here == there and all(pair.equal for pair in own):
        verdict = "identical"
    return Judged(claim, verdict, len(own), sum(pair.few for pair in own), differing, lacking, answers)


def _keys(claim: str, headlines: Iterable[str]) -> set[str]:
    return {key for key in headlines if key.startswith(f"{claim}: ")}
