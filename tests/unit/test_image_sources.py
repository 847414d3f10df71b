"""Each source of images, read from made-up archives in the published format, and the command line of the stage."""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import io
import os
import re
import shutil
import struct
import subprocess
import sys
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.io import savemat
from sklearn.datasets import load_digits

from largestep import stages
from largestep.data import cifar, custom_images, digits, folder, image_set, mnist, svhn, tiny_imagenet
from largestep.data.archives import ARCHIVES
from largestep.data.image_set import ImageSet, from_arrays
from largestep.fingerprint import closure
from largestep.keys import canonical
from largestep.store import StoreError
from tests import forked
from tests.settings import as_settings

RNG = np.random.default_rng(0)
PACKAGED = Path("/usr/share/datasets/fashion-mnist")


def put(monkeypatch: pytest.MonkeyPatch, kind: str, path: Path) -> None:
    """Let a made-up file count as the published one of its name."""
    content = path.read_bytes()
    versions = {hashlib.md5(content).hexdigest(): len(content)}
    monkeypatch.setitem(ARCHIVES[kind], path.name, dataclasses.replace(ARCHIVES[kind][path.name], versions=versions))


def refused(prepare: Callable[..., ImageSet], settings: Mapping[str, Any], root: Path) -> str:
    with pytest.raises(StoreError) as error:
        prepare(as_settings(settings), root, None)
    assert "\n" not in str(error.value)
    return str(error.value)


def pixels(*shape: int) -> np.ndarray:
    return RNG.integers(0, 256, shape, np.uint8)


def equal(images: ImageSet, train: tuple[np.ndarray, object], test: tuple[np.ndarray, object]) -> None:
    """The set holds these images and labels and is fit to be written."""
    assert image_set.fault(images) is None
    for actual, expected in (
        (images.train_images, train[0]),
        (images.train_labels, train[1]),
        (images.test_images, test[0]),
        (images.test_labels, test[1]),
    ):
        np.testing.assert_array_equal(actual.numpy(), expected)


def test_digits_are_split_once_and_for_all() -> None:
    images = digits.prepare(as_settings({"kind": "digits"}), Path("nowhere"), None)
    order = np.random.RandomState(0).permutation(1797)
    pictures, labels = load_digits(return_X_y=True)
    pictures = pictures.reshape(-1, 1, 8, 8)
    equal(images, (pictures[order[:1297]], labels[order[:1297]]), (pictures[order[1297:]], labels[order[1297:]]))
    assert (len(images.test_images), images.white_level, images.classes) == (500, 16, 10)


# MNIST and Fashion-MNIST


def idx(values: np.ndarray) -> bytes:
    return struct.pack(f">HBB{values.ndim}I", 0, 8, values.ndim, *values.shape) + values.tobytes()


@pytest.fixture
def idx_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, np.ndarray]:
    """Small files in place of those of MNIST, in root/mnist."""
    monkeypatch.setattr(mnist, "EXAMPLES", {"train": 6, "t10k": 4})
    (tmp_path / "mnist").mkdir()
    arrays = {}
    for part, count in mnist.EXAMPLES.items():
        arrays[f"{part}-images-idx3-ubyte.gz"] = pixels(count, 28, 28)
        arrays[f"{part}-labels-idx1-ubyte.gz"] = np.arange(count, dtype=np.uint8)
    for name, values in arrays.items():
        put_idx(monkeypatch, tmp_path / "mnist" / name, gzip.compress(idx(values)))
    return arrays


def put_idx(monkeypatch: pytest.MonkeyPatch, path: Path, content: bytes) -> None:
    path.write_bytes(content)
    put(monkeypatch, "mnist", path)


def test_mnist_is_read(tmp_path: Path, idx_files: dict[str, np.ndarray]) -> None:
    images = mnist.prepare(as_settings({"kind": "mnist"}), tmp_path, None)
    a, b, c, d = idx_files.values()
    equal(images, (a[:, None], b), (c[:, None], d))
    assert (images.white_level, images.classes) == (255, 10)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (gzip.compress(idx(pixels(6, 28, 27))), "holds 4552 bytes instead of 4720 bytes"),
        (gzip.compress(idx(pixels(7, 28, 28))), "holds more instead of 4720 bytes"),
        (gzip.compress(idx(pixels(6, 14, 56))), "is not an IDX file of"),
        (gzip.compress(b"\1" + idx(pixels(6, 28, 28))[1:]), "is not an IDX file of"),
        (gzip.compress(idx(pixels(6, 28, 28)))[:-100], "is damaged"),
        (idx(pixels(6, 28, 28)), "is damaged"),
    ],
)
def test_a_malformed_idx_file_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, idx_files: object, content: bytes, message: str
) -> None:
    path = tmp_path / "mnist" / "train-images-idx3-ubyte.gz"
    put_idx(monkeypatch, path, content)
    line = refused(mnist.prepare, {"kind": "mnist"}, tmp_path)
    assert line.startswith(f"{path}: {message}")
    assert line.endswith("; delete it and run again")


