"""Specs: the texts that are hashed, and the same settings read back from them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from largestep import cli, config, grid
from largestep.specs.aggregates import AggregateSpec, ClaimsSpec
from largestep.specs.cells import DataSpec, FeaturesSpec, ImageSetSpec, ImageTrainSpec, SparsitySpec, ToyTrainSpec
from largestep.specs.studies import StudySpec
from tests.conftest import REPOSITORY

# Hashed and compared with those in stores: with another text every store of before is stale.
DIAGONAL = (
    '{"cell":"diagonal.decay50","features":{"cell":"diagonal.decay50","measures":{"normalise_activations":false,'
    '"probe_images":null,"units_per_block":null},"train":{"cell":"diagonal.decay50","data":{"data":{"dimension":10,'
    '"examples":8,"kind":"sparse_regression","seed":0,"support":2,"test_examples":20},"draws":6},"model":'
    '{"kind":"diagonal","u":0.1,"v":0.0},"schedule":{"annealing":null,"decays":[{"at":0.5,"divide_by":4.0}],'
    '"step_size":0.2,"warmup":null},"training":{"arms":["order","data"],"batch_size":1,"decay_after_update":false,'
    '"evaluations":20,"label_noise":0.0,"loss":"half_mse","momentum":0.0,"sam_radius":0.0,'
    '"sampling":"with_replacement","seeds":6,"snapshots":4,"steps":401,"weight_decay":0.0}}},"measures":'
    '{"correlation_thresholds":[],"l0_thresholds":[1e-50,0.0001],"rank_thresholds":[1e-15,0.0001]}}'
)
DIGITS = (
    '{"cell":"digits.small","data":{"data":{"examples":64,"kind":"digits","seed":0,"test_examples":32},"draws":0},'
    '"model":{"kind":"resnet18","normalisation":"batch","width":2},"schedule":{"annealing":null,"decays":[],'
    '"step_size":0.01,"warmup":null},"training":{"arms":["order"],"augmentation":{"crop_padding":0,"flip":false},'
    '"batch_size":16,"epochs":2,"evaluations":2,"label_noise":0.0,"momentum":0.0,"precision":"float32",'
    '"sam_radius":0.0,"seeds":2,"snapshots":2,"weight_decay":0.0}}'
)
PHASE_DIAGRAM = (
    '{"data":{"data":{"dimension":10,"examples":8,"kind":"sparse_regression","seed":0,"support":2,"test_examples":20},'
    '"draws":6},"measures":{"l0_thresholds":[1e-50,0.0001]},"model":{"kind":"diagonal","u":0.1,"v":0.0},"schedules":'
)
FILES = ("config.yaml", "tests/tiny/config.yaml")


def parsed(file: str) -> config.Config:
    return config.parse(config.read(REPOSITORY / file) | {"scale": "paper"}, file)


def test_the_texts_that_are_hashed_are_those_of_before() -> None:
    tiny = parsed("tests/tiny/config.yaml")
    cells = grid.cells(tiny)
    assert cells["diagonal.decay50"].spec("sparsity") == DIAGONAL
    assert cells["digits.small"].spec("train") == DIGITS
    assert cells["digits.small"].spec("images") == '{"data":{"kind":"digits"}}'
    # Of an experiment's measures, a study has those that it reads.
    assert PHASE_DIAGRAM in grid.study_spec(tiny, "phase_diagram")


@pytest.mark.parametrize("file", FILES)
def test_what_a_job_reads_is_what_was_written(file: str) -> None:
    """Text for text, so that a store can be compared with what a job says of the stage before."""
    settings = parsed(file)
    for cell in grid.cells(settings).values():
        images = cell.settings.images
        kinds = {"data": DataSpec, "train": ImageTrainSpec if images else ToyTrainSpec, "features": FeaturesSpec}
        kinds |= {"sparsity": SparsitySpec} | ({"images": ImageSetSpec} if images else {})
        for stage, kind in kinds.items():
            assert kind.read(cell.spec(stage)).text() == cell.spec(stage)
        sparsity = SparsitySpec.read(cell.spec("sparsity"))
        assert sparsity.features.text() == cell.spec("features")
        assert sparsity.features.train.text() == cell.spec("train")
        assert sparsity.features.train.data.text() == cell.spec("data")
    for name in settings.studies:
        text = grid.study_spec(settings, name)
        spec = StudySpec.read(text)
        assert spec.text() == text
        assert type(spec.settings) is type(settings.studies[name])
    assert AggregateSpec.read(grid.aggregate_spec(settings)).text() == grid.aggregate_spec(settings)
    assert ClaimsSpec.read(grid.claims_spec(settings)).text() == grid.claims_spec(settings)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mdel": {}}, "spec: mdel: unknown key"),
        ({"schedule": {"step_size": "0.1"}}, "spec: schedule.step_size: "),
        ({"training": None}, "spec: training: "),
    ],
)
def test_one_line_says_what_is_wrong_with_a_spec(
    changes: dict[str, object], message: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    spec = json.dumps(json.loads(DIAGONAL)["features"]["train"] | changes)
    with pytest.raises(SystemExit) as ended:
        cli.spec_parser("train", None, ToyTrainSpec.read).parse_args(["--spec", spec])
    assert ended.value.code == 2
    *_, line = capsys.readouterr().err.splitlines()
    assert message in line


@pytest.mark.parametrize(("text", "message"), [("{", "not JSON: "), ("[]", "not a JSON object")])
def test_what_is_no_spec_is_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ToyTrainSpec.read(text)


def test_a_study_of_no_kind_is_named() -> None:
    text = json.dumps({"study": "x", "settings": {"kind": "cubic"}, "experiments": {}})
    with pytest.raises(ValueError, match=r"^spec: settings: .*no study of kind cubic"):
        StudySpec.read(text)
