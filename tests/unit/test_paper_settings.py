"""The ten settings of the paper's table and Fig. 1: as published."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest

from largestep import config
from largestep.schedules import PHASE_OF_IMAGES, Schedule

SETTINGS = config.parse(config.read(Path("config.yaml")) | {"scale": "paper"}, source="config.yaml")
PAPER = sorted(name for name, each in SETTINGS.experiments.items() if each.scale == "paper")
TABLE = [name for name in PAPER if name.startswith("densenet") or name.endswith(("basic", "sota"))]

# small step, large step, then per cell: test error (%), sparsity of blocks 3 and 4 (%).
PUBLISHED = """
densenet_cifar10_basic .04 .75 | 29.6 15.5 12.2 11.8 | 50.0 43.9 37.2 35.3 | 51.9 32.7 24.7 11.7
densenet_cifar100_basic .07 .75 | 59.2 42.9 36.9 34.6 | 47.8 40.0 34.6 33.4 | 57.7 41.4 27.8 17.4
densenet_tiny_basic .07 .4 | 68.8 61.3 53.8 50.2 | 41.0 38.9 32.1 31.3 | 53.6 44.4 29.2 17.6
densenet_cifar10_sota .01 .1 | 15.0 10.6 8.0 7.2 | 51.1 45.6 39.4 37.7 | 54.4 38.4 25.7 15.2
densenet_cifar100_sota .01 .1 | 43.8 34.9 30.1 28.0 | 49.3 44.0 38.5 37.1 | 58.9 45.6 30.8 19.8
densenet_tiny_sota .005 .05 | 57.4 51.0 46.5 45.2 | 49.2 43.7 38.2 37.3 | 55.3 41.3 26.7 16.4
resnet18_cifar10_basic .01 .3 | 35.5 17.6 16.8 16.3 | 78.1 77.2 70.1 61.9 | 67.9 62.0 65.2 37.2
resnet18_cifar10_sota .002 .05 | 14.3 10.1 6.6 5.6 | 77.5 74.8 65.7 54.3 | 65.5 57.7 47.2 45.9
resnet34_cifar100_basic .01 .75 | 71.8 56.8 54.3 53.2 | 77.1 70.3 58.8 56.3 | 64.9 46.5 42.9 34.2
resnet34_cifar100_sota .004 .05 | 38.8 31.3 26.1 24.5 | 74.7 74.7 58.3 54.0 | 64.4 55.9 54.6 54.4
"""

# The authors' stored run: training loss | sparsity of blocks 1 to 5 | active fraction of all units of blocks 1 to 5.
STORED = "resnet18_cifar10_sota"
STORED_RUN = """
small   | .03129  | .6994 .7037 .7755 .6554 .9872 | .7060 .7099 .7716 .6543 .9890
decay10 | .02105  | .6880 .6818 .7475 .5774 .9594 | .6858 .6833 .7501 .5782 .9631
decay30 | .000979 | .7233 .5873 .6569 .4723 .7698 | .7226 .5821 .6539 .4798 .8444
decay50 | .000417 | .7186 .5475 .5431 .4591 .6297 | .7289 .5466 .5275 .4986 .8128
"""


@pytest.mark.parametrize("line", PUBLISHED.strip().splitlines(), ids=lambda line: line.split()[0])
def test_step_sizes_and_published_values_are_those_of_the_table(line: str) -> None:
    head, *columns = (part.split() for part in line.split("|"))
    cells = SETTINGS.experiments[head[0]].cells.values()
    assert [cell.step_size for cell in cells] == [float(head[1]), *[float(head[2])] * 3]
    errors, block3, block4 = ([float(value) for value in column] for column in columns)
    assert [cell.published.test_error for cell in cells] == errors
    sparsity = [cell.published.feature_sparsity or [] for cell in cells]
    assert [each[2] for each in sparsity] == pytest.approx([value / 100 for value in block3])
    assert [each[3] for each in sparsity] == pytest.approx([value / 100 for value in block4])
    if head[0] != STORED:
        assert all(each[0] is None and each[1] is None and each[4] is None for each in sparsity)


def test_the_other_blocks_of_the_run_that_the_authors_stored() -> None:
    """Blocks 3 and 4 are those of the paper's table, which rounds them."""
    cells = SETTINGS.experiments[STORED].cells
    for line in STORED_RUN.strip().splitlines():
        name, *columns = (part.strip() for part in line.split("|"))
        loss, sparsity, active = ([float(value) for value in column.split()] for column in columns)
        published = cells[name].published
        assert published.train_loss == loss[0]
        assert published.feature_sparsity == pytest.approx(sparsity, abs=6e-4)
        assert [published.feature_sparsity[block] for block in (0, 1, 4)] == [sparsity[block] for block in (0, 1, 4)]
        assert published.active_fraction == active