def test_the_packaged_fashion_mnist_is_read() -> None:
    if not PACKAGED.exists():
        pytest.skip("needs Debian's package dataset-fashion-mnist")
    for root in (PACKAGED, PACKAGED.parent):
        images = mnist.prepare(as_settings({"kind": "fashion_mnist"}), root, None)
    assert image_set.fault(images) is None
    assert images.train_images.shape == (60000, 1, 28, 28)
    assert images.test_images.shape == (10000, 1, 28, 28)
    assert images.train_labels[:5].tolist() == [9, 0, 0, 3, 0]
    assert images.test_labels[:5].tolist() == [9, 2, 1, 1, 6]
    assert images.train_images.double().mean().item() == pytest.approx(72.94, abs=0.01)
    assert torch.equal(torch.bincount(images.train_labels), torch.full((10,), 6000))


# SVHN


def write_svhn(monkeypatch: pytest.MonkeyPatch, root: Path, name: str, **changes: np.ndarray) -> dict[str, np.ndarray]:
    count = svhn.EXAMPLES[name]
    arrays = {"X": pixels(32, 32, 3, count), "y": np.arange(10, 10 - count, -1, dtype=np.uint8)[:, None]} | changes
    savemat(root / name, arrays, do_compression=True)
    put(monkeypatch, "svhn", root / name)
    return arrays


def test_svhn_is_read_with_ten_for_zero(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(svhn, "EXAMPLES", {"train_32x32.mat": 5, "test_32x32.mat": 3})
    train, test = (write_svhn(monkeypatch, tmp_path, name)["X"] for name in svhn.EXAMPLES)
    images = svhn.prepare(as_settings({"kind": "svhn"}), tmp_path, None)
    order = (3, 2, 0, 1)
    equal(images, (train.transpose(order), [0, 9, 8, 7, 6]), (test.transpose(order), [0, 9, 8]))
    # Pixel (row 4, column 7) of the red channel of image 2.
    assert images.train_images[2, 0, 4, 7] == train[4, 7, 0, 2]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"X": pixels(32, 32, 3, 4)}, "lacks 5 images X"),
        ({"X": np.zeros((32, 32, 3, 5))}, "lacks 5 images X"),
        ({"X": np.array(["text"])}, "lacks 5 images X"),
        ({"y": np.ones((4, 1), np.uint8)}, "lacks 5 images X"),
        ({"y": np.zeros((5, 1), np.uint8)}, "has labels other than 1 to 10"),
        ({"y": np.full((5, 1), 11, np.uint8)}, "has labels other than 1 to 10"),
        ({"y": np.full((5, 1), np.nan)}, "has labels other than 1 to 10"),
    ],
)
def test_a_malformed_matlab_file_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, np.ndarray], message: str
) -> None:
    monkeypatch.setattr(svhn, "EXAMPLES", {"train_32x32.mat": 5})
    write_svhn(monkeypatch, tmp_path, "train_32x32.mat", **changes)
    assert refused(svhn.prepare, {"kind": "svhn"}, tmp_path).startswith(f"{tmp_path}/train_32x32.mat: {message}")


@pytest.mark.parametrize("keep", [0, 50, 130, 300, 5000])
def test_a_damaged_matlab_file_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keep: int) -> None:
    monkeypatch.setattr(svhn, "EXAMPLES", {"train_32x32.mat": 5})
    write_svhn(monkeypatch, tmp_path, "train_32x32.mat")
    path = tmp_path / "train_32x32.mat"
    path.write_bytes(path.read_bytes()[:keep] + bytes(200))
    put(monkeypatch, "svhn", path)
    line = refused(svhn.prepare, {"kind": "svhn"}, tmp_path)
    assert line.startswith(f"{path}: ")
    assert line.endswith("; delete it and run again")


# CIFAR

RECORDS = {"cifar10": (3, 2), "cifar100": (4, 3)}


def write_cifar(
    monkeypatch: pytest.MonkeyPatch, root: Path, kind: str, changes: dict[str, bytes | None] | None = None
) -> dict[str, np.ndarray]:
    """A small archive; changes: other content of a member, or none."""
    layout = cifar.LAYOUTS[kind]
    train, test = RECORDS[kind]
    small = dataclasses.replace(layout, train=dict.fromkeys(layout.train, train), test=dict.fromkeys(layout.test, test))
    monkeypatch.setitem(cifar.LAYOUTS, kind, small)
    records = {name: pixels(n, layout.label_bytes + 3072) for name, n in {**small.train, **small.test}.items()}
    for values in records.values():
        values[:, : layout.label_bytes] %= layout.classes
    contents: dict[str, bytes | None] = {name: values.tobytes() for name, values in records.items()}
    contents |= changes or {}
    (file,) = ARCHIVES[kind]
    with tarfile.open(root / file, "w:gz") as out:
        for name, content in {"cifar/readme.html": b"", "../../evil": b"evil", **contents}.items():
            if content is not None:
                info = tarfile.TarInfo(name)
                info.size = len(content)
                out.addfile(info, io.BytesIO(content))
    put(monkeypatch, kind, root / file)
    return records


