"""Every command and every block of Python that README.md and docs/ show: run in the finished tiny project, or planned.

Commands that would take long are given --dry-run, and so checked to the last option and name. One that no rule below
covers fails: add it to a rule, or to EXCEPTIONS with the reason.
"""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from collections.abc import Callable

import pytest

from largestep import config
from tests import forked
from tests.conftest import REPOSITORY, Project, make_project

PAGES = sorted([REPOSITORY / "README.md", *(REPOSITORY / "docs").glob("*.md")])
# Their blocks build on each other: test_stores.py and test_tutorial.py run them from top to bottom.
STORES, TUTORIAL = REPOSITORY / "docs/stores.md", REPOSITORY / "docs/tutorial.md"
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", flags=re.MULTILINE | re.DOTALL)
# What a line of a command begins with; no block without a language may hold one.
PROGRAMS = r"(make|snakemake|\.venv/bin/\w+|python3?|export|apt-get|tail|git|cd|pip)"
EXCEPTIONS = {
    r"apt-get install ": "installs a package of Debian's; .ci/run does it",
    r"export SNAKEMAKE_STORAGE_S3_ACCESS_KEY=": "keys of a bucket; tests/cluster/test_object_storage.py sets them",
    r"snakemake .*--default-storage-provider s3 ": "needs a bucket; tests/cluster/test_object_storage.py runs it",
    r"(podman|apptainer) |mkdir mine": "needs a registry of images; tests/container runs it",
    r"kill -INT PID": "tests/cluster/test_signals.py does it",
    r"snakesee watch": "runs until it is told to end; test_progress.py asks for what it shows",
}


def blocks(*languages: str) -> list[tuple[str, str]]:
    """The page and the text of every block of these languages."""
    return [
        (path.name, text)
        for path in PAGES
        if path not in (STORES, TUTORIAL)
        for language, text in BLOCK.findall(path.read_text())
        if language in languages
    ]


def commands(text: str) -> list[str]:
    """The commands of a block, without comments and prompts, a continued one in one line."""
    lines = re.sub(r"\\\n\s*", "", text).splitlines()
    stripped = [re.sub(r"(^|\s)#.*", "", line).removeprefix("$ ").strip() for line in lines]
    return [line.replace(".venv/bin/", "") for line in stripped if line]


# Gives the project of a fixture of that name.
Made = Callable[[str], Project]
COMMANDS = [(page, command) for page, text in blocks("sh", "bash", "shell", "console") for command in commands(text)]


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The project with its own configuration, as it is cloned."""
    project = make_project(tmp_path_factory.mktemp("clone"), REPOSITORY / "config.yaml")
    shutil.copytree(REPOSITORY / "config", project.folder / "config")
    # Files that the pages show begin with their names.
    for _, text in blocks("yaml", "python"):
        if named := re.match(r"# ([\w/]+\.(yaml|py))\n", text):
            path = project.folder / named[1]
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
    return project


@pytest.fixture(scope="module")
def read(finished: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A finished project, for commands that read results."""
    return finished.copy(tmp_path_factory.mktemp("read") / "project")


def run_make(project: Made, words: list[str]) -> subprocess.CompletedProcess[str]:
    """Is there such a target, and can its commands be told?"""
    return subprocess.run(["make", "--dry-run", *words[1:]], cwd=REPOSITORY, capture_output=True, text=True)


def run_snakemake(project: Made, words: list[str]) -> subprocess.CompletedProcess[str]:
    if {"--report", "--reporter"} & {*words}:
        return project("read").snakemake("--cores", "1", *words[1:], check=False)
    cores = [] if {"--cores", "--workflow-profile"} & {*words} else ["--cores", "1"]
    return project("real").snakemake(*words[1:], "--dry-run", *cores, check=False)


def run_stage(project: Made, words: list[str]) -> subprocess.CompletedProcess[str]:
    """Is there such a program, with these options?"""
    module, *given = words[words.index("-m") + 1 :]
    command = given[:1] if module == "largestep" else []
    done = forked.run(REPOSITORY, module, *command, "--help", PYTHONPATH=str(REPOSITORY / "src"))
    for option in (word.split("=")[0] for word in given if word.startswith("--")):
        assert option in done.stdout, f"{module} has no {option}: {done.stdout}"
    return done


def run_tail(project: Made, words: list[str]) -> subprocess.CompletedProcess[str]:
    """The same without waiting for more."""
    files = [str(path) for word in words[1:] if word != "-f" for path in project("read").folder.glob(word)]
    assert files
    return subprocess.run(["tail", *files], capture_output=True, text=True)


RULES: dict[str, Callable[[Made, list[str]], subprocess.CompletedProcess[str]]] = {
    r"make(\s|$)": run_make,
    r"snakemake\s": run_snakemake,
    r"python3? -m largestep": run_stage,
    r"tail -f ": run_tail,
}


@pytest.mark.parametrize(("page", "command"), COMMANDS, ids=[f"{page}-{command[:60]}" for page, command in COMMANDS])
def test_command(request: pytest.FixtureRequest, page: str, command: str) -> None:
    for pattern, reason in EXCEPTIONS.items():
        if re.match(pattern, command):
            pytest.skip(reason)
    for pattern, run in RULES.items():
        if re.match(pattern, command):
            done = run(request.getfixturevalue, shlex.split(command))
            assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
            return
    pytest.fail(f"{page} shows a command that nothing here knows how to run: {command}")


def test_every_exception_is_of_a_command() -> None:
    for pattern in EXCEPTIONS:
        assert any(re.match(pattern, command) for _, command in COMMANDS), pattern


def test_commands_stand_in_blocks_of_a_language() -> None:
    for page, text in blocks(""):
        assert not re.search(rf"^(\$ )?{PROGRAMS} ", text, flags=re.MULTILINE), f"{page}: mark it ```sh:\n{text}"


def test_targets_of_make_that_are_named_in_passing_exist() -> None:
    targets = set(re.findall(r"^([a-z][\w-]*):", (REPOSITORY / "Makefile").read_text(), flags=re.MULTILINE))
    named = {target for path in PAGES for target in re.findall(r"`make ([a-z][\w-]*)", path.read_text())}
    assert "test" in named
    assert named <= targets


PYTHON = blocks("python", "py")


@pytest.mark.parametrize("text", [text for _, text in PYTHON], ids=[page for page, _ in PYTHON])
def test_python(read: Project, text: str) -> None:
    run_python(read, text)


def run_python(project: Project, text: str) -> None:
    """Run a block in a finished tiny project."""
    text = named_as_in(project, text)
    (project.folder / "block.py").write_text(text)
    done = forked.run(project.folder, "block", PYTHONPATH=str(project.folder / "src"), MPLBACKEND="Agg")
    assert done.returncode == 0, text + done.stderr


def named_as_in(project: Project, text: str) -> str:
    """A text with the tiny study's experiments, which stand for those of config.yaml on the same kind of data."""
    paths = (project.folder / "config.yaml", REPOSITORY / "config.yaml")
    tiny, real = (config.load(path).experiments for path in paths)
    stands_for = {each.data.kind: name for name, each in reversed(tiny.items())}
    for name in sorted(real, key=len, reverse=True):
        text = re.sub(rf"\b{name}\b", stands_for.get(real[name].data.kind, name), text)
    return text
