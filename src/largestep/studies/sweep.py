"""Controls on toy networks: one quantity varied at a time, step sizes and durations matched.

The paper's schedules change duration, peak and decayed step size together. Here every sweep departs from one
base run and changes one thing. Seeds are shared by all points of a study, so that points are compared in pairs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from largestep import stages
from largestep.measures import RUN
from largestep.schedules import Decay, Law, Rise, second_half
from largestep.sparsity import measures
from largestep.store import variable
from largestep.toys.train import test_loss, train

if TYPE_CHECKING:
    from largestep.config.studies.sweep import Held, Sweep, Varied
    from largestep.config.training import ToyTraining
    from largestep.specs.studies import StudySpec, UsedToy

EVALUATIONS = 50
SCHEDULE = ("step_size", "warmup_from", "decay_at", "decayed_step_size")
# What sweeps vary whose losses are compared where the runs have fitted equally: those are kept along training.
FOLLOWED = ("decay_at", "step_size")
TRAINING = ("steps", "batch_size", "sampling", "momentum", "weight_decay", "label_noise", "sam_radius")


def study(spec: StudySpec[Sweep, UsedToy], threads: int) -> xr.Dataset:
    """Train and measure every point of every sweep; equal points are trained once.

    Returns the measures at the end of training, of dimensions (point, seed, ...), NaN where a run diverged, and for
    every point its settings, its sweep, the quantity varied, and its value as text and, if it is a number, as `x`.
    With a test set, the losses along training, (point, seed, evaluation), NaN but for the sweeps of `FOLLOWED`.
    """
    settings = spec.settings
    experiment = spec.experiments[settings.experiment]
    drawn = experiment.data.data
    data = stages.worker("data", drawn.kind).draw(drawn, settings.seeds if settings.arm == "data" else 0)
    base = _given(experiment.training) | _given(settings.base)
    points = [
        (name, sweep.vary, Point(**base | point))
        for name, sweep in sorted(settings.sweeps.items())
        for point in points_of(sweep)
    ]
    followed = {point for _, vary, point in points if vary in FOLLOWED}
    measured: dict[Point, xr.Dataset] = {}
    for name, vary, point in points:
        if point not in measured:
            label = f"{spec.study}.{name}: {vary} {getattr(point, vary)}"
            follow = point in followed
            measured[point] = _measured(label, point, settings, experiment, data, threads, follow=follow)
    joined = xr.concat([measured[point] for _, _, point in points], dim="point", data_vars="all", coords="minimal")
    described = _described(points, data.sizes["example"])
    described["base"] = variable(
        ("point",),
        [np.int8(point == Point(**base)) for _, _, point in points],
        "1",
        "whether the point is the base itself",
    )
    return joined.merge(described)


@dataclass(frozen=True)
class Point:
    """The settings of a run that sweeps may vary; those of `TRAINING` as in the training of an experiment."""

    step_size: float
    decay_at: float
    decayed_step_size: float
    steps: int
    batch_size: int | str
    sampling: str
    momentum: float
    weight_decay: float
    label_noise: float
    sam_radius: float
    warmup_from: float | None = None


def points_of(sweep: Varied) -> list[dict[str, Any]]:
    """What every point of a sweep sets: its place in each list, and what the sweep holds."""
    held, lists = _given(sweep.hold), _given(sweep)
    return [held | dict(zip(lists, place, strict=True)) for place in zip(*lists.values(), strict=True)]


def law(point: Point) -> Law:
    """The step sizes of a point, as those of a cell."""
    peak, at = point.step_size, point.decay_at
    start = point.warmup_from or peak
    warmup = None if start == peak else Rise(1.0 + (peak / start - 1.0) / at)
    return Law(start, [Decay(at, peak / point.decayed_step_size)], warmup)


def _given(settings: Held | Varied | ToyTraining) -> dict[str, Any]:
    """Those settings of a point that are not left open."""
    values = {key: getattr(settings, key, None) for key in (*SCHEDULE, *TRAINING)}
    return {key: value for key, value in values.items() if value is not None}


def _measured(
    label: str, point: Point, settings: Sweep, experiment: UsedToy, data: xr.Dataset, threads: int, *, follow: bool
) -> xr.Dataset:
    """Losses, ranks and sparsity of every seed of one point, of dimensions (seed, ...)."""
    # Parameters are kept at the first and the last step; only the last ones are measured.
    own = {"arms": [settings.arm], "seeds": settings.seeds, "evaluations": EVALUATIONS, "snapshots": 1}
    training = experiment.training.model_copy(update=own | {key: getattr(point, key) for key in TRAINING})
    model, read = experiment.model, experiment.measures
    # Evaluations on the test set would take longer than the training, and most points need none.
    tested = data if follow else data.drop_vars(("test_inputs", "test_labels"), errors="ignore")
    losses, snapshots = train(model, training, law(point), tested, label=label, threads=threads)
    last = snapshots.isel(snapshot_step=[-1])
    features = stages.worker("features", model.kind).features(model, read, data, last, label=label, threads=threads)
    features = features.assign_coords({name: last.variables[name] for name in RUN})
    at_end = measures(features, read).isel(arm=0, snapshot_step=0, drop=True)
    losses = losses.isel(arm=0, drop=True)
    dataset = at_end.drop_vars("active_fraction", errors="ignore")
    dataset["train_loss"] = losses["train_loss"].isel(step=-1, drop=True)
    if "test_inputs" in data:
        dataset["test_loss"] = test_loss(model, training.loss, data, last).isel(arm=0, snapshot_step=0)
        for name in ("train_loss", "test_loss"):
            dataset[f"{name}_along"] = _along(losses, name, settings.seeds, follow=follow)
    half = second_half(losses["step"].values, int(losses["decay_step"][0]))
    level = losses["train_loss"].isel(step=half).mean("step", skipna=False).values
    dataset["phase_loss"] = variable(
        ("seed",), level, "1", "mean training loss over the second half of the large-step phase"
    )
    dataset["diverged_step"] = losses["diverged_step"]
    died = np.zeros(settings.seeds, dtype=bool)
    if "active_fraction" in at_end:
        died = (at_end["active_fraction"] == 0).any("block").values
    dataset["dead"] = variable(
        ("seed",),
        (died & (dataset["diverged_step"].values < 0)).astype(np.int8),
        "1",
        "whether the run ends with a block that no training example activates",
    )
    return dataset


def _along(losses: xr.Dataset, name: str, seeds: int, *, follow: bool) -> xr.Variable:
    """A loss at every evaluation, (seed, evaluation), NaN where it is not followed; short runs repeat evaluations."""
    values = np.full((seeds, EVALUATIONS + 1), np.nan)
    if follow:
        which = np.round(np.linspace(0, losses.sizes["step"] - 1, EVALUATIONS + 1)).astype(int)
        values = losses[name].isel(step=which).transpose("seed", "step").values
    what = f"{name.replace('_', ' ').replace('train', 'training')} at even distances along training, last at its end"
    return variable(("seed", "evaluation"), values, "1", what)


def _described(points: list[tuple[str, str, Point]], examples: int) -> xr.Dataset:
    """What every point is: its sweep and its settings."""
    along = ("point",)
    values = [getattr(point, vary) for _, vary, point in points]
    x = [np.nan if isinstance(value, str) else float(value) for value in values]
    variables = {
        "sweep": variable(along, [name for name, _, _ in points], "1", "sweep of the point"),
        "vary": variable(along, [vary for _, vary, _ in points], "1", "quantity that the sweep varies"),
        "value": variable(along, [str(value) for value in values], "1", "its value, as text"),
        "x": variable(along, x, "1", "its value, NaN where it is no number"),
        "sampling": variable(along, [point.sampling for _, _, point in points], "1", "order of the examples"),
    }
    for key in (*SCHEDULE, *TRAINING):
        if key in variables:
            continue
        column = [_number(key, point, examples) for _, _, point in points]
        variables[key] = variable(along, column, "1", f"{key.replace('_', ' ')} of the point")
    return xr.Dataset(variables)


def _number(key: str, point: Point, examples: int) -> float:
    if key == "warmup_from":
        return float(point.warmup_from or point.step_size)
    return float(examples if getattr(point, key) == "full" else getattr(point, key))