@pytest.mark.parametrize(("kind", "classes"), [("cifar10", 10), ("cifar100", 100)])
def test_cifar_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, classes: int) -> None:
    root = tmp_path / "root"
    root.mkdir()
    *train, test = write_cifar(monkeypatch, root, kind).values()
    images = cifar.prepare(as_settings({"kind": kind}), root, None)
    # CIFAR-100 has the coarse label before the fine one.
    before = {"cifar10": 0, "cifar100": 1}[kind]
    parts = [
        (values[:, before + 1 :].reshape(-1, 3, 32, 32), values[:, before]) for values in (np.concatenate(train), test)
    ]
    equal(images, *parts)
    assert images.classes == classes
    assert len(train) == (5 if kind == "cifar10" else 1)
    assert [path.name for path in tmp_path.rglob("*")] == ["root", next(iter(ARCHIVES[kind]))]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "has no member cifar-10-batches-bin/data_batch_2.bin"),
        (bytes(3 * 3073 - 1), "cifar-10-batches-bin/data_batch_2.bin has 9218 instead of 9219 bytes"),
        (bytes(4 * 3073), "cifar-10-batches-bin/data_batch_2.bin has 12292 instead of 9219 bytes"),
        (b"\x0a" * (3 * 3073), "has a label 10, above 9"),
    ],
)
def test_a_malformed_cifar_archive_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None, message: str
) -> None:
    write_cifar(monkeypatch, tmp_path, "cifar10", {"cifar-10-batches-bin/data_batch_2.bin": content})
    line = refused(cifar.prepare, {"kind": "cifar10"}, tmp_path)
    assert line.startswith(f"{tmp_path}/cifar-10-binary.tar.gz: {message}; delete ")


# Tiny ImageNet


def encoded(image: Image.Image, form: str = "JPEG") -> bytes:
    stream = io.BytesIO()
    image.save(stream, form)
    return stream.getvalue()


def jpeg(seed: int, mode: str = "RGB", side: int = 64) -> bytes:
    values = np.random.default_rng(seed).integers(0, 256, (side, side, 3), np.uint8)
    return encoded(Image.fromarray(values).convert(mode))


def write_tiny_imagenet(
    monkeypatch: pytest.MonkeyPatch, root: Path, changes: dict[str, bytes | None] | None = None
) -> dict[str, bytes]:
    for name, value in {"CLASSES": 2, "IMAGES_OF_CLASS": 2, "TEST_IMAGES": 3}.items():
        monkeypatch.setattr(tiny_imagenet, name, value)
    members: dict[str, bytes | None] = {
        "wnids.txt": b"n02\nn01\n",
        "train/n01/images/n01_1.JPEG": jpeg(1),
        "train/n01/images/n01_0.JPEG": jpeg(0, "L"),
        "train/n02/images/n02_0.JPEG": jpeg(2),
        "train/n02/images/n02_1.JPEG": jpeg(3),
        "val/val_annotations.txt": b"val_1.JPEG\tn01\t0\t0\t9\t9\nval_0.JPEG\tn02\t0\t0\t9\t9\nval_2.JPEG\tn02\n",
        "val/images/val_0.JPEG": jpeg(4),
        "val/images/val_1.JPEG": jpeg(5, "L"),
        "val/images/val_2.JPEG": jpeg(6, "CMYK"),
        "test/images/test_0.JPEG": b"is never read",
        "../../evil": b"evil",
    }
    members |= changes or {}
    kept = {name: content for name, content in members.items() if content is not None}
    with zipfile.ZipFile(root / "tiny-imagenet-200.zip", "w", zipfile.ZIP_DEFLATED) as out:
        for name, content in kept.items():
            out.writestr(f"tiny-imagenet-200/{name}", content)
    put(monkeypatch, "tiny_imagenet", root / "tiny-imagenet-200.zip")
    return kept


