"""Tables of small made-up experiments against values computed by hand."""

from __future__ import annotations

import io
import re
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy.stats import bootstrap

from largestep import store, tables
from largestep.store import variable
from tests import made_up
from tests.made_up import RUN, with_schedules

TRAINING = "steps 10, batch_size 1, loss mse"
FINAL = np.array([1.0, 2.0, 3.0, 4.0, 50.0])


@pytest.fixture
def experiment() -> xr.Dataset:
    """Two cells, two arms, five seeds; of cell `large`, seed 4 diverged in one arm and all in the other.

    In the arm `order`, seeds 0 and 1 of `large` are dead.
    """
    final = np.stack([FINAL, 2 * FINAL])[:, None].repeat(2, axis=1)
    diverged = np.full(final.shape, -1)
    diverged[1, 0, 4] = diverged[1, 1] = 7
    final = np.where(diverged < 0, final, np.nan)
    over_time = np.stack([np.full_like(final, 9.0), final], axis=-1)
    sweep = np.stack([over_time, over_time + 10], axis=-1)
    blocks = np.stack([sweep, 2 * sweep], axis=-2) / 1000
    active = np.where(np.isnan(blocks[..., 0]), np.nan, 0.5)
    active[1, 0, :2, -1, 1] = 0.0
    dataset = made_up.experiment(
        {"small": 0.0, "large": 0.5},
        [0, 9],
        {
            "train_loss": (("step",), over_time / 1e5),
            "test_error": (("step",), over_time, "percent"),
            "rank": (("snapshot_step", "rank_threshold"), sweep),
            "feature_sparsity": (("snapshot_step", "block", "correlation_threshold"), blocks),
            "active_fraction": (("snapshot_step", "block"), active),
        },
        {
            "snapshot_step": [0, 9],
            "block": [1, 2],
            "rank_threshold": [1e-4, 1e-3],
            "correlation_threshold": [0.99, 0.9],
        },
        arms=["order", "data"],
        sizes=(0.1, 0.4, 0.2),
        diverged_step=diverged,
        title="Toys & tests_1: 100% made up",
        paper="Fig. 0",
        training=TRAINING,
    )
    return dataset.assign(
        published_rank=variable(("cell",), [26.0, np.nan], "1", "the paper's"),
        published_test_error=variable(("cell",), [35.3, 12.0], "percent", "the paper's"),
        published_feature_sparsity=variable(("cell", "block"), [[0.263, 0.5], [0.063, 0.4]], "1", "the paper's"),
    )


def rows(frame: pd.DataFrame, **wanted: object) -> pd.DataFrame:
    for column, value in wanted.items():
        frame = frame[frame[column] == value]
    return frame


def only(frame: pd.DataFrame, **wanted: object) -> pd.Series:
    chosen = rows(frame, **wanted)
    assert len(chosen) == 1
    return chosen.iloc[0]


def test_has_one_row_for_everything(experiment: xr.Dataset) -> None:
    frame = tables.table(experiment)
    # Loss, error, rank at 2 thresholds, sparsity of 2 blocks at 2 thresholds, activity of 2 blocks; 2 cells and 2 arms.
    assert len(frame) == (1 + 1 + 2 + 4 + 2) * 2 * 2
    measures = ["train_loss", "test_error", "rank", "feature_sparsity", "active_fraction"]
    assert list(frame["measure"].unique()) == measures
    keys = ["arm", "measure", "block", "threshold", "cell"]
    assert not frame.duplicated(keys).any()


def test_equals_what_is_computed_by_hand(experiment: xr.Dataset) -> None:
    frame = tables.table(experiment)
    small = only(frame, measure="train_loss", arm="order", cell="small")
    assert (small["median"], small["seeds"], small["diverged"]) == (pytest.approx(3e-5), 5, 0)
    assert small["interval_low"] == pytest.approx(1e-5)
    assert small["interval_high"] == pytest.approx(5e-4)
    large = only(frame, measure="train_loss", arm="order", cell="large")
    assert (large["median"], large["diverged"]) == (pytest.approx(5e-5), 1)  # of 2, 4, 6 and 8
    sweep = rows(frame, measure="rank", arm="order", cell="small")
    assert list(sweep["threshold"]) == [1e-4, 1e-3]
    assert list(sweep["median"]) == [3.0, 13.0]
    second = only(frame, measure="feature_sparsity", arm="order", cell="large", block=2, threshold=0.9)
    assert (second["median"], second["units"]) == (pytest.approx(2 * 15 / 1000), "1")


