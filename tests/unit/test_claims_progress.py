"""C8, C9, C10, C12 and C14: verdicts that follow made-up data, and rows for what cannot be asked."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import xarray as xr

from largestep.claims import alignment, column_norms, kinks, large_step_phase, layers, support, verdict
from largestep.claims.results import Results
from largestep.claims.verdict import Measured, Row, decide
from tests import made_up
from tests.draws import DRAWS
from tests.made_up import RUN, set_peaks, with_schedules

SEEDS = 12
SNAPSHOTS = np.arange(0, 1001, 100)
STEPS = np.arange(0, 1001, 20)
# Progress through the large-step phase, which ends at half of training.
PHASE = np.minimum(SNAPSHOTS / 500.0, 1.0)


def experiment(seed: int, arms: int, **measures: Callable[[np.random.Generator], np.ndarray]) -> xr.Dataset:
    """A small step and one that is large for half of training; each measure has shape (2, arms, SEEDS, 11)."""
    rng = np.random.default_rng(seed)
    loss = np.where((np.arange(2)[:, None] == 1) & (STEPS <= 500), 1.0, 1e-4)[:, None, None]
    losses = loss * np.exp(0.1 * rng.standard_normal((2, arms, SEEDS, len(STEPS))))
    drawn = {name: draw(rng) for name, draw in measures.items()}
    return made_up.experiment(
        {"small": 0.0, "decay50": 0.5},
        STEPS,
        {
            "train_loss": (("step",), losses),
            **{
                name: (("snapshot_step", *(f"{name}_part" for _ in values.shape[4:])), values)
                for name, values in drawn.items()
            },
        },
        {"snapshot_step": SNAPSHOTS},
        arms=["order", *(f"draw {draw}" for draw in range(1, arms))],
    )


def noise(rng: np.random.Generator, size: float, arms: int) -> np.ndarray:
    return size * rng.standard_normal((2, arms, SEEDS, len(SNAPSHOTS)))


def large_only(values: np.ndarray) -> np.ndarray:
    """A course along the snapshots for the large step, nothing for the small one."""
    return np.stack([np.zeros_like(values), values])[:, None, None]


def jacobian(effect: float, arms: int = 1, seed: int = 0) -> xr.Dataset:
    """Norms that change by `effect` decades over the large-step phase."""
    course = large_only(effect * PHASE)
    dataset = experiment(seed, arms, jacobian_norm=lambda rng: 10.0 ** (course + noise(rng, 0.1, arms)))
    columns = 10.0 ** (2 * course + noise(np.random.default_rng(seed + 1000), 0.05, arms))
    dataset["column_norm"] = ((*RUN, "snapshot_step", "column_quantile"), columns[..., None])
    return dataset.assign_coords(column_quantile=[0.5])


def predictor(effect: float, arms: int = 1, seed: int = 0, course: np.ndarray = PHASE) -> xr.Dataset:
    """A norm off the support that changes by `effect` decades along a course."""
    return experiment(
        seed,
        arms,
        off_support_norm=lambda rng: 10.0 ** (large_only(effect * course) + noise(rng, 0.2, arms)),
        off_support_median=lambda rng: 10.0 ** (large_only(effect * course) + noise(rng, 0.2, arms)),
    )


def functions(effect: float, arms: int = 1, seed: int = 0) -> xr.Dataset:
    """Kinks and slopes whose number changes by 20 `effect` and `effect` decades over the large-step phase."""
    course = large_only(PHASE)
    return experiment(
        seed,
        arms,
        kinks=lambda rng: np.round(50 + 20 * effect * course + noise(rng, 3.0, arms)),
        slope_variation=lambda rng: 10.0 ** (effect * course + noise(rng, 0.1, arms)),
    )


def students(effect: float, arms: int = 1, seed: int = 0) -> xr.Dataset:
    """Alignments that rise by `effect` and a first layer that moves 2 ** (4 `effect`) times as far."""
    course = large_only(effect * PHASE)
    first = 2.0 ** (4 * large_only(np.full(len(SNAPSHOTS), effect)))
    dataset = experiment(
        seed,
        arms,
        student_alignment=lambda rng: 0.6 + course + noise(rng, 0.05, arms),
        distance=lambda rng: (0.2 * first * np.exp(noise(rng, 0.1, arms)))[..., None],
    )
    teachers = 0.6 + course + noise(np.random.default_rng(seed + 1000), 0.05, arms)
    dataset["teacher_alignment"] = ((*RUN, "snapshot_step", "teacher_neuron"), np.stack([teachers, teachers], -1))
    return dataset.rename(distance_part="layer").assign_coords(layer=["layer 1"])


def deep(effect: float, arms: int = 1, seed: int = 0) -> xr.Dataset:
    """Three layers, of which the last moves as far as the others at the large step; `effect` octaves farther."""
    by_cell = 0.2 * 2.0 ** (effect * np.array([0.0, 1.0]))[:, None]
    by_layer = np.where((np.arange(2)[:, None] == 0) & (np.arange(3) == 2), 0.2 * 2.0**effect, by_cell)

    def moved(rng: np.random.Generator) -> np.ndarray:
        shape = (2, arms, SEEDS, len(SNAPSHOTS), 3)
        return by_layer[:, None, None, None] * np.exp(0.1 * rng.standard_normal(shape))

    dataset = experiment(seed, arms, distance=moved).rename(distance_part="layer")
    return dataset.assign_coords(layer=["layer 1", "layer 2", "layer 3"])


def phase_diagram(slope: float, seed: int = 0) -> xr.Dataset:
    """Errors on the support that grow like sqrt(step size x level of the loss) to the power of `slope`."""
    rng = np.random.default_rng(seed)
    sizes = np.linspace(0.1, 0.3, 6)
    level = np.broadcast_to(sizes[:, None, None] ** 3, (6, 2, SEEDS)) * np.exp(0.1 * rng.standard_normal((6, 2, SEEDS)))
    errors = np.sqrt(sizes[:, None, None] * level) ** slope * np.exp(0.1 * rng.standard_normal((6, 2, SEEDS)))
    dims = ("step_size", "decay_at", "seed")
    return xr.Dataset(
        {"phase_loss": (dims, level), "support_rmse": (dims, errors), "arm": ((), "order")},
        {"step_size": sizes, "decay_at": [0.1, 0.5], "seed": np.arange(SEEDS)},
        {"kind": "phase_diagram"},
    )


CASES = {
    column_norms: (jacobian, -0.5),
    kinks: (functions, -1.0),
    alignment: (students, 0.2),
    layers: (deep, 2.0),
}


def rows_of(module: object, data: xr.Dataset, **studies: xr.Dataset) -> list[Row]:
    name = "three_layer" if module is layers else "made_up"
    measured: list[Measured] = list(module.measured(Results({name: data}, studies)))
    return [row for row in decide(measured) if row.verdict not in ("not run", "not asked")]


@pytest.mark.parametrize("module", CASES)
def test_the_effect_is_supported(module: object) -> None:
    make, effect = CASES[module]
    rows = rows_of(module, make(effect))
    assert rows
    assert {row.verdict for row in rows} == {"supported"}
    assert {row.seeds for row in rows} == {SEEDS}


@pytest.mark.parametrize(
    ("module", "refuted"),
    [
        (column_norms, {column_norms.WHOLE, column_norms.MEDIAN, column_norms.AGAINST_SMALL, column_norms.WITH_NOISE}),
        (kinks, {kinks.SIMPLIFIES, kinks.STRAIGHTENS, kinks.FIRST, kinks.AGAINST_SHORT}),
        (alignment, {alignment.STUDENTS, alignment.TEACHERS, alignment.FARTHER}),
        (layers, {f"{statistic}, layer {i}" for statistic in (layers.NEARER, layers.EARLIER) for i in (1, 2)}),
    ],
)
def test_the_reverse_is_refuted(module: object, refuted: set[str]) -> None:
    make, effect = CASES[module]
    rows = rows_of(module, make(-effect))
    assert {row.statistic for row in rows if row.verdict == "refuted"} == refuted


# Which statistics speak of the effect alone; the others hold without it in these data.
PRESENT_ANYWAY = {
    kinks: {kinks.LATER},
    alignment: {alignment.STAYS},
    layers: {f"{layers.STAYS}, layer {i}" for i in (1, 2)},
}


def answers(module: object, data: xr.Dataset) -> list[dict[str, str]]:
    """The verdicts on headline statistics for each arm, as if it were a table of its own."""
    name = "three_layer" if module is layers else "made_up"
    every = list(module.measured(Results({name: data})))
    asked = {each.statistic for each in every if each.headline}
    verdicts = []
    for arm in data["arm"].values:
        own = [each for each in every if each.experiment == f"{name}/{arm}" and not each.missing]
        verdicts.append({row.statistic: row.verdict for row in decide(own) if row.statistic in asked})
    return verdicts


@pytest.mark.parametrize("module", [*CASES, support])
def test_power(module: object, monkeypatch: pytest.MonkeyPatch) -> None:
    """The paper's effect is found, and no effect is rarely taken for one."""
    monkeypatch.setattr(verdict, "RESAMPLES", 2000)  # the time of a test; verdicts hardly change
    make, effect = CASES.get(module, (predictor, -20.0))
    verdicts = answers(module, make(effect, DRAWS))
    assert sum(set(each.values()) == {"supported"} for each in verdicts) >= 0.95 * DRAWS
    none = answers(module, make(0.0, DRAWS))
    supported = [
        any(answer == "supported" and name not in PRESENT_ANYWAY.get(module, ()) for name, answer in each.items())
        for each in none
    ]
    assert len(supported) == DRAWS
    assert sum(supported) <= 0.05 * DRAWS