def test_tiny_imagenet_is_read_with_its_validation_part_as_test(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    members = write_tiny_imagenet(monkeypatch, tmp_path)
    images = tiny_imagenet.prepare(as_settings({"kind": "tiny_imagenet"}), tmp_path, None)
    train = [f"train/{n}/images/{n}_{i}.JPEG" for n in ("n02", "n01") for i in (0, 1)]
    test = [f"val/images/val_{i}.JPEG" for i in (1, 0, 2)]
    expected = [
        np.stack([np.asarray(Image.open(io.BytesIO(members[name])).convert("RGB")) for name in names])
        for names in (train, test)
    ]
    order = (0, 3, 1, 2)
    equal(images, (expected[0].transpose(order), [0, 0, 1, 1]), (expected[1].transpose(order), [1, 0, 0]))
    # The third training image is grey: its channels are equal.
    assert torch.equal(images.train_images[2, 0], images.train_images[2, 2])
    assert len(list(tmp_path.rglob("*"))) == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train/n01/images/n01_1.JPEG": None}, "has no member tiny-imagenet-200/train/n01/images/n01_1.JPEG;"),
        ({"val/images/val_1.JPEG": jpeg(5)[:300]}, "val/images/val_1.JPEG: is not a readable image ("),
        ({"val/images/val_1.JPEG": b"text"}, "val/images/val_1.JPEG: is not a readable image ("),
        (
            {"val/images/val_1.JPEG": encoded(Image.new("RGB", (64, 64)), "PNG")},
            "val/images/val_1.JPEG: is not a readable image (",
        ),
        (
            {"val/images/val_1.JPEG": jpeg(5, side=65)},
            "val/images/val_1.JPEG: has 65 rows and 65 columns instead of 64",
        ),
        (
            {"val/images/val_1.JPEG": bytes(2**20 + 1)},
            "tiny-imagenet-200/val/images/val_1.JPEG has more than 1048576 by",
        ),
        ({"wnids.txt": b"n01\n"}, "wnids.txt does not have 2 different lines;"),
        ({"wnids.txt": b"n01\nn01\n"}, "wnids.txt does not have 2 different lines;"),
        ({"wnids.txt": b"n01\n\xff\n"}, "is damaged ("),
        (
            {"val/val_annotations.txt": b"a\tn01\nb\tn03\nc\tn01\n"},
            "val_annotations.txt has no known class in 'b\\tn03';",
        ),
        ({"val/val_annotations.txt": b"a\nb\nc\n"}, "val_annotations.txt has no known class in 'a';"),
        ({"val/val_annotations.txt": None}, "has no member tiny-imagenet-200/val/val_annotations.txt;"),
    ],
)
def test_a_malformed_tiny_imagenet_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, bytes | None], message: str
) -> None:
    write_tiny_imagenet(monkeypatch, tmp_path, changes)
    line = refused(tiny_imagenet.prepare, {"kind": "tiny_imagenet"}, tmp_path)
    assert line.startswith(f"{tmp_path}/tiny-imagenet-200.zip: {message}")


