"""docs/extending.md: what it adds is added to a copy of the package, as the page says, and runs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr
import yaml

from tests.conftest import REPOSITORY, Project, made_once, make_project

PAGE = (REPOSITORY / "docs/extending.md").read_text()
SECTIONS = {part.partition("\n")[0]: part for part in PAGE.split("\n## ")[1:]}
# Most existing files of src that each may change.
MOST = {"toy network": 2, "optimiser setting": 2, "measure": 1, "study": 0, "view": 1, "claim": 1}
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"`(src/[\w/]+\.py)`")


def section(what: str) -> str:
    return next(text for title, text in SECTIONS.items() if re.fullmatch(f"An? {what}", title))


def blocks(what: str) -> Iterator[tuple[str, str, str]]:
    """Every block of code: its language, its text, and the file that was named last before it."""
    text = section(what)
    for match in BLOCK.finditer(text):
        named = FILE.findall(text, 0, match.start())
        yield match[1], match[2], named[-1] if named else ""


def settings(what: str) -> dict[str, object]:
    """The configuration that a section gives."""
    [mapping] = [yaml.safe_load(text) for language, text, _ in blocks(what) if language == "yaml"]
    return dict(mapping)


def add(project: Project, what: str) -> tuple[set[str], set[str]]:
    """Make the changes that a section asks for. Returns the files that are changed, and those that are new."""
    changed, new = set(), set()
    project.own_source()
    for language, text, file in blocks(what):
        if language == "python":
            assert not (project.folder / file).exists()
            (project.folder / file).write_text(text)
            new.add(file)
        elif language == "diff":
            lines = text.removesuffix("\n").split("\n")
            before = "\n".join(line[1:] for line in lines if line[:1] != "+")
            assert (project.folder / file).read_text().count(before) == 1, f"{file}: {before}"
            project.edit(file, before, "\n".join(line[1:] for line in lines if line[:1] != "-"))
            changed.add(file)
    return changed, new


@pytest.mark.parametrize("what", MOST)
def test_counts_are_those_of_the_page(what: str, tmp_path: Path) -> None:
    project = make_project(tmp_path)
    changed, new = add(project, what)
    assert len(changed) <= MOST[what]
    said = re.search(rf"^\| {what} \| (\d) \| (.*) \|$", PAGE, re.MULTILINE)
    assert said is not None
    assert int(said[1]) == len(changed)
    assert len(new) == (0 if said[2] == "–" else said[2].count(",") + 1)


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Project:
    """The toy network and the optimiser setting, after a run of them alone."""
    return made_once(tmp_path_factory, worker_id, "network", run_network)


def run_network(folder: Path) -> None:
    """Add both to a project in a folder, and run what they need."""
    project = make_project(folder)
    added = {}
    for what in ("toy network", "optimiser setting"):
        add(project, what)
        for key, entries in settings(what).items():
            added[key] = added.get(key, {}) | entries
    names = [name for entries in added.values() for name in entries]
    (project.folder / "added.yaml").write_text(yaml.safe_dump(added | {"only": names}))
    shown = [f"results/figures/{name}.png" for name in added["studies"]]
    shown += [f"results/figures/two_layer_{view}.png" for view in added["experiments"]["two_layer"]["views"]]
    project.snakemake("--cores", "2", "--configfile", "added.yaml", "--", "results/summary.csv", *shown)


def test_a_network_is_measured_and_studied(network: Project) -> None:
    tree = xr.open_datatree(network.folder / "results/largestep.nc")
    measured = tree["two_layer"].to_dataset()
    for name in ("rank", "effective_rank", "l0", "jacobian_norm", "off_support_norm", "distance"):
        assert np.isfinite(measured[name]).all(), name
    assert (measured["train_loss"].isel(step=-1) < 0.1 * measured["train_loss"].isel(step=0)).all()
    for study in ("flows", "phases", "sharpness"):
        dataset = tree[f"studies/two_layer_{study}"].to_dataset()
        assert (dataset["diverged_step"] < 0).all()
    # SGD and the SDE of one seed start at the same point.
    flows = tree["studies/two_layer_flows"]["train_loss"]
    np.testing.assert_allclose(flows.isel(step=0).std("algorithm"), 0.0, atol=1e-15)


def test_its_step_and_its_hessian_are_those_of_autograd(network: Project) -> None:
    """Nesterov's momentum as torch has it, from the same parameters."""
    results = network.folder / "results"
    data = xr.open_dataset(results / "data/nesterov.nc").isel(data_set=0)
    cell = results / "cells/nesterov.small"
    start = xr.open_dataset(cell / "snapshots.nc")["parameters"].sel(arm="order").isel(seed=1, snapshot_step=0)
    expected = xr.open_dataset(cell / "train.nc")["train_loss"].sel(arm="order").isel(seed=1).values
    x, y = torch.tensor(data["train_inputs"].values), torch.tensor(data["train_labels"].values)
    w, v = (torch.tensor(part, requires_grad=True) for part in np.split(start.values, [30]))
    optimiser = torch.optim.SGD([w, v], lr=0.02, momentum=0.9, nesterov=True)
    losses = []
    for _ in expected:
        loss = 0.5 * ((x @ w.reshape(3, 10).T @ v - y) ** 2).mean()
        losses.append(float(loss.detach()))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    np.testing.assert_allclose(expected, losses, rtol=1e-10)


def test_claims_find_the_network(network: Project) -> None:
    claims = pd.read_csv(network.folder / "results/claims.csv")
    rows = claims[claims["experiment"].str.startswith("two_layer/")]
    assert {"C3", "C4", "C5", "C9"} <= set(rows[rows["seeds"] > 0]["claim"])


@pytest.fixture(scope="module")
def shown(finished: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A finished study to which a measure, a study, a view and a claim are added, after a run of what they need."""
    project = finished.copy(tmp_path_factory.mktemp("shown") / "project")
    for what in ("measure", "study", "view", "claim"):
        add(project, what)
    config = yaml.safe_load((project.folder / "config.yaml").read_text())
    config["studies"] |= settings("study")["studies"]
    config["experiments"]["diagonal"] |= settings("view")["experiments"]["diagonal"]
    (project.folder / "config.yaml").write_text(yaml.safe_dump(config))
    return project


TARGETS = ("results/summary.csv", "results/tables/points.csv")
FIGURES = (
    "results/figures/points_progress.png",
    "results/figures/diagonal_trade_off.png",
    "results/figures/barrier.png",
)


def test_additions_rerun_nothing_else(shown: Project) -> None:
    """And then they are there."""
    planned = {job for job in shown.planned("--", *TARGETS, *FIGURES) if job[0] in ("train", "features", "study")}
    cells = {"points.decay2", "points.decay50", "teacher.small"}
    assert planned == {("features", cell) for cell in cells} | {("study", "controls"), ("study", "barrier")}
    shown.snakemake("--cores", "2", "--", *TARGETS, *FIGURES)
    results = shown.folder / "results"
    tree = xr.open_datatree(results / "largestep.nc")
    assert ((tree["points"]["hoyer"] > 0) & (tree["points"]["hoyer"] < 1)).all()
    assert np.isfinite(tree["studies/barrier"]["loss"]).all()
    table = pd.read_csv(results / "tables/points.csv")
    assert len(table[table["measure"] == "hoyer"]) == 2
    claims = pd.read_csv(results / "claims.csv")
    assert claims[claims["claim"] == "C90"]["seeds"].tolist() == [3]
    assert "C90" in pd.read_csv(results / "summary.csv")["claim"].tolist()