def test_exponential_decay_is_told_from_a_power_law() -> None:
    rows = {row.statistic: row for row in rows_of(support, predictor(-20.0))}
    assert {row.verdict for row in rows.values()} == {"supported"}
    # 4 decades per 1000 steps and decade of effect, counted from the first snapshot.
    assert rows[support.DECAYS].estimate == pytest.approx(-40.0, rel=0.05)
    power_law = np.log10(np.maximum(np.minimum(SNAPSHOTS, 500), 1.0) / 100.0)
    rows = {row.statistic: row for row in rows_of(support, predictor(-20.0, course=power_law))}
    assert rows[support.DECAYS].verdict == "supported"
    assert rows[support.EXPONENTIAL].verdict == "refuted"
    rows = {row.statistic: row for row in rows_of(support, predictor(20.0))}
    assert rows[support.DECAYS].verdict == rows[support.FASTER].verdict == "refuted"


def scaling(slope: float, seed: int = 0) -> Row:
    rows = rows_of(support, predictor(-20.0), phase_diagram=phase_diagram(slope, seed))
    return next(row for row in rows if row.statistic == support.SCALING)


def test_scaling_on_the_support() -> None:
    assert scaling(1.0).verdict == "supported"
    assert scaling(1.0).estimate == pytest.approx(1.0, abs=0.1)
    assert scaling(2.0).verdict == "refuted"
    assert scaling(0.0).verdict == "refuted"