# A folder of images


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Images of many formats and modes, in two classes."""
    root = tmp_path / "pictures"
    rgb = Image.fromarray(pixels(20, 30, 3))
    for name, image in {
        "train/cat/b.png": rgb,
        "train/cat/a.jpg": rgb.convert("L"),
        "train/cat/c.PNG": rgb.convert("RGBA"),
        "train/dog/1.bmp": rgb,
        "train/dog/2.jpeg": rgb.convert("CMYK"),
        "test/dog/x.pgm": rgb.convert("L"),
        "test/dog/y.webp": rgb,
        "test/cat/z.ppm": Image.fromarray(pixels(8, 10, 3)),
        "test/cat/w.png": rgb.convert("P"),
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        image.save(root / name)
    (root / "train" / ".hidden").mkdir()
    for name in ("readme.txt", "train/notes.txt", "train/cat/.thumb.png", "train/cat/labels.csv"):
        (root / name).write_text("not an image")
    return root


def of_folder(path: Path, **changes: object) -> dict[str, object]:
    settings: dict[str, object] = {"kind": "folder", "folder": path.name, "size": [8, 10], "channels": 3}
    settings["background"] = None
    return settings | {"sha256": folder.checksum(path)} | changes


def test_a_folder_is_read_by_class_and_name(pictures: Path) -> None:
    images = folder.prepare(as_settings(of_folder(pictures)), pictures.parent, None)
    assert image_set.fault(images) is None
    assert images.train_labels.tolist() == [0, 0, 0, 1, 1]
    assert images.test_labels.tolist() == [0, 0, 1, 1]
    assert (images.classes, images.channels, images.size) == (2, 3, (8, 10))
    with Image.open(pictures / "train/cat/b.png") as image:
        expected = np.asarray(image.resize((10, 8), Image.Resampling.BILINEAR)).transpose(2, 0, 1)
    np.testing.assert_array_equal(images.train_images[1], expected)
    with Image.open(pictures / "test/cat/z.ppm") as image:
        np.testing.assert_array_equal(images.test_images[1], np.asarray(image).transpose(2, 0, 1))
    grey = folder.prepare(as_settings(of_folder(pictures, channels=1, folder=str(pictures))), Path("elsewhere"), None)
    assert grey.train_images.shape == (5, 1, 8, 10)


def test_the_checksum_of_a_folder_is_of_its_images_alone(pictures: Path, tmp_path: Path) -> None:
    before = folder.checksum(pictures)
    moved = pictures.rename(tmp_path / "moved")
    (moved / "train" / "cat" / "labels.csv").write_text("changed")
    os.utime(moved / "train" / "cat" / "b.png", (1, 1))
    assert folder.checksum(moved) == before
    seen = {before}
    content = (moved / "train/cat/b.png").read_bytes()
    (moved / "train/cat/b.png").write_bytes(content + b"x")
    seen.add(folder.checksum(moved))
    (moved / "train/cat/b.png").write_bytes(content)
    (moved / "train/cat/b.png").rename(moved / "train/cat/bb.png")
    seen.add(folder.checksum(moved))
    (moved / "train/cat/bb.png").rename(moved / "train/dog/b.png")
    seen.add(folder.checksum(moved))
    (moved / "train/dog/b.png").unlink()
    seen.add(folder.checksum(moved))
    assert len(seen) == 5


def test_other_images_than_the_declared_ones_are_refused(pictures: Path) -> None:
    line = refused(folder.prepare, of_folder(pictures, sha256="0" * 64), pictures.parent)
    assert line == (
        f"{pictures}: its images have the checksum {folder.checksum(pictures)}, not the declared one; "
        f"if they are the right ones, put it under data.sha256 in config.yaml"
    )


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def fill(path: Path) -> None:
    path.write_bytes(b"not an image")


def deepen(path: Path) -> None:
    Image.fromarray(np.full((8, 10), 40000, np.uint16)).save(path)


def deepen_in_colour(path: Path) -> None:
    """A PNG of 16-bit colours, which Pillow cannot write."""
    rows = b"".join(b"\0" + struct.pack(">30H", *([40000, 300, 0] * 10)) for _ in range(8))
    header = struct.pack(">IIBBBBB", 10, 8, 16, 2, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n")
    with path.open("ab") as file:
        for kind, content in ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")):
            file.write(struct.pack(">I", len(content)) + kind + content)
            file.write(struct.pack(">I", zlib.crc32(kind + content)))


def animate(path: Path) -> None:
    frames = [Image.new("RGB", (10, 8), (level, 0, 0)) for level in (0, 255)]
    frames[0].save(path, save_all=True, append_images=frames[1:])


def inflate(path: Path) -> None:
    """A header that claims 60000 x 60000 pixels."""
    content = bytearray(path.read_bytes())
    content[16:24] = struct.pack(">II", 60000, 60000)
    path.write_bytes(content)


def corrupt(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (truncate, "is not a readable image ("),
        (fill, "is not a readable image ("),
        (inflate, "is not a readable image ("),
        (corrupt, "is not a readable image ("),
        (deepen, "has more than 8 bits a channel (mode I;16); convert it to 8"),
        (deepen_in_colour, "has more than 8 bits a channel (mode RGB); convert it to 8"),
        (animate, "has 2 frames; keep one of them"),
    ],
)
def test_a_broken_image_of_a_folder_is_named(
    pictures: Path, damage: Callable[[Path], None], message: str, recwarn: pytest.WarningsRecorder
) -> None:
    damage(pictures / "train/cat/b.png")
    line = refused(folder.prepare, of_folder(pictures), pictures.parent)
    assert line.startswith(f"{pictures}/train/cat/b.png: {message}")
    assert not recwarn.list


def test_a_folder_that_is_not_arranged_as_it_must_be_is_named(pictures: Path, tmp_path: Path) -> None:
    def line(path: Path) -> str:
        with pytest.raises(StoreError) as error:
            folder.checksum(path)
        return str(error.value)

    assert line(tmp_path / "none") == (
        f"{tmp_path}/none/train: cannot be read: No such file or directory; correct the folder or its name"
    )
    (pictures / "train" / "emu").mkdir()
    assert line(pictures).startswith(f"{pictures}/train/emu: there must be images here")
    (pictures / "train" / "emu" / "e.txt").write_text("")
    assert line(pictures).startswith(f"{pictures}/train/emu: there must be images here")
    Image.new("L", (2, 2)).save(pictures / "train" / "emu" / "e.png")
    assert line(pictures).startswith(f"{pictures}/test/emu: there must be images here")
    for part in folder.PARTS:
        (tmp_path / "empty" / part).mkdir(parents=True)
    assert line(tmp_path / "empty").startswith(f"{tmp_path}/empty: has no class; put images into train/<class>/")


def cut_out(mode: str, path: Path) -> None:
    """A black square on transparent pixels whose hidden colour is black too, in a mode of Pillow's."""
    levels = np.zeros((8, 10, 4), np.uint8)
    levels[2:6, 2:6, 3] = 255
    image = Image.fromarray(levels, "RGBA")
    if mode == "LA":
        image = image.convert("LA")
    elif mode in ("P", "L", "RGB"):  # one level, or one entry of the palette, counts as transparent
        background = np.where(levels[..., 3] > 0, 0, 9).astype(np.uint8)
        colours = background if mode == "L" else np.repeat(background[..., None], 3, 2)
        image = Image.fromarray(background).convert("P") if mode == "P" else Image.fromarray(colours)
        image.info["transparency"] = (9, 9, 9) if mode == "RGB" else 9
        image.save(path, transparency=image.info["transparency"])
        return
    image.save(path, **({"lossless": True, "exact": True} if path.suffix == ".webp" else {}))


@pytest.mark.parametrize(
    ("mode", "ending"), [("RGBA", "png"), ("LA", "png"), ("P", "png"), ("L", "png"), ("RGB", "png"), ("RGBA", "webp")]
)
def test_transparent_pixels_lie_on_the_stated_colour_or_are_refused(pictures: Path, mode: str, ending: str) -> None:
    path = pictures / f"train/cat/b.{ending}"
    path.unlink(missing_ok=True)
    (pictures / "train/cat/b.png").unlink(missing_ok=True)
    cut_out(mode, path)
    line = refused(folder.prepare, of_folder(pictures), pictures.parent)
    assert line.startswith(f"{path}: has transparent pixels; set data.background in config.yaml to the colour")
    settings = of_folder(pictures, background=[200, 100, 50])
    images = folder.prepare(as_settings(settings), pictures.parent, None)
    names = sorted(each.name for each in (pictures / "train/cat").iterdir() if each.name in "a.jpg b.png b.webp c.PNG")
    image = images.train_images[names.index(path.name)].numpy()
    assert image[:, 0, 0].tolist() == [200, 100, 50]
    assert image[:, 3, 3].tolist() == [0, 0, 0]