def test_the_authors_own_run_is_denser_in_block_1_after_longer_large_steps() -> None:
    """What C13's "every block" leaves out, and what in block 4 rests on counting correlated units as one."""
    of = {name: cell.published for name, cell in SETTINGS.experiments[STORED].cells.items()}
    assert of["decay10"].feature_sparsity[0] < of["decay50"].feature_sparsity[0] < of["decay30"].feature_sparsity[0]
    assert of["decay10"].active_fraction[0] < of["decay30"].active_fraction[0] < of["decay50"].active_fraction[0]
    assert of["decay50"].feature_sparsity[3] < of["decay30"].feature_sparsity[3]
    assert of["decay50"].active_fraction[3] > of["decay30"].active_fraction[3]


def test_figure_1_is_the_published_one() -> None:
    figure = SETTINGS.experiments["resnet18_cifar10_figure1"]
    assert [cell.step_size for cell in figure.cells.values()] == [0.007, 1.5, 1.5, 1.5]
    assert [cell.published.test_error for cell in figure.cells.values()] == [35.3, 13.7, 13.0, 12.0]
    assert (figure.training.momentum, figure.training.weight_decay) == (0.0, 5e-4)
    assert not figure.training.augmentation.flip
    # Those of the runs without a warm-up: 0.02, 0.06 and 0.1 of the peak, and a tenth of that from 90% on.
    for at, part in ((0.1, 0.02), (0.3, 0.06), (0.5, 0.1)):
        sizes = Schedule(figure.cells[f"decay{round(100 * at)}"], 19_500, phase=PHASE_OF_IMAGES).sizes
        first, second = round(at * 19_500) - 1, 17_549
        assert (sizes[:first] == 1.5).all()
        assert sizes[first:second] == pytest.approx(1.5 * part, rel=1e-7)
        assert sizes[second:] == pytest.approx(0.15 * part, rel=1e-7)


def test_there_are_ten_settings_and_figure_1() -> None:
    assert len(TABLE) == 10
    assert "resnet18_cifar10_figure1" in PAPER
    for name in TABLE:
        assert list(SETTINGS.experiments[name].cells) == ["small", "decay10", "decay30", "decay50"]


@pytest.mark.parametrize("name", TABLE)
def test_the_peak_and_the_decayed_step_sizes_are_the_published_ones(name: str) -> None:
    experiment = SETTINGS.experiments[name]
    for at, peak, without_warmup in ((0.1, 1.63, 0.02), (0.3, 4.32, 0.06), (0.5, 11.47, 0.1)):
        cell = experiment.cells[f"decay{round(100 * at)}"]
        sizes = Schedule(cell, 10_000, phase=PHASE_OF_IMAGES).sizes
        reached = cell.step_size * (peak if cell.warmup else 1.0)
        assert sizes.max() == pytest.approx(reached, rel=2e-3)
        after = sizes[int(0.89 * len(sizes))]
        assert after == pytest.approx(reached * (0.1 if cell.warmup else without_warmup), rel=2e-3)
        assert sizes[-1] == pytest.approx(after / 10)
    sota = name.endswith("sota")
    assert experiment.training.momentum == (0.9 if sota else 0.0)
    assert experiment.training.weight_decay == (5e-4 if sota else 0.0)
    assert experiment.training.augmentation.flip == sota
    assert experiment.training.epochs == (200 if name.startswith("densenet_cifar") else 100)


# Training images of the published data sets.
EXAMPLES = {"cifar10": 50_000, "cifar100": 50_000, "tiny_imagenet": 100_000}


@pytest.mark.parametrize("name", PAPER)
def test_all_images_are_taken_and_every_decay_falls_on_a_whole_step(name: str) -> None:
    """So that it does not matter how a share of training is rounded to a step."""
    experiment = SETTINGS.experiments[name]
    assert experiment.data.examples is None
    assert experiment.data.test_examples is None
    steps = experiment.training.epochs * (EXAMPLES[experiment.data.kind] // experiment.training.batch_size)
    for cell in experiment.cells.values():
        sizes = Schedule(cell, steps, phase=PHASE_OF_IMAGES).sizes
        for decay in cell.decays:
            due = Fraction(str(decay.at)) * steps
            assert due.denominator == 1
            # The update that ends at the share of training is the first to take the divided size.
            assert sizes[int(due) - 1] < 0.5 * sizes[int(due) - 2]


@pytest.mark.parametrize("name", PAPER)
def test_measures_look_at_as_many_images_and_units_as_published(name: str) -> None:
    measures = SETTINGS.experiments[name].measures
    assert (measures.probe_images, measures.units_per_block) == (21 * 512, 1000)
    assert measures.correlation_thresholds[0] == 0.95
    assert not measures.normalise_activations