def test_scaling_leaves_out_what_diverged() -> None:
    study = phase_diagram(1.0)
    study["support_rmse"][2:, :, 0] = np.nan  # two step sizes are too few for a slope
    study["support_rmse"][4:, :, 1] = np.nan
    for row in [row for row in decide(support.on_support("phase_diagram", study)) if not row.companion]:
        assert (row.seeds, row.diverged) == (SEEDS - 1, 1)
        assert row.estimate == pytest.approx(1.0, abs=0.1)


def test_scaling_where_the_loss_stabilises_is_a_row_of_its_own() -> None:
    study = phase_diagram(1.0)
    # At the three smallest step sizes the loss converges, and the error stays where it was.
    study["phase_loss"][:3, 1] = 1e-6 * study["phase_loss"][:3, 0]
    study["support_rmse"][:3, 1] = 0.3
    every, stable = decide(support.on_support("phase_diagram", study))
    assert (every.verdict, stable.verdict) == ("refuted", "supported")
    assert (every.headline, stable.headline) == (True, False)


@pytest.mark.parametrize("module", [*CASES, support])
def test_diverged_runs_are_left_out(module: object) -> None:
    make, effect = CASES.get(module, (predictor, -20.0))
    data = make(effect)
    lost = (data["cell"] == "decay50") & (data["seed"] < 3)
    for name, values in data.data_vars.items():
        if set(RUN) <= set(values.dims) and values.dtype.kind == "f":
            data[name] = values.where(~lost)
    data["diverged_step"] = data["diverged_step"].where(~lost, 5)
    rows = rows_of(module, data)
    assert {(row.seeds, row.diverged) for row in rows} <= {(SEEDS - 3, 3), (SEEDS, 0)}
    assert (SEEDS - 3, 3) in {(row.seeds, row.diverged) for row in rows}


