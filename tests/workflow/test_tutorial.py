"""docs/tutorial.md, run from top to bottom in the finished tiny study, as a reader would."""

from __future__ import annotations

import pytest

from tests.conftest import Project
from tests.workflow.test_commands_of_docs import BLOCK, TUTORIAL, run_python


def test_the_tutorial_runs(finished: Project, tmp_path_factory: pytest.TempPathFactory) -> None:
    project = finished.copy(tmp_path_factory.mktemp("tutorial") / "project")
    blocks = [text for language, text in BLOCK.findall(TUTORIAL.read_text()) if language == "python"]
    assert len(blocks) == 6
    run_python(project, "\n".join(blocks))
    assert (project.folder / "my_losses.png").read_bytes().startswith(b"\x89PNG")
