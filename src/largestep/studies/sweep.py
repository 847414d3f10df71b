"""Controls on toy networks: one quantity varied at a time, step sizes and durations matched.

The paper's schedules change duration, peak and decayed step size together. Here every sweep departs from one
base run and changes one thing. Seeds are shared by all points of a study, so that points are compared in pairs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from largestep import stages
from largestep.keys import canonical
from largestep.measures import RUN
from largestep.schedules import second_half
from largestep.sparsity import measures
from largestep.store import variable
from largestep.toys.train import test_loss, train

EVALUATIONS = 50
SCHEDULE = ("step_size", "warmup_from", "decay_at", "decayed_step_size")
TRAINING = ("steps", "batch_size", "sampling", "momentum", "weight_decay", "label_noise", "sam_radius")


def study(spec: dict[str, Any], threads: int) -> xr.Dataset:
    """Train and measure every point of every sweep; equal points are trained once.

    Returns the measures at the end of training, of dimensions (point, seed, ...), NaN where a run diverged, and for
    every point its settings, its sweep, the quantity varied, and its value as text and, if it is a number, as `x`.
    """
    settings = spec["settings"]
    experiment = spec["experiments"][settings["experiment"]]
    varies_data = settings["arm"] == "data"
    problem = experiment["data"]["data"]
    data = stages.worker("data", problem["kind"]).draw(problem, settings["seeds"] if varies_data else 0)
    base = experiment["training"] | {"warmup_from": None} | _given(settings["base"])
    points = [
        (name, sweep["vary"], base | point)
        for name, sweep in sorted(settings["sweeps"].items())
        for point in points_of(sweep)
    ]
    found: dict[str, xr.Dataset] = {}
    for name, vary, point in points:
        if canonical(point) not in found:
            label = f"{spec['study']}.{name}: {vary} {point[vary]}"
            found[canonical(point)] = _measured(label, point, settings, experiment, data, threads)
    joined = xr.concat(
        [found[canonical(point)] for _, _, point in points], dim="point", data_vars="all", coords="minimal"
    )
    about = _about(points, data.sizes["example"])
    about["base"] = variable(
        ("point",), [np.int8(point == base) for _, _, point in points], "1", "whether the point is the base itself"
    )
    return joined.merge(about)


def points_of(sweep: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What every point of a sweep sets: its place in each list, and what the sweep holds.

    sweep: an entry of `sweeps` as `largestep.config.studies.sweep.Varied` writes it; keys without a value are null.
    """
    held = _given(sweep["hold"])
    lists = {key: values for key, values in _given(sweep).items() if key in SCHEDULE + TRAINING}
    return [held | dict(zip(lists, place, strict=True)) for place in zip(*lists.values(), strict=True)]


def schedule(point: Mapping[str, Any]) -> dict[str, Any]:
    """The schedule of a point as that of a cell (see `largestep.schedules.step_sizes`)."""
    peak, at = point["step_size"], point["decay_at"]
    start = point["warmup_from"] or peak
    warmup = {"kind": "power", "factor": 1.0 + (peak / start - 1.0) / at, "exponent": 1.0}
    return {
        "step_size": start,
        "warmup": None if start == peak else warmup,
        "decays": [{"at": at, "divide_by": peak / point["decayed_step_size"]}],
    }


def _given(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in settings.items() if value is not None}


def _measured(
    label: str,
    point: dict[str, Any],
    settings: dict[str, Any],
    experiment: dict[str, Any],
    data: xr.Dataset,
    threads: int,
) -> xr.Dataset:
    """Losses, ranks and sparsity of every seed of one point, of dimensions (seed, ...)."""
    training = {key: value for key, value in point.items() if key not in SCHEDULE}
    # Parameters are kept at the first and the last step; only the last ones are measured.
    training |= {"arms": [settings["arm"]], "seeds": settings["seeds"], "evaluations": EVALUATIONS, "snapshots": 1}
    model = experiment["model"]
    cell = {"cell": label, "model": model, "training": training, "schedule": schedule(point)}
    # Its evaluations would take longer than the training.
    untested = data.drop_vars(("test_inputs", "test_labels"), errors="ignore")
    losses, snapshots = train(cell, untested, threads)
    upstream = {"cell": label, "train": cell, "measures": experiment["measures"]}
    last = snapshots.isel(snapshot_step=[-1])
    features = stages.worker("features", model["kind"]).features(upstream, data, last, threads)
    features = features.assign_coords({name: last.variables[name] for name in RUN})
    at_end = measures(features, experiment["measures"]).isel(arm=0, snapshot_step=0, drop=True)
    losses = losses.isel(arm=0, drop=True)
    found = at_end.drop_vars("active_fraction", errors="ignore")
    found["train_loss"] = losses["train_loss"].isel(step=-1, drop=True)
    if "test_inputs" in data:
        found["test_loss"] = test_loss(cell, data, last).isel(arm=0, snapshot_step=0)
    half = second_half(losses["step"].values, int(losses["decay_step"][0]))
    level = losses["train_loss"].isel(step=half).mean("step", skipna=False).values
    found["phase_loss"] = variable(
        ("seed",), level, "1", "mean training loss over the second half of the large-step phase"
    )
    found["diverged_step"] = losses["diverged_step"]
    died = np.zeros(settings["seeds"], dtype=bool)
    if "active_fraction" in at_end:
        died = (at_end["active_fraction"] == 0).any("block").values
    found["dead"] = variable(
        ("seed",),
        (died & (found["diverged_step"].values < 0)).astype(np.int8),
        "1",
        "whether the run ends with a block that no training example activates",
    )
    return found


def _about(points: list[tuple[str, str, dict[str, Any]]], examples: int) -> xr.Dataset:
    """What every point is: its sweep and its settings."""
    along = ("point",)
    values = [point[vary] for _, vary, point in points]
    x = [np.nan if isinstance(value, str) else float(value) for value in values]
    found = {
        "sweep": variable(along, [name for name, _, _ in points], "1", "sweep of the point"),
        "vary": variable(along, [vary for _, vary, _ in points], "1", "quantity that the sweep varies"),
        "value": variable(along, [str(value) for value in values], "1", "its value, as text"),
        "x": variable(along, x, "1", "its value, NaN where it is no number"),
        "sampling": variable(along, [point["sampling"] for _, _, point in points], "1", "order of the examples"),
    }
    for key in (*SCHEDULE, *TRAINING):
        if key in found:
            continue
        column = [_number(key, point, examples) for _, _, point in points]
        found[key] = variable(along, column, "1", f"{key.replace('_', ' ')} of the point")
    return xr.Dataset(found)


def _number(key: str, point: Mapping[str, Any], examples: int) -> float:
    if key == "warmup_from":
        return float(point[key] or point["step_size"])
    return float(examples if point[key] == "full" else point[key])