def test_columns_that_vanish_do_not_outweigh_the_rest() -> None:
    data = jacobian(-0.5)
    data["column_norm"][1, :, 0, 4:] = 0.0
    row = next(row for row in rows_of(column_norms, data) if row.statistic == column_norms.MEDIAN)
    assert -1.5 < row.estimate < -0.8


@pytest.mark.parametrize("module", [*CASES, support])
def test_what_cannot_be_asked_says_so(module: object) -> None:
    without = decide(module.measured(Results()))
    assert without
    assert all(row.verdict == "not run" and row.note.startswith("not run") for row in without)
    make, effect = CASES.get(module, (predictor, -20.0))
    constant = make(effect).isel(cell=[0])
    name = "three_layer" if module is layers else "made_up"
    rows = [row for row in decide(module.measured(Results({name: constant}))) if row.experiment == name]
    expected = "not run" if module is alignment else "not asked"
    assert [row.verdict for row in rows] == [expected]


@pytest.mark.parametrize("module", [column_norms, kinks, support])
def test_without_a_small_step_the_rest_is_asked(module: object) -> None:
    make, effect = CASES.get(module, (predictor, -20.0))
    rows = decide(module.measured(Results({"made_up": make(effect).isel(cell=[1])})))
    rows = [row for row in rows if row.experiment == "made_up/order"]
    assert sum(row.verdict == "not asked" for row in rows) == 1
    assert sum(row.verdict == "supported" for row in rows) == len(rows) - 1


def test_a_short_phase_counts_as_the_small_step_once_it_is_over() -> None:
    data = jacobian(-0.5)
    assert large_step_phase.small_step(data)["cell"] == "small"
    data = with_schedules(data, [0.02, 0.5])
    assert large_step_phase.small_step(data)["cell"] == "small"
    data = with_schedules(data, [0.3, 0.5])
    assert large_step_phase.small_step(data) is None


def test_a_phase_up_to_the_first_snapshot_is_not_a_small_step() -> None:
    data = jacobian(-0.5)
    data = with_schedules(data, [0.0998, 0.5])  # 99.9 of 1001 steps, the snapshot being taken at 100
    assert large_step_phase.small_step(data) is None


def test_a_large_constant_step_is_not_the_small_one() -> None:
    data = jacobian(-0.5)
    data["step_size"][0] = 1.0
    set_peaks(data)
    assert large_step_phase.small_step(data) is None
    assert large_step_phase.longest(data)["cell"] == "decay50"