def test_opaque_pixels_need_no_background(pictures: Path) -> None:
    with Image.open(pictures / "train/cat/b.png") as image:
        image.convert("RGB").convert("RGBA").save(pictures / "train/cat/b.png")
    assert image_set.fault(folder.prepare(as_settings(of_folder(pictures)), pictures.parent, None)) is None


def test_a_photograph_is_turned_as_its_exif_says(pictures: Path) -> None:
    levels = np.zeros((8, 10, 3), np.uint8)
    levels[:4] = 255
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    Image.fromarray(levels).save(pictures / "train/cat/b.png", exif=exif)
    image = folder.prepare(as_settings(of_folder(pictures)), pictures.parent, None).train_images[1]
    assert (image[:, 0, 0].tolist(), image[:, 7, 0].tolist()) == ([0] * 3, [255] * 3)


def test_what_is_left_out_and_what_is_odd_is_noted(pictures: Path, tmp_path: Path) -> None:
    cat = pictures / "train/cat"
    for name in (".thumb.png", "labels.csv"):
        (cat / name).unlink()
    Image.new("L", (10, 8)).save(cat / "scan.tif")
    Image.new("L", (10, 8)).save(cat / "drawing.gif")
    (cat / "gone.png").symlink_to(tmp_path / "nowhere.png")
    (cat / ".DS_Store").touch()
    (cat / "more").mkdir()
    (pictures / "val").mkdir()
    (pictures / "train/readme.txt").touch()
    Image.new("RGB", (10, 8), (7, 7, 7)).save(cat / "zz.png")
    Image.fromarray(np.arange(24, dtype=np.uint8).reshape(4, 6).repeat(5, 0)).save(cat / "tall.png")
    turned = Image.Exif()
    turned[0x0112] = 6  # lies on its side, and is 8 high and 10 wide as it is shown
    Image.fromarray(np.arange(80, dtype=np.uint8).reshape(10, 8)).save(cat / "turned.png", exif=turned)
    for copy in ("test/cat/copy.png", "train/dog/copy.png"):
        shutil.copy(cat / "b.png", pictures / copy)
    notes = folder.prepare(as_settings(of_folder(pictures)), pictures.parent, None).notes
    endings = ", ".join(sorted(folder.SUFFIXES))
    for expected in (
        f"{pictures}: 1 folders that are no part and no class (val)",
        f"{pictures}/train: 2 files outside of the folders of classes (notes.txt, readme.txt)",
        f"{cat}: 1 folders inside a class (more)",
        f"{cat}: 1 hidden (.DS_Store)",
        f"{cat}: 1 links to nothing (gone.png)",
        f"{cat}: 2 with another ending than {endings} (drawing.gif, scan.tif)",
        "of other proportions than 8x10, and stretched: 11 (train/cat/a.jpg, train/cat/b.png, train/cat/c.PNG, …)",
        "blank, of one level throughout: 1 (train/cat/zz.png)",
        "test images that are among the training images: 1 (test/cat/copy.png)",
        "images that are in more than one class: 5 (train/cat/b.png, train/cat/c.PNG, train/dog/1.bmp, …)",
    ):
        assert expected in notes
    assert notes[0].startswith(f"{pictures}: 9 training and 5 test images of 2 classes were read")


def test_notes_are_in_the_store_whatever_the_names(tmp_path: Path) -> None:
    pixels = np.arange(2 * 4, dtype=np.uint8).reshape(2, 1, 2, 2)
    images = from_arrays((pixels, np.arange(2)), (pixels, np.arange(2)), classes=2)
    notes = ("one", "caf\udce9.png \u6f22")
    image_set.write(tmp_path / "i.safetensors", dataclasses.replace(images, notes=notes), spec="s", code="c")
    attributes = image_set.attributes(tmp_path / "i.safetensors")
    assert attributes["notes"] == "one\ncaf\\udce9.png \u6f22"


def test_a_class_that_is_left_without_images_says_what_was_left_out(pictures: Path) -> None:
    for path in (pictures / "test/dog").iterdir():
        path.rename(path.with_suffix(".tif"))
    with pytest.raises(StoreError, match=r"test/dog: there must be images here, .*; left out: .* with another ending"):
        folder.checksum(pictures)


# A user's own function