def test_the_papers_value_stands_at_the_papers_threshold(experiment: xr.Dataset) -> None:
    frame = tables.table(experiment)
    np.testing.assert_equal(
        rows(frame, measure="rank", cell="small", arm="data")["published"].to_numpy(), [26.0, np.nan]
    )
    sparsity = rows(frame, measure="feature_sparsity", cell="large", arm="order", threshold=0.99)
    assert list(sparsity["published"]) == [0.063, 0.4]
    assert only(frame, measure="test_error", cell="small", arm="order")["published"] == pytest.approx(35.3)
    assert np.isnan(only(frame, measure="train_loss", cell="small", arm="order")["published"])


def test_without_survivors_there_is_no_value(experiment: xr.Dataset) -> None:
    lost = rows(tables.table(experiment), arm="data", cell="large")
    assert lost[["median", "interval_low", "interval_high"]].isna().all(axis=None)
    assert set(lost["diverged"]) == {5}


def test_counts_dead_runs_beside_diverged_ones(experiment: xr.Dataset) -> None:
    frame = tables.table(experiment)
    assert list(frame.columns[list(frame.columns).index("diverged") :])[:2] == ["diverged", "dead"]
    assert set(rows(frame, arm="order", cell="large")["dead"]) == {2}
    assert set(rows(frame, arm="order", cell="small")["dead"]) == {0}
    assert set(rows(frame, arm="data")["dead"]) == {0}
    without = tables.table(experiment.drop_vars(["active_fraction", "feature_sparsity"]))  # diagonal networks
    assert set(without["dead"]) == {0}
    for text in (tables.markdown(frame, "Made up", TRAINING), tables.latex(frame, "Made up", TRAINING)):
        assert "perfectly sparse, but constant" in text
        assert "include dead runs" in text


def with_phase(experiment: xr.Dataset) -> xr.Dataset:
    """The experiment with measures of the large-step phase, where two runs never stabilise."""
    nothing = np.full((2, 2, 5), np.nan)
    onset, fraction, slope = nothing.copy(), nothing.copy(), nothing.copy()
    onset[1, 0, :4] = [1.0, np.nan, 3.0, np.nan]
    fraction[1, 0, :4] = [0.4, 0.0, 0.2, 0.0]
    slope[1, 0, :4] = [-0.1, -0.9, 0.3, -0.5]
    return experiment.assign(
        stabilisation_onset=variable(RUN, onset, "step", "onset"),
        stabilisation_fraction=variable(RUN, fraction, "1", "duration"),
        stabilisation_slope=variable(RUN, slope, "1", "slope"),
    )


def test_the_large_step_phase_has_rows_for_cells_with_a_decay(experiment: xr.Dataset) -> None:
    frame = tables.table(with_phase(experiment))
    assert len(frame) == len(tables.table(experiment)) + 3 * 2  # three measures of one cell in two arms
    assert set(rows(frame, measure="stabilisation_onset")["cell"]) == {"large"}
    onset = only(frame, measure="stabilisation_onset", arm="order")
    assert (onset["median"], onset["measured"], onset["seeds"], onset["diverged"]) == (2.0, 2, 5, 1)
    assert only(frame, measure="stabilisation_fraction", arm="order")["median"] == pytest.approx(0.1)
    assert only(frame, measure="stabilisation_slope", arm="order")["median"] == pytest.approx(-0.3)
    lost = only(frame, measure="stabilisation_slope", arm="data")
    assert (np.isnan(lost["median"]), lost["measured"], lost["diverged"]) == (True, 0, 5)
    assert list(rows(frame, measure="rank")["measured"]) == list(5 - rows(frame, measure="rank")["diverged"])


