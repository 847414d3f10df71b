"""How the results were made: the rules as a drawing, and how long their jobs took."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from html import escape
from statistics import median
from typing import Any

# Pixels of the drawing: a box and the room between two.
WIDTH, HEIGHT, ACROSS, DOWN = 128, 26, 22, 34


@dataclass(frozen=True)
class RunTime:
    """How long the jobs of a rule took, in seconds; share: of the rule that took longest."""

    rule: str
    jobs: int
    total: float
    middle: float
    longest: float
    share: float


def run_times(jobs: Iterable[Any]) -> list[RunTime]:
    """The run times of all rules, the longest first; jobs: Snakemake's records of them."""
    took: dict[str, list[float]] = {}
    for job in jobs:
        took.setdefault(str(job.rule), []).append(max(0.0, job.endtime - job.starttime))
    most = max((sum(times) for times in took.values()), default=0.0) or 1.0
    by_rule = [
        RunTime(rule, len(times), sum(times), median(times), max(times), sum(times) / most)
        for rule, times in took.items()
    ]
    return sorted(by_rule, key=lambda each: -each.total)


def rules_of(dag: Any) -> dict[str, set[str]]:
    """Every rule with those that it takes its input from."""
    needed: dict[str, set[str]] = {}
    for level in dag.toposorted():
        for job in level:
            needs = needed.setdefault(job.rule.name, set())
            needs.update(each.rule.name for each in dag.dependencies[job])
    return {rule: needs - {rule} for rule, needs in needed.items()}


def drawing(rules: Mapping[str, set[str]]) -> str:
    """The rules as SVG, each below all that it takes its input from."""
    levels: dict[str, int] = {}

    def level(rule: str) -> int:
        if rule not in levels:
            levels[rule] = 1 + max((level(each) for each in rules[rule]), default=-1)
        return levels[rule]

    rows: dict[int, list[str]] = {}
    for rule in sorted(rules):
        rows.setdefault(level(rule), []).append(rule)
    widest = max(map(len, rows.values()), default=0)
    whole = widest * (WIDTH + ACROSS)
    place = {
        rule: (
            whole / 2 + (index - (len(row) - 1) / 2) * (WIDTH + ACROSS),
            HEIGHT + number * (HEIGHT + DOWN),
        )
        for number, row in rows.items()
        for index, rule in enumerate(row)
    }
    lines = [_line(place[each], place[rule]) for rule in rules for each in sorted(rules[rule])]
    boxes = [_box(*place[rule], rule) for rule in rules]
    tall = 2 * HEIGHT + max(rows, default=0) * (HEIGHT + DOWN)
    said = "; ".join(f"{rule} from {', '.join(sorted(needs))}" for rule, needs in rules.items() if needs)
    return (
        f'<svg viewBox="0 0 {whole} {tall}" role="img" aria-label="{escape(said)}" style="max-width:{whole}px">'
        f"{''.join(lines + boxes)}</svg>"
    )


def _line(above: tuple[float, float], below: tuple[float, float]) -> str:
    (x0, y0), (x1, y1) = above, below
    y0, y1 = y0 + HEIGHT / 2, y1 - HEIGHT / 2
    bend = (y0 + y1) / 2
    return f'<path d="M{x0:g} {y0:g}C{x0:g} {bend:g} {x1:g} {bend:g} {x1:g} {y1:g}" fill="none" stroke="#8a8a8a"/>'


def _box(x: float, y: float, rule: str) -> str:
    left, top = x - WIDTH / 2, y - HEIGHT / 2
    return (
        f'<rect x="{left:g}" y="{top:g}" width="{WIDTH}" height="{HEIGHT}" rx="5" fill="#eef3f8" stroke="#4a6a8a"/>'
        f'<text x="{x:g}" y="{y:g}" text-anchor="middle" dominant-baseline="central">{escape(rule)}</text>'
    )
