"""docs/stores.md, run from top to bottom in the finished tiny study, by every tool that is installed."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from largestep import dictionary
from tests.conftest import REPOSITORY, Project
from tests.workflow.test_commands_of_docs import BLOCK, STORES, commands, named_as_in, run_python

# What runs a file of a language.
PROGRAMS = {"r": "Rscript", "octave": "octave-cli"}


def test_every_tool_reads_what_the_page_says(finished: Project, tmp_path_factory: pytest.TempPathFactory) -> None:
    project = finished.copy(tmp_path_factory.mktemp("stores") / "project")
    lacking = set()
    for language, text in BLOCK.findall(STORES.read_text()):
        if language == "python":
            run_python(project, text)
            continue
        (project.folder / "block").write_text(named_as_in(project, text))
        for command in [f"{PROGRAMS[language]} block"] if language in PROGRAMS else commands(text):
            words = named_as_in(project, command).split()
            if shutil.which(words[0]) is None:
                lacking.add(words[0])
                continue
            done = subprocess.run(words, cwd=project.folder, capture_output=True, text=True)
            assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    if lacking:
        pytest.skip(f"the rest ran; not installed: {', '.join(sorted(lacking))}")


def test_the_dictionary_knows_every_variable(finished: Project) -> None:
    """As the stores of today describe it; where one is new or says something else, `make variables` after a run."""
    known = (REPOSITORY / "docs/variables.md").read_text()
    groups = dictionary.variables(finished.folder / "results/largestep.nc")
    rows = {row.cells() for group in groups.values() for row in group}
    assert len(rows) > 100
    assert {row for row in rows if f"| {row} |" not in known} == set()
