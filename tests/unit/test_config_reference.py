"""docs/config.md and the JSON schema say of every key what the types say."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import jsonschema
import pytest

from largestep import config, registered, stages
from largestep.config import reference
from largestep.config.data import DATA_KINDS, IMAGE_SETS
from largestep.config.kinds import kinds
from largestep.config.models import MODEL_KINDS
from largestep.config.studies import Study

SCHEMA = reference.json_schema()


@pytest.mark.parametrize(
    ("file", "text"), [(reference.SCHEMA, reference.schema_text), (reference.PAGE, reference.page_text)]
)
def test_what_is_committed_is_what_the_types_say(repository: Path, file: str, text: Callable[[], str]) -> None:
    assert (repository / file).read_text() == text(), "run `make docs`"


def test_a_key_without_a_description_is_refused_by_name() -> None:
    schema = copy.deepcopy(SCHEMA)
    del schema["$defs"]["Decay"]["properties"]["at"]["description"]
    schema["properties"]["only"]["description"] = ""
    with pytest.raises(ValueError, match=r"a description: Config\.only, Decay\.at$"):
        reference.page(reference.TEMPLATE, schema)


def test_every_type_has_one_place_on_the_page() -> None:
    template = "".join(f"{{{{{name}}}}}\n" for name in reference.types(SCHEMA))
    reference.page(template, SCHEMA)
    for broken, name in ((template.replace("{{Decay}}\n", ""), "Decay"), (template + "{{Law}}\n", "Law")):
        with pytest.raises(ValueError, match=rf"one line \{{\{{TYPE\}}\}} for every type; see {name}$"):
            reference.page(broken, SCHEMA)


def test_a_row_says_type_default_bounds_and_meaning() -> None:
    page = reference.page_text()
    for row in (
        "| `at` | number | needed | > 0, < 1 | fraction of training at which it falls due |",
        "| `decays` | list of [Decay](#decay) | `[]` |  | divisions of the step size, in order of time |",
        "| `batch_size` | integer or `full` | needed | ≥ 1 | examples per step; `full`: all, gradient descent |",
        "| `size` | list of integer | needed | ≥ 1, 2 values | rows and columns, in pixels, to which the images are "
        "resized |",
    ):
        assert row in page.splitlines()


@pytest.mark.parametrize("file", ["config.yaml", "tests/tiny/config.yaml"])
def test_the_schema_takes_what_the_types_take(repository: Path, file: str) -> None:
    raw = config.read(repository / file)
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    jsonschema.Draft202012Validator(SCHEMA).validate(raw)
    name = next(iter(raw["experiments"]))
    raw["experiments"][name]["titel"] = raw["experiments"][name].pop("title")
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(SCHEMA).validate(raw)


def test_every_kind_has_a_worker_and_every_worker_a_kind() -> None:
    assert set(DATA_KINDS) == {*stages.TOY_DATA, *stages.IMAGE_SETS}
    assert set(IMAGE_SETS) == set(stages.IMAGE_SETS) - {"folder"}
    assert set(MODEL_KINDS) == set(stages.WORKERS["train"]) == set(stages.WORKERS["features"])
    studies = set(kinds(*get_args(get_args(Study)[0])))
    assert studies == set(stages.WORKERS["studies"])
    assert studies | set(registered.views()) == set(stages.WORKERS["figures"])