def test_says_how_many_runs_stabilise(experiment: xr.Dataset) -> None:
    frame = tables.table(with_phase(experiment))
    lines = [re.sub(r"\s+", " ", line) for line in tables.markdown(frame, "Made up", TRAINING).splitlines()]
    start = "| large step, decay at 50% |"
    assert f"| training loss stabilises at | step {start} 2 [1, 3], 2 runs | 5 | 1 | 2 | – |" in lines
    assert f"| training with a stable loss | % {start} 10 [0, 40] | 5 | 1 | 2 | – |" in lines
    assert any(
        line.startswith(f"| change of the training loss before the decay | decades {start} -0.3") for line in lines
    )
    assert r"\emph{training loss stabilises at (step)}" in tables.latex(frame, "Made up", TRAINING)


def test_dead_units_and_ranks_of_features_have_rows_for_every_block(experiment: xr.Dataset) -> None:
    sparsity = experiment["feature_sparsity"].isel(correlation_threshold=0, drop=True).assign_attrs(units="1")
    frame = tables.table(experiment.assign(dead_fraction=sparsity, feature_effective_rank=1000 * sparsity))
    for measure, factor in (("dead_fraction", 1.0), ("feature_effective_rank", 1000.0)):
        second = only(frame, measure=measure, arm="order", cell="small", block=2)
        assert (second["median"], np.isnan(second["threshold"])) == (pytest.approx(factor * 0.006), True)
        assert np.isnan(second["published"])
    lines = [re.sub(r"\s+", " ", line) for line in tables.markdown(frame, "Made up", TRAINING).splitlines()]
    assert "| dead units, block 2 | % | small step, constant | 0.6 [0.2, 10] | 5 | 0 | 0 | – |" in lines
    assert any(line.startswith("| effective rank of the features, block 1 | 1 | small step") for line in lines)


def test_annealed_cells_have_values_but_no_large_step_phase(experiment: xr.Dataset) -> None:
    annealed = with_phase(experiment).assign(step_size=(("cell", "step"), [[0.4, 0.1], [0.2, 0.1]]))
    annealed = with_schedules(annealed, [0.5, np.nan])
    frame = tables.table(annealed)
    assert set(rows(frame, cell="large")["schedule"]) == {"cosine annealing, peak η 0.2"}
    assert set(rows(frame, measure="stabilisation_slope")["cell"]) == {"small"}
    # The label is the same in all rows, whether the annealed cell has the measure or not.
    assert set(rows(frame, cell="small")["schedule"]) == {"large step, decay at 50%, peak η 0.4"}


def test_a_block_for_which_the_paper_reports_nothing_has_a_dash(experiment: xr.Dataset) -> None:
    experiment["published_feature_sparsity"][:, 0] = np.nan
    frame = tables.table(experiment)
    first = rows(frame, measure="feature_sparsity", block=1)
    assert first["published"].isna().all()
    assert (
        only(frame, measure="feature_sparsity", block=2, cell="small", arm="order", threshold=0.99)["published"] == 0.5
    )


def test_effective_rank_has_no_threshold(experiment: xr.Dataset) -> None:
    without = experiment["rank"].isel(rank_threshold=0, drop=True).assign_attrs(units="1")
    frame = tables.table(experiment.assign(effective_rank=without))
    assert list(frame["measure"].unique())[2:4] == ["rank", "effective_rank"]
    mine = only(frame, measure="effective_rank", arm="order", cell="small")
    assert (mine["median"], np.isnan(mine["threshold"])) == (3.0, True)


def test_interval_is_that_of_the_bootstrap() -> None:
    values = np.random.default_rng(1).normal(size=40)
    draws = np.random.default_rng(2).choice(values, (20_000, 40))
    expected = np.percentile(np.median(draws, axis=1), [2.5, 97.5])
    np.testing.assert_allclose(tables.interval(values), expected, atol=0.05)
    for few in (values, values[:7], values[:2], np.round(values)):
        by_scipy = bootstrap(
            (few,), np.median, n_resamples=tables.RESAMPLES, method="percentile", rng=np.random.default_rng(0)
        )
        assert tables.interval(few) == tuple(by_scipy.confidence_interval)
    assert tables.interval(np.array([2.0, 2.0, 2.0])) == (2.0, 2.0)
    assert np.isnan(tables.interval(np.array([2.0]))).all()
    assert np.isnan(tables.interval(np.array([]))).all()


