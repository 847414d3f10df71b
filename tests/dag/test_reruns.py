"""Exact reruns: what a change plans, by (rule, wildcards). One test for each row of the table in docs/design.md."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from tests.conftest import Project, make_project

VIEWS = {
    *("diagonal.curves", "diagonal.progress", "diagonal.stabilisation"),
    *("points.progress", "points.fits", "teacher.progress", "teacher.neurons"),
    *("digits.progress", "digits.schedules", "digits.blocks", "digits.filters", "digits.distances"),
    "digits_mlp.curves",
}
EXPERIMENTS = {"diagonal", "points", "teacher", "digits", "digits_mlp"}
CELLS = {
    *("diagonal.small", "diagonal.decay50", "points.decay2", "points.decay50"),
    *("teacher.small", "digits.small", "digits.decay50", "digits_mlp.decay50", "digits_mlp.cosine"),
}
STUDIES = {
    *("label_noise", "bouncing", "phase_diagram", "loss_slice"),
    *("flows", "sde_convergence", "sharpness", "controls", "batch_sharpness", "exact_law"),
    *("image_sharpness", "pruning", "noise_shape", "initial_scale", "several_decays", "valley_walls"),
}
# Whose step sizes follow no schedule.
UNSCHEDULED = {"bouncing", "sde_convergence"}
IMAGE_CELLS = {cell for cell in CELLS if cell.startswith("digits")}
POINTS_DECAY50 = (
    "      decay50: {step_size: 1.0e-3, warmup: {kind: power, factor: 9.0, exponent: 1.0}, "
    "decays: [{at: 0.5, divide_by: 2.0}]}\n"
)
DIGITS_DECAY50 = (
    "      decay50: {step_size: 0.1, warmup: {kind: exponential, base: 1.05}, decays: [{at: 0.5, divide_by: 10.0}]}\n"
)
FIGURES = {("figure", view) for view in VIEWS}
STUDY_FIGURES = {("study_figure", name) for name in STUDIES} | {("animation", "loss_slice")}
CLAIMS = {("claims", ""), ("scorecard", "")}
# What the aggregates are told changes with settings, and not with code.
SPEC = {("spec", "aggregate")}
AGGREGATES = FIGURES | CLAIMS | {("aggregate", "")} | {("table", name) for name in EXPERIMENTS}


def studies(*names: str) -> set[tuple[str, str]]:
    """The given studies, and what is drawn of them."""
    drawn = {(rule, name) for rule, name in STUDY_FIGURES if name in names}
    return {("study", name) for name in names} | drawn


def chain(*cells: str) -> set[tuple[str, str]]:
    """All stages of the given cells, from training on."""
    jobs = set()
    for cell in cells:
        if cell.startswith("digits"):
            jobs |= seeds(cell, *(["0", "1"] if cell.startswith("digits_mlp") else ["0-1"]))
        else:
            jobs |= {("train", cell), ("features", cell), ("sparsity", cell)}
    return jobs


def seeds(cell: str, *parts: str) -> set[tuple[str, str]]:
    """All stages of some seeds of a cell of an image classifier."""
    jobs = {(rule, f"{cell}.{part}") for rule in ("train_images", "features_images") for part in parts}
    return jobs | {("sparsity_images", cell)}


def test_nothing_to_do_after_a_run(project: Project) -> None:
    assert project.planned() == set()


def test_one_cell_edited(project: Project) -> None:
    project.edit("config.yaml", "small: {step_size: 0.1, published", "small: {step_size: 0.11, published")
    # A study that goes by the schedule of this cell; no other does.
    assert project.planned() == chain("diagonal.small") | studies("label_noise") | SPEC | AGGREGATES


def test_one_cell_added(project: Project) -> None:
    small = "      small: {step_size: 0.01}\n"
    project.edit("config.yaml", small + DIGITS_DECAY50, small + "      tiny: {step_size: 0.001}\n" + DIGITS_DECAY50)
    assert project.planned() == chain("digits.tiny") | SPEC | AGGREGATES


def test_one_cell_removed(project: Project) -> None:
    project.edit("config.yaml", POINTS_DECAY50, "")
    # A study that goes by its schedule would be refused without it.
    project.edit("config.yaml", "      points: {cell: decay50, seeds: 3}\n", "")
    assert project.planned() == studies("batch_sharpness") | SPEC | AGGREGATES


def test_value_of_the_paper_edited(project: Project) -> None:
    project.edit("config.yaml", "published: {test_loss: 1.0e-3", "published: {test_loss: 2.0e-3")
    assert project.planned() == SPEC | AGGREGATES


def test_threshold_edited(project: Project) -> None:
    project.edit("config.yaml", "correlation_thresholds: [0.99, 0.9]", "correlation_thresholds: [0.98, 0.9]")
    assert project.planned() == {("sparsity", "points.decay2"), ("sparsity", "points.decay50")} | SPEC | AGGREGATES


def test_helper_of_training_edited(project: Project) -> None:
    project.edit("src/largestep/schedules.py", "np.arange(self.steps) +", "np.arange(0, self.steps) +")
    assert project.planned() == chain(*CELLS) | studies(*STUDIES - UNSCHEDULED) | AGGREGATES


def test_seeds_added(project: Project) -> None:
    """All seeds of the cells are trained again: a cell is one store, made by one job."""
    project.edit("config.yaml", "loss: mse, seeds: 3,", "loss: mse, seeds: 4,")
    cells = chain("points.decay2", "points.decay50")
    assert project.planned() == cells | studies("label_noise", "sharpness", "batch_sharpness") | SPEC | AGGREGATES


def test_seeds_added_to_an_image_classifier(project: Project) -> None:
    """They alone are trained, and put beside the others."""
    project.edit("config.yaml", "sam_radius: 0.01\n      seeds: 2\n", "sam_radius: 0.01\n      seeds: 4\n")
    cells = seeds("digits_mlp.decay50", "2", "3") | seeds("digits_mlp.cosine", "2", "3")
    assert project.planned() == cells | SPEC | AGGREGATES
    project.edit("config.yaml", "seeds: 2, seeds_per_job: 2,", "seeds: 5, seeds_per_job: 2,")
    more = seeds("digits.small", "2-3", "4") | seeds("digits.decay50", "2-3", "4")
    assert project.planned() == cells | more | studies("label_noise", "image_sharpness") | SPEC | AGGREGATES


def test_a_seed_that_fails_costs_that_seed(project: Project) -> None:
    """Its own store is missing; the others of its cell stay."""
    shutil.rmtree(project.folder / "results/cells/digits_mlp.cosine/seeds/1")
    (project.folder / "results/cells/digits_mlp.cosine/train.nc").unlink()
    assert project.planned() == seeds("digits_mlp.cosine", "1") | AGGREGATES


def test_seeds_added_that_have_data_sets_of_their_own(project: Project) -> None:
    project.edit("config.yaml", "loss: mse, seeds: 2, arms: [order, data]", "loss: mse, seeds: 3, arms: [order, data]")
    assert ("data", "teacher") in project.planned()


def test_project_moved(project: Project, tmp_path: Path) -> None:
    moved = project.folder.rename(tmp_path / "elsewhere")
    assert Project(moved).planned() == set()
    moved.rename(project.folder)


def test_results_moved_into_another_clone(project: Project, tmp_path: Path) -> None:
    clone = make_project(tmp_path / "clone")
    for name in ("results", ".snakemake"):
        (project.folder / name).rename(clone.folder / name)
    assert clone.planned() == set()


def test_network_edited(project: Project) -> None:
    project.append("src/largestep/models/resnet.py", "UNUSED = 1\n")
    used = studies("label_noise", "image_sharpness")
    assert project.planned() == chain("digits.small", "digits.decay50") | used | AGGREGATES


def test_trainer_of_images_edited(project: Project) -> None:
    project.edit("src/largestep/images/step.py", "position.fill_(first)", "position.fill_(int(first))")
    assert project.planned() == chain(*IMAGE_CELLS) | studies("image_sharpness") | AGGREGATES


def test_steps_of_one_toy_network_edited(project: Project) -> None:
    project.edit("src/largestep/toys/dense_kernels.py", "MANY_UNITS = 8", "MANY_UNITS = 9")
    cells = chain("points.decay2", "points.decay50", "teacher.small")
    assert (
        project.planned()
        == cells
        | studies(
            "label_noise", "sharpness", "controls", "batch_sharpness", "pruning", "several_decays", "valley_walls"
        )
        | AGGREGATES
    )


def test_preparation_of_a_data_set_edited(project: Project) -> None:
    project.append("src/largestep/data/digits.py", "UNUSED = 1\n")
    used = {("images", "digits")} | studies("label_noise", "image_sharpness")
    assert project.planned() == chain(*IMAGE_CELLS) | used | AGGREGATES


def test_part_of_a_data_set_edited(project: Project) -> None:
    """The prepared file holds the whole data set, of which an experiment takes a part."""
    project.edit("config.yaml", "examples: 64, test_examples: 32", "examples: 65, test_examples: 32")
    cells = chain("digits.small", "digits.decay50")
    assert project.planned() == cells | studies("label_noise", "image_sharpness") | SPEC | AGGREGATES


def test_where_data_comes_from_and_what_computes_changed(project: Project) -> None:
    settings = "data: {root: elsewhere, mirror: 'https://example.org'}\ndevice: {kind: cpu, jobs_per_gpu: 3}\n"
    project.edit("config.yaml", "scale: laptop\n", "scale: laptop\n" + settings)
    assert project.planned() == set()


def test_figure_code_edited(project: Project) -> None:
    project.edit("src/largestep/figures/style.py", "TEXT_WIDTH = 7.0", "TEXT_WIDTH = 7.1")
    # An animation has a size of its own.
    assert project.planned() == FIGURES | (STUDY_FIGURES - {("animation", "loss_slice")}) | {("scorecard", "")}


def test_study_edited(project: Project) -> None:
    project.edit("config.yaml", "starts: 10", "starts: 11")
    assert project.planned() == studies("bouncing") | SPEC | AGGREGATES


def test_figure_of_a_study_edited(project: Project) -> None:
    project.append("src/largestep/figures/phase_diagram.py", "UNUSED = 1\n")
    assert project.planned() == {("study_figure", "phase_diagram")}


def test_claim_edited(project: Project) -> None:
    project.append("src/largestep/claims/kinks.py", "UNUSED = 1\n")
    assert project.planned() == CLAIMS


def test_worker_added(project: Project) -> None:
    """The table of workers names them; a stage depends on the one that it uses."""
    mlp = '    "mlp": "largestep.models.mlp",\n'
    project.edit("src/largestep/stages.py", mlp, mlp + mlp.replace('"mlp"', '"more"'))
    assert project.planned() == set()


def test_nothing_that_matters_changed(project: Project) -> None:
    """Messages, comments, docstrings, types, the order and spelling of YAML, threads, resources, times of all files.

    `test_edits` has a row for each kind of edit of the code.
    """
    project.edit("src/largestep/store.py", "delete it and run again", "mend it and start anew")
    project.edit("src/largestep/cli.py", "error: out of memory", "error: no memory")
    project.edit("src/largestep/train.py", "NetCDF store of the losses to write", "where the losses go")
    project.edit("src/largestep/schedules.py", "law: Warmup | Rise, progress", "law: Rise | Warmup, progress")
    project.edit("src/largestep/schedules.py", '"""The step size of every step of a run', '"""Step sizes of a run')
    project.edit("src/largestep/schedules.py", "        step, law =", "        # A comment.\n        step, law =")
    project.edit("config.yaml", "{at: 0.5, divide_by: 4.0}", "{divide_by: 4, at: 0.50}")
    small = "      small: {step_size: 0.01}\n"
    project.edit("config.yaml", small + DIGITS_DECAY50, DIGITS_DECAY50 + small)
    project.edit("workflow/rules/train.smk", "threads: 1", "threads: 2")
    project.edit("workflow/rules/train.smk", "mem_mb=megabytes(3000)", "mem_mb=megabytes(3500)")
    for path in sorted(project.folder.rglob("*"), reverse=True):
        if ".snakemake" not in path.parts:
            os.utime(path)
    assert project.planned() == set()


def test_larger_scale_includes_the_smaller(project: Project) -> None:
    planned = project.planned("--config", "scale=paper")
    assert {("train_images", "later.small.0"), ("train_images", "later.small.1")} <= planned
    assert not chain(*CELLS) & planned
