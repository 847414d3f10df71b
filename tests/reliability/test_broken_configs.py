"""Hundreds of generated configurations, most of them broken: refused in one line that names the key, or sound."""

from __future__ import annotations

import datetime
import json
import random
import re
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from largestep import config, grid
from tests.conftest import REPOSITORY
from tests.reliability.conftest import Counted
from tests.reliability.small import KILLS

# Generated configurations for each of the two tests.
CONFIGS = max(60, 10 * KILLS)
GENERATED = settings(
    max_examples=CONFIGS,
    derandomize=True,  # the same on every run: a failure is there to stay until it is mended
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
BASES = ("tests/tiny/config.yaml", "config.yaml")
SAFE = re.compile(r"[a-z][a-z0-9_]{0,47}")
# A key, where in the file YAML gave up, or what is wrong with the file as a whole.
NAMED = re.compile(r"(.+?: .+)|(line \d+: .+)|(not valid YAML: .+)|(must be a mapping with .+)")
LONGEST = 300

NAMES = (
    *("../x", "../../x", "/tmp/x", "..", ".", "~", "a/b", "$(touch canary)", "`touch canary`", "x; touch canary"),
    *("'", '"', "a'b", 'a"b', "a\nb", "small\n", "a\rb", "a\tb", "a b", "a\0b", "\x1b[31m", "a" * 49, "a" * 300),
    *("имя", "名前", "étape", "A", "1a", "_a", "-rf", "--help", "{x}", "{{x}}", "%s", "*", "a|b", "a&b", "<x>", ""),
    *("__use_yte__", "__class__", "studies", "scorecard", "con", "\u202ea", "\u2028", "\ud800"),
)
DEEP: list[Any] = []
for _ in range(3000):
    DEEP = [DEEP]
RECURSIVE: list[Any] = []
RECURSIVE.append(RECURSIVE)
VALUES: tuple[Any, ...] = (
    *(None, True, "", "many", "1e-4", "full", float("nan"), float("inf"), -float("inf"), 1e308, 1e-320, -1e-9),
    *(-1, 0, 1, 2, 10**10, 10**30, 10**400, 10**5000, 0.1, 0.5, 1.0, [], {}, [1], [None], [[]], {"a": 1}, {1: 2}),
    *(b"\xff", (1,), {1}, 1j, datetime.date(2020, 1, 1), object(), DEEP, RECURSIVE, ["a"] * 1000, {"kind": "x"}),
    *({"kind": "os.system"}, {"kind": ["points"]}, "os.system", "a..b", "largestep.config", *NAMES),
)

counts: Counter[str] = Counter()


@pytest.fixture(scope="module", autouse=True)
def _most_are_broken() -> Iterator[None]:
    counts.clear()
    yield
    assert counts["refused"] > 3 * counts["accepted"], "most of the generated configurations should be broken"


@cache
def base_text(name: str) -> str:
    return (REPOSITORY / name).read_text()


@cache
def base_values(name: str) -> str:
    """As JSON, in which nothing is shared through aliases."""
    return json.dumps(config.read(REPOSITORY / name))


def places(raw: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path of every key and every list item, not far into what an earlier change put there."""
    if len(path) == 10:
        return []
    items = raw.items() if isinstance(raw, dict) else enumerate(raw) if isinstance(raw, list) else ()
    return [place for key, value in items for place in ((*path, key), *places(value, (*path, key)))]


def holder(raw: Any, path: tuple[Any, ...]) -> Any:
    for key in path[:-1]:
        raw = raw[key]
    return raw


def delete(parent: Any, key: Any, draw: random.Random) -> None:
    del parent[key]


def replace(parent: Any, key: Any, draw: random.Random) -> None:
    parent[key] = draw.choice(VALUES)


def rename(parent: Any, key: Any, draw: random.Random) -> None:
    if isinstance(parent, dict):
        parent[draw.choice(NAMES)] = parent.pop(key)
    else:
        parent[key] = draw.choice(NAMES)


def misspell(parent: Any, key: Any, draw: random.Random) -> None:
    if isinstance(parent, dict):
        parent[f"{key}x"] = parent.pop(key)
    else:
        parent[key] = f"{parent[key]}x"


def add(parent: Any, key: Any, draw: random.Random) -> None:
    if isinstance(parent, dict):
        parent[draw.choice(NAMES)] = draw.choice(VALUES)
    else:
        parent.append(draw.choice(VALUES))


def repeat(parent: Any, key: Any, draw: random.Random) -> None:
    """A list the wrong way round and then again: arms twice, decays out of order."""
    if isinstance(parent[key], list):
        parent[key] = parent[key][::-1] + parent[key]
    else:
        parent[key] = [parent[key], parent[key]]


def exchange(parent: Any, key: Any, draw: random.Random) -> None:
    other = draw.choice(list(parent) if isinstance(parent, dict) else range(len(parent)))
    parent[key], parent[other] = parent[other], parent[key]


def negate(parent: Any, key: Any, draw: random.Random) -> None:
    value = parent[key]
    parent[key] = -value if isinstance(value, (int, float)) else f"-{type(value).__name__}"


MUTATIONS: tuple[Callable[[Any, Any, random.Random], None], ...] = (
    *(delete, replace, replace, replace, rename, misspell, add, repeat, exchange, negate),
)


def verdict(attempt: Callable[[], config.Config], source: str) -> tuple[str, str]:
    """Whether a configuration is refused, with the message; nothing but a ConfigError may come."""
    try:
        parsed = attempt()
    except config.ConfigError as error:
        text = str(error)
        assert len(text.splitlines()) == 1
        assert text.startswith(f"{source}: ")
        problem = text.removeprefix(f"{source}: ")
        assert NAMED.fullmatch(problem), text
        assert len(problem) <= LONGEST, text
        assert problem.isprintable(), text
        return "refused", problem
    check_sound(parsed)
    return "accepted", ""


def check_sound(parsed: config.Config) -> None:
    """What is accepted has names that are safe in paths and commands, and a plan can be made of it."""
    names = {*parsed.experiments, *parsed.studies, *parsed.only}
    names |= {cell for experiment in parsed.experiments.values() for cell in experiment.cells}
    names |= {name for study in parsed.studies.values() for name in getattr(study, "sweeps", {})}
    assert all(SAFE.fullmatch(name) for name in names)
    for cell in grid.cells(parsed).values():
        assert (Path("results/cells") / cell.id).name == cell.id
        cell.spec("sparsity")
        if cell.settings.images:
            assert re.fullmatch(r"[A-Za-z0-9_-]+", grid.data_spec(cell.settings).image_set().name)
    grid.aggregate_spec(parsed)
    grid.claims_spec(parsed)


@GENERATED
@given(base=st.sampled_from(BASES), seed=st.integers(0, 2**32), changes=st.sampled_from([1, 1, 1, 2, 5]))
def test_broken_values_are_refused_in_one_line_that_names_the_key(
    counted: Counted, base: str, seed: int, changes: int
) -> None:
    draw, raw = random.Random(seed), json.loads(base_values(base))
    changed = []
    for _ in range(changes):
        path = draw.choice(places(raw))
        draw.choice(MUTATIONS)(holder(raw, path), path[-1], draw)
        changed.append(path)
    result, problem = verdict(lambda: config.parse(raw, source="config.yaml"), "config.yaml")
    counts[result] += 1
    counted(f"generated configurations {result}")
    if changes == 1 and result == "refused":
        # What is named lies on the way to what was changed, or uses it by its name.
        place = ".".join(map(str, changed[0]))
        key = problem.split(": ")[0].split(" … ")[0]
        on_the_way = place.startswith(key) or key.startswith(".".join(place.split(".")[:-1]))
        uses = key.split(".")[0] in ("studies", "only", "published", "the whole file")
        uses |= place.startswith(("schedules", "measures")) and key.startswith("experiments")
        assert on_the_way or uses, (place, problem)


def cut(text: str, draw: random.Random) -> str:
    return text[: draw.randrange(len(text))]


def insert(text: str, draw: random.Random) -> str:
    place = draw.randrange(len(text))
    return text[:place] + draw.choice(SNIPPETS) + text[place:]


def swap_lines(text: str, draw: random.Random) -> str:
    lines = text.splitlines(keepends=True)
    one, other = draw.randrange(len(lines)), draw.randrange(len(lines))
    lines[one], lines[other] = lines[other], lines[one]
    return "".join(lines)


def double_line(text: str, draw: random.Random) -> str:
    lines = text.splitlines(keepends=True)
    place = draw.randrange(len(lines))
    return "".join([*lines[: place + 1], *lines[place:]])


def tabs(text: str, draw: random.Random) -> str:
    lines = text.splitlines(keepends=True)
    place = draw.randrange(len(lines))
    lines[place] = "\t" + lines[place].lstrip(" ")
    return "".join(lines)


def before(text: str, draw: random.Random) -> str:
    return draw.choice(SNIPPETS) + "\n" + text


LAUGHS = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 12)
)
MERGED_LAUGHS = "a0: &a0 {x: 1, y: 2}\n" + "".join(
    f"a{i}: &a{i} {{<<: [{', '.join([f'*a{i - 1}'] * 10)}]}}\n" for i in range(1, 12)
)
SNIPPETS = (
    *("\t", "'", '"', "[", "]", "{", "}", ": ", "- ", "&a", "*nowhere", "*a", "!!int x", "!!float x", "!!bool x"),
    *("!!int ''", "!!timestamp x", "!!binary '*'", "!!set {a}", "!!omap [a: 1]", "2020-99-99", "? [a]\n: 1\n"),
    *("!!python/object/apply:os.system ['touch canary']", "!!python/name:os.system", "!!python/tuple [1]", "!x y"),
    *("%YAML 9.9\n---\n", "---\na: 1\n", "...\n", "\0", "\x7f", "\u2028", "\ufeff", "\x85", '"\\ud800"', "|\n", ">\n"),
    *("a: &a [*a]\n", "a: &a {a: *a}\n", "a: &a {<<: *a}\n", "a: {<<: 3}\n", "<<: [1]\n", "a: &x 1\nb: &x 2\n"),
    *("[" * 60, "{a: " * 60, "- " * 60, "[" * 3000, "{a: " * 3000, "9" * 5000, "0x" + "f" * 5000, "59:" * 2000 + "1"),
    *("__use_yte__: true\n", "?import os: 1\n", LAUGHS, MERGED_LAUGHS, "a" * 5000, "x: " + "a" * 5000 + "\n"),
    *(
        "0x" + "f" * 5000 + ": 1\n",
        "scale: 1\n",
        "scale:\n",
        "~: 1\n",
        ".nan: 1\n",
        "on: 1\n",
        "1: 1\n",
        "experiments: {}\n",
        "#",
        "\\",
        "@",
        "`",
    ),
)
EDITS: tuple[Callable[[str, random.Random], str], ...] = (cut, insert, insert, swap_lines, double_line, tabs, before)


@GENERATED
@given(
    base=st.sampled_from([*BASES[:1] * 4, BASES[1]]),
    seed=st.integers(0, 2**32),
    noise=st.none() | st.binary(min_size=1),
)
def test_broken_files_are_refused_in_one_line_that_names_the_line(
    tmp_path_factory: pytest.TempPathFactory,
    counted: Counted,
    base: str,
    seed: int,
    noise: bytes | None,
) -> None:
    draw, content = random.Random(seed), base_text(base)
    content = draw.choice(EDITS)(content, draw)
    raw = content.encode("utf-8")
    if noise is not None:
        place = draw.randrange(len(raw) + 1)
        raw = raw[:place] + noise + raw[place:]
    path = tmp_path_factory.getbasetemp() / "config.yaml"
    path.write_bytes(raw)
    result, _ = verdict(lambda: config.load(path), str(path))
    counts[result] += 1
    counted(f"generated configurations {result}")