def test_markdown_is_for_readers(experiment: xr.Dataset) -> None:
    text = tables.markdown(tables.table(experiment), "Made up", TRAINING)
    assert "nan" not in text.lower()
    assert text.count("## ") == 2
    lines = [re.sub(r"\s+", " ", line) for line in text.splitlines()]
    assert "| training loss | 1 | small step, constant | 3e-05 [1e-05, 0.0005] | 5 | 0 | 0 | – |" in lines
    assert "| test error | % | small step, constant | 3 [1, 50] | 5 | 0 | 0 | 35.3 |" in lines
    sparsity = "| feature sparsity, block 1, correlation 0.99 | % | large step, decay at 50% "
    assert f"{sparsity}| 0.5 [0.2, 0.8] | 5 | 1 | 2 | 6.3 |" in lines
    assert f"{sparsity}| – | 5 | 5 | 0 | 6.3 |" in lines


def test_latex_is_escaped_and_plain(experiment: xr.Dataset) -> None:
    experiment = with_schedules(experiment, [0.5, 0.5])  # labels with the peak step size, a Greek letter
    text = tables.latex(tables.table(experiment), experiment.attrs["title"], TRAINING)
    assert text.isascii()
    assert r"Toys \& tests\_1: 100\% made up" in text
    assert not re.search(r"(?<!\\)[%#]", text.removeprefix("%"))
    assert r"$3 \times 10^{-5}$" in text
    assert r"peak $\eta$ 0.4" in text
    assert "nan" not in text.lower()
    for line in text.splitlines():
        assert len(re.findall(r"(?<!\\)&", line)) in (0, 5), line
        assert line.count("{") == line.count("}"), line
        assert len(re.findall(r"(?<!\\)\$", line)) % 2 == 0, line
    assert r"\emph{feature sparsity, block 1, correlation 0.99 (\%)}" in text
    for part in ("toprule", "midrule", "bottomrule", "begin{longtable}", "end{longtable}"):
        assert f"\\{part}" in text


def test_command_line(experiment: xr.Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / "largestep.nc"
    one = experiment.isel(cell=[0]).sel(arm=["data"]).drop_vars("test_error")
    store.write_tree(source, {"one": one}, title="", spec="", code="")
    files = {kind: tmp_path / "tables" / f"one.{kind}" for kind in ("csv", "md", "tex")}
    options = [part for kind, path in files.items() for part in (f"--{kind}", str(path))]
    monkeypatch.setattr(sys, "argv", ["tables", "--experiment", "one", "--input", str(source), *options])
    tables.main()
    assert {path.name for path in (tmp_path / "tables").iterdir()} == {"one.csv", "one.md", "one.tex"}
    frame = pd.read_csv(io.StringIO(files["csv"].read_text()))
    assert list(frame["measure"].unique()) == ["train_loss", "rank", "feature_sparsity", "active_fraction"]
    assert frame["median"].iloc[0] == pytest.approx(3e-5)
    assert "%" not in set(frame["units"])


def test_a_block_with_negative_values_is_named(experiment: xr.Dataset) -> None:
    negative = xr.zeros_like(experiment["active_fraction"])
    negative[0, 1, 2, 0, 1] = 0.01  # in one run of one cell
    frame = tables.table(experiment.assign(negative_fraction=negative))
    assert set(frame["block"][frame["negative_values"]]) == {2}
    shown = tables.markdown(frame, "t", "t")
    assert "| feature sparsity, block 2 (has negative values), correlation 0.9 " in shown
    assert "block 1 (has" not in shown


def test_a_measure_of_the_end_alone_has_its_row(experiment: xr.Dataset) -> None:
    ended = experiment["rank"].isel(snapshot_step=-1, drop=True)
    frame = tables.table(experiment.assign(rescaled_rank=ended))
    alike = [rows(frame, measure=name)["median"] for name in ("rescaled_rank", "rank")]
    np.testing.assert_array_equal(*alike)