def classifier(effect: float, matched: bool = False, seed: int = 0) -> xr.Dataset:
    """`deep` as the parts of an image classifier; matched: with a third cell, whose large steps last shorter."""
    data = deep(effect, seed=seed)
    data = data.assign_coords(layer=["stem", "stage 1", "head"])
    data["test_error"] = data["train_loss"]
    if not matched:
        return data
    shorter = with_schedules(data.isel(cell=[1]).assign_coords(cell=["decay30"]), [0.3])
    return xr.concat([data.isel(cell=[0]), shorter, data.isel(cell=[1])], dim="cell")


def test_every_image_classifier_is_asked_for_its_layers() -> None:
    classifiers = {
        "three_layer": deep(2.0),
        "digits_momentum": classifier(2.0),
        "fashion": classifier(-2.0, matched=True),
        "toy": deep(2.0),  # neither three_layer nor a classifier
    }
    rows = [row for row in decide(layers.measured(Results(classifiers))) if row.verdict != "not run"]
    assert {row.experiment for row in rows} == {"three_layer/order", "digits_momentum/order", "fashion/order"}
    nearer = {row.experiment: row.verdict for row in rows if row.statistic == f"{layers.NEARER}, stem"}
    assert nearer == {"digits_momentum/order": "supported", "fashion/order": "refuted"}
    headlines = {row.experiment for row in rows if row.headline}
    assert headlines == {"three_layer/order", "fashion/order"}
    alone = layers.measured(Results({"digits": classifier(2.0)}))
    assert {each.experiment for each in alone if each.headline} == {"digits/order"}


def test_classifiers_without_a_small_step_are_not_asked_for_their_layers() -> None:
    large = classifier(2.0, matched=True).isel(cell=[1, 2])
    rows = decide(layers.measured(Results({"digits": classifier(2.0), "fashion_matched": large})))
    (row,) = [row for row in rows if row.experiment == "fashion_matched"]
    assert row.verdict == "not asked"
    # Matched, but with nothing to compare: the answer goes on resting on the others.
    assert {row.experiment for row in rows if row.headline} == {"digits/order"}
    constant = classifier(2.0)
    constant["step_size"][0] = 1.0
    set_peaks(constant)
    (row,) = [row for row in decide(layers.measured(Results({"d": constant}))) if row.experiment == "d"]
    assert row.verdict == "not asked"


def test_classifiers_of_larger_scales_are_named() -> None:
    later = {"three_layer": "laptop", "digits_matched": "workstation", "resnet": "paper", "digits_sam": "workstation"}
    comparisons = {"three_layer": "dense", "digits_matched": "resnet18", "resnet": "resnet18"}
    rows = decide(layers.measured(Results(later=later, later_comparisons=comparisons)))
    assert [(row.experiment, row.verdict) for row in rows] == [
        ("three_layer", "not run"),
        ("digits_matched", "not run"),
        ("resnet", "not run"),
    ]
    assert "scale=paper" in rows[-1].note


def test_a_layer_that_never_moves_has_a_ratio() -> None:
    data = classifier(2.0)
    data["distance"][:, :, :, :, 1] = 0.0
    rows = {row.statistic: row for row in decide(layers.measured(Results({"d": data}))) if row.experiment == "d/order"}
    assert rows[f"{layers.NEARER}, stage 1"].estimate == 0.0
    assert rows[f"{layers.EARLIER}, stage 1"].verdict == "supported"


def test_snapshots_of_the_phase_are_those_after_the_start_up_to_the_decay() -> None:
    cell = large_step_phase.longest(jacobian(-0.5))
    assert SNAPSHOTS[large_step_phase.snapshots_inside(cell)].tolist() == [100, 200, 300, 400, 500]


def test_one_statement_per_claim() -> None:
    claims = [claim for module in (*CASES, support) for claim in module.CLAIMS]
    assert sorted(claims) == ["C10", "C12", "C14", "C8", "C9"]
