"""The form of image data sets on disk: what is read is what was written, or one line says why not."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from largestep.config.data import Images
from largestep.data import image_set
from largestep.data.image_set import ImageSet
from largestep.store import StoreError

CLASSES = 3


def of_images(settings: dict[str, int | None]) -> Images:
    return Images(**settings)


def drawn(train: int = 7, test: int = 5, shape: tuple[int, int, int] = (3, 4, 6)) -> ImageSet:
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (train + test, *shape), np.uint8), np.arange(train + test) % CLASSES
    return image_set.from_arrays((images[:train], labels[:train]), (images[train:], labels[train:]), classes=CLASSES)


def write(path: Path, images: ImageSet | None = None) -> Path:
    image_set.write(path, images or drawn(), spec='{"data":{}}', code="c")
    return path


def same(a: ImageSet, b: ImageSet) -> bool:
    return all(torch.equal(getattr(a, name), getattr(b, name)) for name in image_set.TENSORS)


def header_length(content: bytes) -> int:
    return 8 + int.from_bytes(content[:8], "little")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", folder], capture_output=True).returncode:
        pytest.skip("only root can mount a small disk")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    images = drawn()
    back = image_set.read(write(tmp_path / "a.safetensors", images), spec='{"data":{}}', code="c")
    assert same(back, images)
    assert (back.white_level, back.classes, back.channels, back.size) == (255, CLASSES, 3, (4, 6))
    assert (back.train_images.dtype, back.train_labels.dtype) == (torch.uint8, torch.int64)
    assert list(tmp_path.iterdir()) == [tmp_path / "a.safetensors"]


def test_the_file_is_safetensors_that_says_what_it_was_made_from(tmp_path: Path) -> None:
    path = write(tmp_path / "a.safetensors")
    assert torch.equal(load_file(path)["test_images"], drawn().test_images)
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
    assert metadata["spec"] == '{"data":{}}'
    assert metadata["version_torch"] == torch.__version__.split("+")[0]
    assert {"code_fingerprint", "source", "created", "version_numpy", "version_torchvision", "version_pillow"} <= set(
        metadata
    )
    assert header_length(path.read_bytes()) % 8 == 0


def test_two_runs_write_the_same_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = write(tmp_path / "a.safetensors").read_bytes()
    monkeypatch.setattr(image_set.time, "strftime", lambda *_: "2000-01-01T00:00:00Z")
    second = write(tmp_path / "b.safetensors").read_bytes()
    created = first.index(b'"created": "') + len('"created": "')
    assert first != second
    assert first[:created] + b"2000-01-01T00:00:00Z" + first[created + 20 :] == second


def test_reading_maps_the_file_and_copies_nothing(tmp_path: Path) -> None:
    if not Path("/proc/self/smaps").exists():
        pytest.skip("needs Linux")
    path = write(tmp_path / "large.safetensors", drawn(4000, 100, (3, 64, 64)))
    before = own_memory()
    back = image_set.read(path)
    assert path.stat().st_size > 50_000_000
    assert own_memory() - before < 5_000_000
    whole = image_set.part(back, of_images({"examples": None, "test_examples": None, "seed": 0}))
    address = whole.train_images.data_ptr()
    mapped = [line for line in Path("/proc/self/maps").read_text().splitlines() if str(path) in line]
    ends = [[int(end, 16) for end in line.split()[0].split("-")] for line in mapped]
    assert any(low <= address < high for low, high in ends)


def own_memory() -> int:
    """Bytes of this process that no file holds."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("RssAnon"))
    return int(line.split()[1]) * 1024


def test_every_flipped_bit_is_found(tmp_path: Path) -> None:
    path = write(tmp_path / "a.safetensors", drawn(shape=(1, 2, 3)))
    content = path.read_bytes()
    created = content.index(b'"created": "') + len('"created": "')
    for position in set(range(len(content))) - set(range(created, created + 20)):
        damaged = bytearray(content)
        damaged[position] ^= 1 << position % 8
        path.write_bytes(damaged)
        with pytest.raises(StoreError, match=r"a\.safetensors: .*; delete it and run again") as error:
            image_set.read(path)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize("damage", ["truncated", "longer", "zeros", "swapped"])
def test_damage_to_a_larger_file_is_found(tmp_path: Path, damage: str) -> None:
    path = write(tmp_path / "a.safetensors", drawn(300, 100))
    content, rng = path.read_bytes(), np.random.default_rng(1)
    for place in map(int, rng.integers(0, len(content), 20)):
        if damage == "truncated":
            path.write_bytes(content[:place])
        elif damage == "longer":
            path.write_bytes(content + content[:place] + b"x")
        elif damage == "zeros":
            path.write_bytes(content[:place] + bytes(min(512, len(content) - place)) + content[place + 512 :])
        else:
            place = max(place, header_length(content)) - 80
            path.write_bytes(content[:place] + content[place + 40 : place + 80] + content[place : place + 40])
        with pytest.raises(StoreError, match=r"a\.safetensors: .*; delete it and run again"):
            image_set.read(path)


@pytest.mark.parametrize(("key", "message"), [("spec", "other settings"), ("code", "other code")])
def test_stale_files_are_refused(tmp_path: Path, key: str, message: str) -> None:
    path = write(tmp_path / "a.safetensors")
    with pytest.raises(StoreError, match=f"is stale: it was made from {message}; delete it.* and run again"):
        image_set.read(path, **{key: "else"})


