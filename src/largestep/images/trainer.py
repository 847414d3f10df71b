"""Training of image classifiers by mini-batch SGD: the seeds of a cell, one after the other, on one device.

A seed fixes the initial weights and the order of the examples, and is shared by all cells of an
experiment, as in `largestep.toys.train`. Inputs lie in [0, 1] and are not normalised further (paper,
section 4), unless `data.normalise` asks for it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import cross_entropy
from tqdm import tqdm

from largestep import store
from largestep.data.image_set import ImageSet
from largestep.images.batches import EVALUATED, Batches
from largestep.images.checkpoints import Checkpoints
from largestep.images.schedule import of_images
from largestep.images.step import Stepper
from largestep.images.trial import try_out
from largestep.models import networks
from largestep.randomness import preserved, seed_all
from largestep.recording import NETWORK, Trained, datasets, recorded_steps, streamed_snapshots

if TYPE_CHECKING:
    from largestep.config.training import ImageTraining
    from largestep.specs.cells import ImageTrainSpec

# Images that pass through the network at once when nothing is learned; it bounds memory.
EVALUATION_BATCH = {"cpu": 512, "cuda": 2500}
CURVES = {
    "train_loss": (
        "1",
        f"cross-entropy of up to {EVALUATED} training images in evaluation mode, augmented as in training",
    ),
    "minibatch_loss": (
        "1",
        "mean cross-entropy of the mini-batches since the last evaluation, in training mode, each before its update",
    ),
    "test_loss": ("1", "cross-entropy on the test set"),
    "test_error": ("percent", "misclassified images of the test set"),
}


def train(
    spec: ImageTrainSpec, images: ImageSet, device: torch.device, kept: Checkpoints, first_seed: int = 0
) -> Trained:
    """Train as many seeds of a cell as `training.seeds` says, from the first on, or what is left of them.

    Returns the losses, with dimensions (arm, seed, step), and the snapshots of the network, weights and
    BatchNorm's running statistics, with dimensions (arm, seed, snapshot_step, parameter). Evaluation
    comes before the update of a step, the last one after all updates. `train_loss` is that of the published
    code: of training images drawn anew each time, augmented, by the network that is evaluated, with BatchNorm's running
    statistics. `minibatch_loss` is the mean over the mini-batches since the evaluation before, each taken before its
    update; at step 0 it is that of the first mini-batch.
    A run diverges at the step whose mini-batch has a loss that is not finite, and is NaN from there on.
    """
    training = spec.training
    if training.batch_size > len(images.train_images):
        raise store.StoreError(
            f"config.yaml: {spec.cell}: training.batch_size {training.batch_size} exceeds the "
            f"{len(images.train_images)} training images; lower it"
        )
    batches = Batches(images, training, device)
    schedule = of_images(spec.schedule, training.epochs * batches.count, spec.cell)
    sizes = schedule.sizes
    seeds = first_seed + np.arange(training.seeds)
    seed_of_run = np.tile(seeds, len(training.arms))
    results = []

    def drawn(seed: int) -> networks.Network:
        return networks.draw(spec.model, images.channels, images.classes, images.size, seed)

    try_out(drawn, images, training, device)

    @cache
    def compiled() -> Stepper:
        return Stepper(drawn(0).to(device), batches, training, device)

    def stepper(seed: int) -> Stepper:
        if device.type == "cpu":
            return Stepper(drawn(seed), batches, training, device)
        # One network for all seeds, so that a GPU compiles and captures once; and none where all runs are done.
        compiled().restart(drawn(seed))
        return compiled()

    # A network may draw numbers in training.
    with preserved(), tqdm(total=len(sizes) * len(seed_of_run), unit="step", mininterval=2.0, ascii=True) as bar:
        for run, seed in enumerate(seed_of_run):
            bar.set_description(f"{spec.cell}, seed {seed}, {run + 1} of {len(seed_of_run)}")
            one = _Run(f"run{run}", int(seed), training, sizes, images, batches, device, kept)
            results.append(one.train(stepper, bar))
            bar.update((run + 1) * len(sizes) - bar.n)
    print(f"{spec.cell}: {kept.report()}", file=sys.stderr)
    curves = {
        name: (np.stack([getattr(result, name) for result in results]), units, long_name)
        for name, (units, long_name) in CURVES.items()
    }
    diverged_step = np.array([result.diverged_step for result in results])
    losses, snapshots = datasets(
        training, schedule.steps + 1, schedule, curves, None, diverged_step, np.zeros_like(seed_of_run)
    )
    losses, snapshots = (
        each.assign_coords(seed=each.variables["seed"].copy(data=seeds)) for each in (losses, snapshots)
    )
    size = len(networks.flatten(drawn(0)))

    def slabs() -> Iterator[NDArray[np.float32]]:
        for run, result in enumerate(results):
            for place, when in enumerate(snapshots["snapshot_step"].values):
                lost = 0 <= result.diverged_step < when
                yield np.full(size, np.nan, dtype=np.float32) if lost else _snapshot(kept, f"run{run}", place)

    shape = (*(snapshots.sizes[dim] for dim in ("arm", "seed", "snapshot_step")), size)
    return Trained(losses, snapshots, streamed_snapshots(shape, slabs))


@dataclass
class _Result:
    """The curves of one run, (evaluations,), NaN once diverged."""

    train_loss: NDArray[np.float64]
    minibatch_loss: NDArray[np.float64]
    test_loss: NDArray[np.float64]
    test_error: NDArray[np.float64]
    diverged_step: int = -1


@dataclass(frozen=True)
class _Run:
    """One seed of a cell."""

    name: str
    seed: int
    training: ImageTraining
    sizes: NDArray[np.float64]
    images: ImageSet
    batches: Batches
    device: torch.device
    kept: Checkpoints

    def train(self, begun_by: Callable[[int], Stepper], bar: tqdm) -> _Result:
        """Train from the start, which a seed gives, or from where a killed run left off."""
        # The last evaluation comes after all updates, unlike that of toy networks.
        evaluation_steps, snapshot_steps = recorded_steps(
            len(self.sizes) + 1, self.training.evaluations, self.training.snapshots
        )
        result = _Result(*np.full((len(CURVES), len(evaluation_steps)), np.nan))
        saved = self._saved(snapshot_steps)
        step, losses = -1, np.zeros(0, dtype=np.float32)
        if saved is not None:
            step, result.diverged_step = (int(value) for value in saved["progress"])
            for name in CURVES:
                getattr(result, name)[:] = saved[name]
            if result.diverged_step >= 0 or step == evaluation_steps[-1]:
                return result
        stepper, per_epoch = begun_by(self.seed), self.batches.count
        net = stepper.net
        if saved is not None:
            networks.load(net, saved["parameters"])
            networks.load_counters(net, saved["counters"])
            stepper.load_velocities(saved["velocities"])
            losses = saved["losses"]
            bar.update(step)
        # Stretches end where something is recorded and where an epoch does.
        stops = np.union1d(evaluation_steps, per_epoch * np.arange(1, self.training.epochs))
        begun = -1
        for stop in stops[stops > step]:
            first = max(step, 0)
            step = int(stop)
            if step > first:
                epoch = first // per_epoch
                start = epoch * per_epoch
                if epoch != begun:
                    stepper.begin(self.seed, epoch, self.sizes[start : start + per_epoch])
                    begun = epoch
                # What a network draws itself, as dropout does, follows from the seed and from where the stretch begins.
                seed_all(int(np.random.SeedSequence([NETWORK, self.seed, first]).generate_state(1)[0]))
                losses = np.concatenate([losses, stepper.advance(first - start, step - start).numpy()])
                bar.update(step - first)
                if first == 0 and np.isfinite(losses[0]):
                    result.minibatch_loss[0] = losses[0]
            # Checked once for all these steps: reading each loss as it comes would have the trainer wait for it.
            finite = np.isfinite(losses)
            if not finite.all():
                result.diverged_step = step - len(losses) + int(finite.argmin())
                break
            # No loss comes after the last update to show that it went beyond all numbers.
            if step == len(self.sizes) and not np.isfinite(networks.flatten(net)).all():
                result.diverged_step = step - 1
                break
            if step in evaluation_steps:
                place = int(np.searchsorted(evaluation_steps, step))
                if place > 0:
                    result.minibatch_loss[place] = losses.astype(np.float64).mean()
                result.train_loss[place] = self._train_loss(stepper, step)
                result.test_loss[place], result.test_error[place] = self._tested(stepper)
                losses = losses[:0]
            if step in snapshot_steps:
                name = _snapshot_name(self.name, int(np.searchsorted(snapshot_steps, step)))
                self.kept.save(name, {"parameters": networks.flatten(net)})
            if self.kept.due():
                state: dict[str, NDArray[Any]] = {
                    "parameters": networks.flatten(net),
                    "counters": networks.counters(net),
                    "velocities": stepper.flat_velocities(),
                    "losses": losses,
                }
                self._save(step, result, state)
        self._save(step, result, {})
        return result

    def _train_loss(self, stepper: Stepper, step: int) -> float:
        pictures, labels = self.batches.evaluated(self.seed, step)
        parts = pictures.split(EVALUATION_BATCH[self.device.type])
        return float(cross_entropy(torch.cat([stepper.predict(part) for part in parts]), labels))

    def _tested(self, stepper: Stepper) -> tuple[float, float]:
        """Cross-entropy and misclassified percentage on the test set."""
        parts = self.images.test_images.split(EVALUATION_BATCH[self.device.type])
        labels = self.images.test_labels.to(self.device)
        white, moments = self.images.white_level, self.images.moments
        logits = torch.cat([stepper.predict(networks.inputs(part.to(self.device), white, moments)) for part in parts])
        loss = cross_entropy(logits, labels)
        wrong = (logits.argmax(1) != labels).double().mean()
        return float(loss), 100.0 * float(wrong) if loss.isfinite() else np.nan

    def _save(self, step: int, result: _Result, state: dict[str, NDArray[Any]]) -> None:
        curves = {name: getattr(result, name) for name in CURVES}
        self.kept.save_state(self.name, {"progress": np.array([step, result.diverged_step])} | curves | state)

    def _saved(self, snapshot_steps: NDArray[np.int64]) -> dict[str, NDArray[Any]] | None:
        """The last state of this run, if all snapshots before it are there."""
        saved = self.kept.load(self.name)
        if saved is None:
            return None
        step, diverged_step = saved["progress"]
        taken = snapshot_steps <= (step if diverged_step < 0 else diverged_step)
        snapshots = (self.kept.load(_snapshot_name(self.name, int(place))) for place in np.flatnonzero(taken))
        return None if any(each is None for each in snapshots) else saved


def _snapshot(kept: Checkpoints, run: str, place: int) -> NDArray[np.float32]:
    snapshot = kept.load(_snapshot_name(run, place))
    if snapshot is None:
        raise store.StoreError(f"{kept.folder}: snapshot {place} of {run} was damaged while the job ran; run again")
    parameters: NDArray[np.float32] = snapshot["parameters"]
    return parameters


def _snapshot_name(run: str, place: int) -> str:
    return f"{run}-snapshot{place}"
