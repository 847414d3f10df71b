"""Generated settings at the edge of sense, oddly spelt: refused in one line, or trained as a plain loop does.

Whoever wrote a value means it as a person reads it. A file that is accepted must mean the same, and every loss and
parameter must be that of a loop in NumPy; a file may be refused only for a spelling that YAML takes otherwise, or for a
reason that is worked out here without the package.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from largestep import config, grid, sparsity, stages
from largestep.measures import RUN, linear_features
from largestep.specs.cells import SparsitySpec
from largestep.toys import train as toy
from largestep.toys.orders import Orders
from tests.reliability.conftest import Counted
from tests.reliability.generated import drawn

# Beyond this a run is about to diverge, and rounding decides when.
LARGE = 1e8
Draw = Any


@dataclass(frozen=True)
class Spelt:
    """A value as it stands in the file, what a reader takes it for, and whether YAML takes it for the same."""

    text: str
    meant: Any
    understood: bool = True


def whole(draw: Draw, value: int) -> Spelt:
    spellings = [
        Spelt(str(value), value),
        Spelt(f"+{value}", value),
        Spelt(hex(value), value),
        Spelt(f"{value}_", value) if value > 9 else Spelt(f"0b{value:b}", value),
        Spelt(f"0{value}", value, False),
        Spelt(f"{value}.0", value, False),
        Spelt(f"'{value}'", value, False),
        Spelt(f"{value}e0", value, False),
    ]
    return draw(st.sampled_from([*spellings[:4] * 150, *spellings[4:]]))


def real(draw: Draw, value: float) -> Spelt:
    mantissa, exponent = f"{value:.6e}".split("e")
    value, power = float(f"{mantissa}e{exponent}"), int(exponent)
    spellings = [
        Spelt(f"{mantissa}e{exponent}", value),
        Spelt(f"+{mantissa}E{power:+d}" if value >= 0 else f"{mantissa}E{power:+d}", value),
        Spelt(f"{mantissa}e{power}", value, power < 0),
        Spelt(f"'{mantissa}e{exponent}'", value, False),
        Spelt(f"{value:.0f}e-1", float(f"{value:.0f}e-1"), False),
    ]
    return draw(st.sampled_from([*spellings[:2] * 250, *spellings[2:]]))


def text_of(value: Any) -> str:
    if isinstance(value, Spelt):
        return value.text
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {text_of(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(text_of, value)) + "]"
    return "null" if value is None else str(value)


def meant(value: Any) -> Any:
    if isinstance(value, Spelt):
        return value.meant
    if isinstance(value, dict):
        return {key: meant(each) for key, each in value.items()}
    return [meant(each) for each in value] if isinstance(value, list) else value


def understood(value: Any) -> bool:
    if isinstance(value, Spelt):
        return value.understood
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return all(map(understood, parts))


@st.composite
def experiments(draw: Draw) -> dict[str, Any]:
    """An experiment on a diagonal network."""

    def number(low: float, high: float) -> Spelt:
        return real(draw, draw(st.floats(low, high)))

    def count(low: int, high: int) -> Spelt:
        return whole(draw, draw(st.integers(low, high)))

    examples, dimension = count(1, 6), count(1, 5)
    steps = draw(st.sampled_from([40, 30, 20, 40, 10, 5, 3, 2]))
    zero = Spelt("0", 0.0)
    training = {
        "steps": whole(draw, steps),
        "batch_size": draw(st.sampled_from([count(1, examples.meant)] * 5 + [count(1, 6), Spelt("full", "full")])),
        "loss": draw(st.sampled_from(["half_mse", "mse"])),
        "seeds": count(1, 2),
        "arms": draw(st.sampled_from([["order"], ["data"], ["order", "data"]] * 6 + [["data", "order", "data"]])),
        "snapshots": count(2, 4),
        "evaluations": count(2, 50),
    }
    optional = {
        "momentum": lambda: number(0.1, 0.99),
        "weight_decay": lambda: number(0.0, 1.0),
        "label_noise": lambda: number(0.01, 2.0),
        "sam_radius": lambda: number(0.001, 1.0),
        "sampling": lambda: draw(st.sampled_from(["with_replacement", "without_replacement", "reshuffled", "cyclic"])),
        "decay_after_update": lambda: draw(
            st.sampled_from([Spelt("true", True), Spelt("on", True), Spelt("No", False), Spelt("'yes'", True, False)])
        ),
    }
    for key in draw(st.lists(st.sampled_from(sorted(optional)), max_size=2, unique=True)):
        training[key] = optional[key]()
    few = st.lists(st.sampled_from([1e-300, 1e-4, 0.01, 0.5, 10.0]), min_size=1, max_size=3, unique=True)
    thresholds = draw(few) * draw(st.sampled_from([1] * 19 + [2]))
    return {
        "data": {
            "kind": "sparse_regression",
            "examples": examples,
            "dimension": dimension,
            "support": count(1, draw(st.sampled_from([1, 1, 1, 3]))),
            "test_examples": count(1, 3),
            "seed": count(0, 3),
        },
        "model": {
            "kind": "diagonal",
            "u": draw(st.sampled_from([number(0.01, 2.0), number(-1.0, -0.01), number(0.1, 1.0), zero])),
            "v": draw(st.sampled_from([zero, number(-0.5, 0.5)])),
        },
        "training": training,
        "measures": {
            "rank_thresholds": [Spelt("0.1", 0.1)],
            "l0_thresholds": [real(draw, each) for each in thresholds],
        },
        "cells": {name: draw(cells()) for name in ("one", "two")[: draw(st.integers(1, 2))]},
    }


@st.composite
def cells(draw: Draw) -> dict[str, Any]:
    """Step sizes from far too small to far too large, and every kind of schedule."""

    def number(low: float, high: float) -> Spelt:
        return real(draw, draw(st.floats(low, high)))

    size = draw(st.sampled_from([number(0.01, 0.3), number(0.01, 0.3), number(1e-12, 1e-9), number(10.0, 1e6)]))
    decay = st.sampled_from([0.01, 0.1, 0.1001, 0.3, 0.5, 0.75, 0.99])
    times = draw(st.lists(decay, max_size=2))
    decays = [
        {"at": real(draw, at), "divide_by": draw(st.sampled_from([number(1.5, 20.0)] * 19 + [number(0.1, 1.0)]))}
        for at in draw(st.sampled_from([sorted(times)] * 5 + [times]))
    ]
    warmup = draw(
        st.sampled_from(
            [None] * 4
            + [{"kind": "linear", "until": number(0.01, 0.9), "start": Spelt("0.25", 0.25)}]
            + [{"kind": "power", "factor": number(0.8, 9.0), "exponent": number(0.5, 3.0)}]
            + [{"kind": "exponential", "base": number(1.001, 1.05)}]
        )
    )
    cell: dict[str, Any] = {"step_size": size}
    cell |= {"decays": decays} if decays else {}
    cell |= {"warmup": warmup} if warmup else {}
    return cell | ({"annealing": "cosine"} if draw(st.integers(0, 9)) == 7 else {})


def sizes(cell: dict[str, Any], steps: int, after: bool) -> list[float]:
    """The step size of every step."""
    decays, warmup = cell.get("decays", []), cell.get("warmup")
    end = warmup["until"] if warmup and warmup["kind"] == "linear" else decays[0]["at"] if warmup else 0.0
    risen, expected = int(end * steps), []
    for k in range(steps):
        size = cell["step_size"]
        if warmup and warmup["kind"] == "linear":
            size *= min(1.0, warmup["start"] + (1 - warmup["start"]) * k / steps / end)
        elif warmup and warmup["kind"] == "power":
            size *= 1 + (warmup["factor"] - 1) * (min(k, risen) / steps) ** warmup["exponent"]
        elif warmup:
            size *= warmup["base"] ** (100 * min(k, risen) / steps)
        for decay in decays:
            if k >= int(decay["at"] * steps) + after:
                size /= decay["divide_by"]
        if cell.get("annealing"):
            size *= 0.5 * (1 + math.cos(math.pi * max(k - risen, 0) / (steps - risen)))
        expected.append(size)
    return expected


def senseless(experiment: dict[str, Any]) -> str:
    """Why the settings make no sense; nothing where they do."""
    data, model, training = (experiment[key] for key in ("data", "model", "training"))
    thresholds, steps = experiment["measures"]["l0_thresholds"], training["steps"]
    after = training.get("decay_after_update", False)
    if data["support"] > data["dimension"]:
        return "support"
    if training["batch_size"] != "full" and training["batch_size"] > data["examples"]:
        return "batch"
    if model["u"] == model["v"] == 0:
        return "saddle"
    if len(set(thresholds)) < len(thresholds):
        return "thresholds"
    if len(set(training["arms"])) < len(training["arms"]):
        return "arms"
    if all(cell.get("annealing") for cell in experiment["cells"].values()):
        return "annealed"
    schedules = []
    for cell in experiment["cells"].values():
        times, warmup = [decay["at"] for decay in cell.get("decays", [])], cell.get("warmup") or {}
        if any(decay["divide_by"] <= 1 for decay in cell.get("decays", [])) or warmup.get("factor", 2) <= 1:
            return "wrong side of 1"
        if times != sorted(set(times)) or (times and cell.get("annealing")):
            return "decays"
        if warmup and warmup["kind"] != "linear" and not times:
            return "endless warm-up"
        firsts = [int(at * steps) + after for at in times]
        if firsts and (firsts[0] < 1 or len(set(firsts)) < len(firsts)):
            return "decays that round away"
        if warmup.get("kind") == "linear":
            if times and warmup["until"] > times[0]:
                return "warm-up beyond the decay"
            if math.ceil(Fraction(str(warmup["until"])) * steps) >= (firsts or [steps])[0]:
                return "warm-up that leaves no step"
        schedules.append(sizes(cell, steps, after))
    return "same step sizes" if len(schedules) == 2 and np.allclose(*schedules, rtol=1e-12, atol=0) else ""


def plain_loop(experiment: dict[str, Any], cell: dict[str, Any], seed: int, arm: str) -> tuple[list[Any], list[Any]]:
    """Parameters and training loss before every update, until they are beyond `LARGE`."""
    data, model, training = (experiment[key] for key in ("data", "model", "training"))
    n, d, steps = data["examples"], data["dimension"], training["steps"]
    generator = np.random.RandomState([data["seed"], seed + 1 if arm == "data" else 0])
    x, truth = generator.standard_normal((n, d)), np.zeros(d)
    truth[: data["support"]] = np.abs(generator.standard_normal(data["support"]))
    y = x @ (truth / np.sqrt(truth @ truth))
    factor = {"half_mse": 1.0, "mse": 2.0}[training["loss"]]
    batch = training["batch_size"]
    orders = Orders([seed], n, batch, training.get("sampling", "with_replacement")).take(steps)[0]
    drawn_a_step = n if batch == "full" else batch
    noise = np.random.default_rng([2, seed]).standard_normal((steps, drawn_a_step)) * training.get("label_noise", 0.0)
    theta = np.concatenate([np.full(d, model["u"]), np.full(d, model["v"])])
    velocity, parameters, losses = np.zeros(2 * d), [], []

    def gradient(at: np.ndarray, chosen: np.ndarray, labels: np.ndarray) -> np.ndarray:
        u, v = at[:d], at[d:]
        slope = factor * (x[chosen] @ (u * v) - labels) @ x[chosen] / len(chosen)
        return np.concatenate([slope * v, slope * u])

    for k, size in enumerate(sizes(cell, steps, training.get("decay_after_update", False))):
        loss = 0.5 * factor * np.mean((x @ (theta[:d] * theta[d:]) - y) ** 2)
        if not loss < LARGE:
            break
        parameters.append(theta)
        losses.append(loss)
        chosen = orders[k] if batch != "full" else np.arange(n)
        labels = y[chosen] + noise[k]
        slope = gradient(theta, chosen, labels)
        if radius := training.get("sam_radius", 0.0):
            length = np.sqrt(slope @ slope)
            slope = gradient(theta + (radius / length * slope if length > 0 else 0.0), chosen, labels)
        velocity = training.get("momentum", 0.0) * velocity + slope + training.get("weight_decay", 0.0) * theta
        theta = theta - size * velocity
    return parameters, losses


@pytest.mark.filterwarnings("ignore:overflow")
@drawn(300)
@given(experiment=experiments())
def test_odd_settings_are_refused_or_trained_as_a_plain_loop_does(
    tmp_path_factory: pytest.TempPathFactory, counted: Counted, experiment: dict[str, Any]
) -> None:
    words = {"title": "t", "paper": "none", "scale": "laptop", "views": ["curves"]}
    path = tmp_path_factory.getbasetemp() / "odd.yaml"
    path.write_text(f"scale: laptop\nexperiments: {{odd: {text_of(words | experiment)}}}\n")
    wanted = meant(experiment)
    reason = senseless(wanted)
    try:
        settings = config.load(path)
    except config.ConfigError as error:
        why = reason if understood(experiment) else "spelling"
        check_line(str(error), str(path), why)
        counted(f"odd settings refused: {why}")
        return
    assert understood(experiment), "YAML takes a value otherwise than its reader"
    assert not reason, f"accepted, but {reason}"
    counted("odd settings trained as a plain loop does")
    for name in wanted["cells"]:
        cell = grid.cells(settings)[f"odd.{name}"]
        spec = json.loads(cell.spec("sparsity"))
        check(wanted, wanted["cells"][name], spec)


def check_line(text: str, source: str, why: str) -> None:
    assert why, text
    assert len(text.splitlines()) == 1
    assert text.startswith(f"{source}: experiments.odd")


def check(experiment: dict[str, Any], cell: dict[str, Any], spec: dict[str, Any]) -> None:
    """Every number of a cell against the plain loop."""
    told = SparsitySpec.model_validate(spec)
    train, own = told.features.train, {"label": "odd", "threads": 1}
    data = stages.worker("data", "sparse_regression").draw(train.data.data, train.data.draws)
    losses, kept = toy.train(train.model, train.training, train.schedule, data, **own)
    features = linear_features.features(train.model, told.features.measures, data, kept, **own)
    counts = sparsity.measures(features.assign_coords({name: kept[name] for name in RUN}), told.measures)["l0"]
    for arm in experiment["training"]["arms"]:
        for seed in range(experiment["training"]["seeds"]):
            parameters, expected = plain_loop(experiment, cell, seed, arm)
            one, few = losses.sel(arm=arm, seed=seed), kept.sel(arm=arm, seed=seed)
            for step, loss in zip(one["step"].values, one["train_loss"].values, strict=True):
                if step < len(expected):
                    assert loss == pytest.approx(expected[step], rel=1e-6, abs=1e-12), (arm, seed, step)
            if len(expected) == experiment["training"]["steps"]:
                assert one["diverged_step"] == -1
            for place, step in enumerate(few["snapshot_step"].values):
                if step < len(parameters):
                    values = few["parameters"].values[place]
                    np.testing.assert_allclose(values, parameters[step], rtol=1e-6, atol=1e-9)
                    predictor = np.abs(np.multiply(*np.split(values, 2)))
                    thresholds = spec["measures"]["l0_thresholds"]
                    number = counts.sel(arm=arm, seed=seed, l0_threshold=thresholds).isel(snapshot_step=place).values
                    np.testing.assert_array_equal(number, [(predictor > each).sum() for each in thresholds])