def test_a_file_made_with_another_library_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_set, "version", lambda name: "0.1")
    path = write(tmp_path / "a.safetensors")
    assert image_set.attributes(path)["version_torch"] == "0.1"
    with pytest.raises(StoreError, match=r"a\.safetensors: was made with \w+ 0\.1, but "):
        image_set.read(path)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("missing", "there is no such file; run the workflow again"),
        ("folder", "there is no such file; run the workflow again"),
        ("empty", "is not a readable image data set; delete it and run again"),
        ("text", "is not a readable image data set; delete it and run again"),
        ("pickle", "is not a readable image data set; delete it and run again"),
        ("weights", "was not written by largestep; delete it and run again"),
        ("no metadata", "was not written by largestep; delete it and run again"),
    ],
)
def test_foreign_files_are_refused(tmp_path: Path, kind: str, message: str) -> None:
    path = tmp_path / "a.safetensors"
    if kind == "folder":
        path.mkdir()
    elif kind in ("empty", "text"):
        path.write_text("" if kind == "empty" else "not a data set, but a text\n" * 20)
    elif kind == "pickle":
        torch.save({"train_images": torch.zeros(3)}, path)
    elif kind == "weights":
        save_file({"weight": torch.zeros(3)}, path, {"content_sha256": "0"})
    elif kind == "no metadata":
        save_file(load_file(write(tmp_path / "b.safetensors")), path)
    with pytest.raises(StoreError, match=rf"a\.safetensors: {message}"):
        image_set.read(path)


@pytest.mark.parametrize("change", ["white level", "shape", "classes"])
def test_images_put_under_another_header_are_found(tmp_path: Path, change: str) -> None:
    path = write(tmp_path / "a.safetensors")
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
    tensors = {name: tensor.clone() for name, tensor in load_file(path).items()}
    if change == "shape":
        tensors["train_images"] = tensors["train_images"].reshape(7, 3, 6, 4)
    else:
        metadata[change.replace(" ", "_")] = "16"
    save_file(tensors, path, metadata)
    with pytest.raises(StoreError, match="does not match its checksum"):
        image_set.read(path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train_images": torch.zeros(7, 3, 4, 6)}, "train_images must be uint8"),
        ({"train_images": torch.zeros(7, 4, 6, dtype=torch.uint8)}, "train_images must be uint8 of shape"),
        ({"test_images": torch.zeros(0, 3, 4, 6, dtype=torch.uint8)}, "test_images must be uint8 of shape"),
        ({"test_images": torch.zeros(5, 1, 4, 6, dtype=torch.uint8)}, "but test_images is"),
        ({"train_labels": torch.zeros(6, dtype=torch.int64)}, "train_labels must be int64, one for each of 7 images"),
        ({"train_labels": torch.zeros(7, dtype=torch.int32)}, "train_labels must be int64"),
        ({"test_labels": torch.full((5,), 3)}, "test_labels must lie from 0 to 2, but they range from 3 to 3"),
        ({"train_labels": torch.ones(7, dtype=torch.int64)}, "all training images are of class 1; a classifier"),
        ({"test_labels": torch.full((5,), -1)}, "test_labels must lie from 0 to 2"),
        ({"white_level": 16}, r"train_images has a level of \d+, above white \(16\)"),
    ],
)
def test_unsound_images_are_not_written(tmp_path: Path, changes: dict[str, object], message: str) -> None:
    values = {name: getattr(drawn(), name) for name in image_set.TENSORS} | {"white_level": 255, "classes": CLASSES}
    with pytest.raises(StoreError, match=rf"a\.safetensors: .*{message}"):
        write(tmp_path / "a.safetensors", ImageSet(**(values | changes)))
    assert not list(tmp_path.iterdir())


def test_a_full_disk_leaves_what_was_there(small_disk: Path) -> None:
    path = write(small_disk / "a.safetensors")
    with pytest.raises(StoreError, match=r"a\.safetensors: cannot be written: No space left on device"):
        write(path, drawn(2000))
    assert list(small_disk.iterdir()) == [path]
    assert same(image_set.read(path), drawn())


def test_a_part_is_the_start_of_a_permutation(tmp_path: Path) -> None:
    images = drawn(50, 20)
    part = image_set.part(images, of_images({"examples": 10, "test_examples": 20, "seed": 3}))
    train, test = (np.random.default_rng([3, draw]).permutation(n) for draw, n in ((0, 50), (1, 20)))
    assert torch.equal(part.train_images, images.train_images[torch.from_numpy(train[:10])])
    assert torch.equal(part.train_labels, images.train_labels[torch.from_numpy(train[:10])])
    assert torch.equal(part.test_images, images.test_images[torch.from_numpy(test)])
    assert torch.equal(part.test_labels, images.test_labels[torch.from_numpy(test)])
    larger = image_set.part(images, of_images({"examples": 11, "test_examples": None, "seed": 3}))
    assert torch.equal(larger.train_images[:10], part.train_images)


def test_all_of_a_part_is_not_copied(tmp_path: Path) -> None:
    images = drawn()
    whole = image_set.part(images, of_images({"examples": None, "test_examples": None, "seed": 0}))
    assert all(getattr(whole, name).data_ptr() == getattr(images, name).data_ptr() for name in image_set.TENSORS)
    some = image_set.part(images, of_images({"examples": None, "test_examples": 2, "seed": 0}))
    assert some.train_images.data_ptr() == images.train_images.data_ptr()
    assert len(some.test_images) == 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"examples": 8}, "data.examples 8 exceeds the 7 training images of this data set; lower it"),
        ({"test_examples": 6}, "data.test_examples 6 exceeds the 5 test images of this data set; lower it"),
    ],
)
def test_an_impossible_part_is_refused(changes: dict[str, int | None], message: str) -> None:
    with pytest.raises(StoreError) as error:
        image_set.part(drawn(), of_images({"examples": None, "test_examples": None, "seed": 0} | changes))
    assert str(error.value) == message