OWN = """
import numpy as np
def arrays(n=6, m=4, **changes):
    rng = np.random.default_rng(0)
    out = {
        "train_images": rng.integers(0, 256, (n, 5, 7), np.uint8), "train_labels": np.arange(n) % 3,
        "test_images": rng.integers(0, 256, (m, 5, 7), np.uint8), "test_labels": np.arange(m, dtype=np.int8) % 3,
    }
    return out | {key: eval(value, {"np": np}) for key, value in changes.items()}
def as_tuple(): return tuple(arrays().values())
def frozen():
    out = arrays()
    for values in out.values(): values.flags.writeable = False
    return {key: values[::-1] for key, values in out.items()}
def returns(value): return eval(value, {"np": np, "arrays": arrays})
def raises(error): raise eval(error)
number = 3
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., ImageSet]:
    """Calls a function of a module in the working directory."""
    (tmp_path / "own_images.py").write_text(OWN)
    (tmp_path / "own_broken.py").write_text("def (")
    (tmp_path / "own_exiting.py").write_text("raise SystemExit('bye')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    for name in ("own_images", "own_broken", "own_exiting"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return lambda name, **options: custom_images.prepare(
        as_settings({"kind": name, "options": options}), Path("r"), None
    )


def test_images_of_ones_own_function_are_taken(own: Callable[..., ImageSet]) -> None:
    images = own("own_images.arrays", n=9)
    assert image_set.fault(images) is None
    assert images.train_images.shape == (9, 1, 5, 7)
    assert images.train_labels.tolist() == [0, 1, 2] * 3
    assert (images.classes, images.white_level, images.test_labels.dtype) == (3, 255, torch.int64)
    assert torch.equal(own("own_images.as_tuple").test_images, own("own_images.arrays").test_images)
    assert torch.equal(own("own_images.frozen").train_images.flip(0), own("own_images.arrays").train_images)
    coloured = own(
        "own_images.arrays",
        train_images="np.zeros((6, 3, 2, 2), np.uint8)",
        test_images="np.full((4, 3, 2, 2), 9, 'u1')",
    )
    assert coloured.channels == 3
    repeated = own("own_images.arrays", test_images="np.zeros((4, 5, 7), np.uint8)")
    assert repeated.notes == (
        "blank, of one level throughout: 4 (test image 0, test image 1, test image 2, …)",
        "images that are in more than one class: 4 (test image 0, test image 1, test image 2, …)",
    )


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("no_such_module.f", {}, "its module cannot be imported (ModuleNotFoundError: No module named"),
        ("own_broken.f", {}, "its module cannot be imported (SyntaxError: invalid syntax"),
        ("own_exiting.f", {}, "its module cannot be imported (SystemExit: bye)"),
        ("own_images.other", {}, "module own_images has no function other"),
        ("own_images.number", {}, "module own_images has no function number"),
        ("own_images.arrays", {"n": "six"}, "it raised "),
        ("own_images.as_tuple", {"n": 6}, "it raised TypeError: as_tuple() got an unexpected keyword argument"),
        ("own_images.raises", {"error": "ValueError('two\\nlines')"}, "it raised ValueError: two lines;"),
        ("own_images.raises", {"error": "SystemExit(3)"}, "it raised SystemExit: 3;"),
        ("own_images.raises", {"error": "KeyError()"}, "it raised KeyError;"),
        ("own_images.raises", {"error": "MemoryError()"}, "it raised MemoryError;"),
        ("own_images.returns", {"value": "None"}, "it must return a mapping or tuple of train_images, train_labels, "),
        ("own_images.returns", {"value": "(1, 2, 3)"}, "it must return a mapping or tuple of"),
        ("own_images.returns", {"value": "{'images': 1}"}, "it must return a mapping or tuple of"),
        ("own_images.arrays", {"train_images": "[1, 2]"}, "train_images must be a NumPy array, not list"),
        ("own_images.arrays", {"train_images": "np.zeros((6, 5, 7))"}, "train_images must be uint8 of"),
        ("own_images.arrays", {"test_images": "np.full((4, 5, 7), np.nan)"}, "test_images must be uint8 of"),
        ("own_images.arrays", {"train_images": "np.zeros((6, 35), np.uint8)"}, "train_images must be uint8 of"),
        ("own_images.arrays", {"n": 0}, "train_images must be uint8 of"),
        ("own_images.arrays", {"test_images": "np.zeros((4, 5, 8), np.uint8)"}, "train_images is uint8 of shape"),
        (
            "own_images.arrays",
            {"train_images": "np.zeros((6, 5, 7, 3), np.uint8)"},
            "train_images of shape (6, 5, 7, 3) have the channels last; return (n, channel, row, column), as images.tr",
        ),
        (
            "own_images.arrays",
            {"train_images": "np.random.default_rng(0).random((6, 5, 7)).round().astype(np.uint8)"},
            "train_images has no level but 0 and 1, where white is 255; multiply by 255 before rounding",
        ),
        ("own_images.arrays", {"train_labels": "np.arange(5)"}, "train_labels must be 6 integers, not int64 of"),
        ("own_images.arrays", {"train_labels": "np.arange(6.0)"}, "train_labels must be 6 integers, not float64"),
        ("own_images.arrays", {"test_labels": "np.full(4, np.nan)"}, "test_labels must be 4 integers, not float64"),
        (
            "own_images.arrays",
            {"train_labels": "np.arange(1, 7)"},
            "train_labels must be all of 0 to classes - 1, but 6",
        ),
        ("own_images.arrays", {"train_labels": "np.arange(6) - 1"}, "train_labels must be all of 0 to classes - 1"),
        ("own_images.arrays", {"train_labels": "np.arange(6) * 10**9"}, "train_labels must be all of 0 to classes - 1"),
        ("own_images.arrays", {"test_labels": "np.full(4, 3)"}, "test_labels must lie from 0 to 2"),
        ("own_images.arrays", {"test_labels": "np.full(4, -1)"}, "test_labels must lie from 0 to 2"),
        ("own_images.arrays", {"test_labels": "np.full(4, 2**64 - 1, np.uint64)"}, "test_labels must lie from 0 to 2"),
    ],
)
def test_what_is_wrong_with_ones_own_function_is_named(
    own: Callable[..., ImageSet], name: str, options: dict[str, object], message: str
) -> None:
    with pytest.raises(StoreError) as error:
        own(name, **options)
    assert str(error.value).startswith(f"{name}: {message}")
    assert str(error.value).endswith("; correct the function, or data.kind and data.options in config.yaml")
    assert "\n" not in str(error.value)


# The command line


@pytest.mark.parametrize("kind", sorted(stages.IMAGE_SETS))
def test_a_data_set_depends_on_no_other_source(kind: str) -> None:
    own = stages.IMAGE_SETS[kind]
    used = closure("largestep.images.__main__", own)
    assert not used & (set(stages.IMAGE_SETS.values()) - {own})
    assert ("largestep.data.archives" in used) == (kind not in ("digits", "folder"))


def run(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return forked.run(folder, "largestep.images", *arguments, no_proxy="127.0.0.1", **environment)


def test_the_command_writes_what_the_spec_describes(tmp_path: Path) -> None:
    spec = {"data": {"kind": "digits"}}
    done = run(tmp_path, "--output", "images/digits.safetensors", "--spec", canonical(spec))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    code = stages.chain("images", "digits")
    images = image_set.read(tmp_path / "images/digits.safetensors", spec=canonical(spec), code=code)
    assert len(images.train_images) == 1297
    assert [path.name for path in (tmp_path / "images").iterdir()] == ["digits.safetensors"]


def test_the_command_prints_the_checksum_of_a_folder_and_takes_the_root_from_the_environment(pictures: Path) -> None:
    done = run(pictures.parent, "--checksum", "pictures")
    assert (done.returncode, done.stdout, done.stderr) == (0, folder.checksum(pictures) + "\n", "")
    spec = canonical({"data": of_folder(pictures, sha256=done.stdout.strip())})
    done = run(pictures, "--output", "o.safetensors", "--spec", spec, LARGESTEP_DATA_ROOT=str(pictures.parent))
    assert done.returncode == 0
    assert done.stderr.startswith(f"note: {pictures}: 5 training and 4 test images of 2 classes were read\n")
    assert image_set.read(pictures / "o.safetensors", spec=spec).size == (8, 10)
    surroundings = {"LARGESTEP_DATA_ROOT": str(pictures.parent), "LARGESTEP_WORKFLOW": "1"}
    again = run(pictures.parent, "--output", "o.safetensors", "--spec", spec, **surroundings)
    assert again.stdout.startswith(f"note: folder: {pictures}: 5 training and 4 test images of 2 classes were read\n")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"kind": "mnist"}, r"root/train-images-idx3-ubyte\.gz: is truncated: 5 of 9912422 bytes; delete it"),
        (
            {"kind": "cifar10"},
            r"root/cifar10/cifar-10-binary\.tar\.gz: cannot be downloaded from http://127\.0\.0\.1:9/",
        ),
        (
            {"kind": "own_images.raises", "options": {"error": "OSError(28, 'No space left')"}},
            r"own_images\.raises: it",
        ),
        (
            {"kind": "folder", "folder": "none", "sha256": "0" * 64, "size": [1, 1], "channels": 1},
            r"root/none: there is no such folder; give data\.folder in config\.yaml as an absolute path",
        ),
    ],
)
def test_the_command_fails_with_one_line(tmp_path: Path, data: dict[str, object], message: str) -> None:
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "train-images-idx3-ubyte.gz").write_bytes(b"12345")
    (tmp_path / "own_images.py").write_text(OWN)
    arguments = ("--output", "o.safetensors", "--root", "root", "--mirror", "http://127.0.0.1:9")
    done = run(tmp_path, *arguments, "--spec", canonical({"data": data}))
    assert done.returncode == 1
    lines = [line for line in done.stderr.splitlines() if not line.startswith("downloading ")]
    assert len(lines) == 1
    assert lines[0].startswith("error: ")
    assert re.search(message, lines[0])
    assert not [path for path in tmp_path.rglob("*") if path.suffix in (".safetensors", ".part")]


def test_images_that_do_not_fit_on_the_disk_leave_no_file(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", disk], capture_output=True).returncode:
        pytest.skip("only root can mount a small disk")
    try:
        done = run(disk, "--output", "o.safetensors", "--spec", '{"data":{"kind":"digits"}}')
        problem = (
            r"error: o\.safetensors: cannot be written: No space left on device \(0\.\d MB are free on this disk\)"
        )
        assert done.returncode == 1
        assert re.fullmatch(rf"{problem}; mend that and run again\n", done.stderr)
        assert not list(disk.iterdir())
    finally:
        subprocess.run(["umount", disk], check=True)
