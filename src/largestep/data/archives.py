"""The published files of the image data sets: where they are, how to know them, and how to read their members.

A file that the user has is used wherever it lies under the data root; else it is downloaded. Either way its size
and checksum must be those of the published file, so that the name of a data set decides its content. Archives are
read member by member in memory: nothing is extracted to disk, and no more is read than a member should hold.
"""

from __future__ import annotations

import contextlib
import errno
import gzip
import hashlib
import io
import os
import shutil
import socket
import sys
import tarfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError, URLError

from filelock import FileLock
from torchvision.datasets.utils import download_url

from largestep.data.image_set import one_line
from largestep.store import StoreError

# Seconds without a byte after which a server counts as dead.
PATIENCE = 60.0
# How deep below the data root files are looked for; torchvision keeps them two folders deep.
DEPTH = 2
# Errors of the disk, which torchvision raises in the same way as those of the network.
DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO, errno.EFBIG)
# What Python's readers raise for a damaged archive, or, RuntimeError, for one that they have no means to read.
DAMAGE = (OSError, EOFError, ValueError, zlib.error, tarfile.TarError, zipfile.BadZipFile, RuntimeError)

# Kind of data set: address of its folder, and for each file the MD5 and the size in bytes of every accepted
# version; the address serves the first. As torchvision, the data sets' own pages and TensorFlow Datasets give them.
PUBLISHED: Mapping[str, tuple[str, Mapping[str, Mapping[str, int]]]] = {
    "mnist": (
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        {
            "train-images-idx3-ubyte.gz": {"f68b3c2dcbeaaa9fbdd348bbdeb94873": 9912422},
            "train-labels-idx1-ubyte.gz": {"d53e105ee54ea40749a09fcbcd1e9432": 28881},
            "t10k-images-idx3-ubyte.gz": {"9fb629c4189551a2d022fa330f9573f3": 1648877},
            "t10k-labels-idx1-ubyte.gz": {"ec29112dd5afa0611ce80d1b7f02629c": 4542},
        },
    ),
    # The second versions are Debian's (dataset-fashion-mnist): the same images, compressed anew.
    "fashion_mnist": (
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        {
            "train-images-idx3-ubyte.gz": {
                "8d4fb7e6c68d591d4c3dfef9ec88bf0d": 26421880,
                "cf8536b0aa1a6ac5fa3f23001093305c": 26421856,
            },
            "train-labels-idx1-ubyte.gz": {
                "25c81989df183df01b3e8a0aad5dffbe": 29515,
                "10bea18fdb374794d4bb42e356e600c9": 29491,
            },
            "t10k-images-idx3-ubyte.gz": {
                "bef4ecab320f06d8554ea6380940ec79": 4422102,
                "f78720b4224f21cce2f2ccf2d7a94c9a": 4422079,
            },
            "t10k-labels-idx1-ubyte.gz": {
                "bb300cfdad3c16e7a12a480ee83cd310": 5148,
                "0d30e22e447f3c33dab9ed536400ac01": 5125,
            },
        },
    ),
    "svhn": (
        "http://ufldl.stanford.edu/housenumbers/",
        {
            "train_32x32.mat": {"e26dedcc434d2e4c54c9b2d4a06d8373": 182040794},
            "test_32x32.mat": {"eb5a983be6a315427106f1b164d9cef3": 64275384},
        },
    ),
    "cifar10": (
        "https://www.cs.toronto.edu/~kriz/",
        {"cifar-10-binary.tar.gz": {"c32a1d4ab5d03f1284b67883e8d87530": 170052171}},
    ),
    "cifar100": (
        "https://www.cs.toronto.edu/~kriz/",
        {"cifar-100-binary.tar.gz": {"03b5dce01913d631647c71ecec9e9cb8": 168513733}},
    ),
    "tiny_imagenet": (
        "http://cs231n.stanford.edu/",
        {"tiny-imagenet-200.zip": {"90528d7ca1a48142e341f4ef8d21d0de": 248100043}},
    ),
}


@dataclass(frozen=True)
class Archive:
    """A published file: its name, its address, and MD5 -> size in bytes of the versions that are accepted."""

    file: str
    url: str
    versions: Mapping[str, int]


ARCHIVES = {
    kind: {file: Archive(file, base + file, versions) for file, versions in files.items()}
    for kind, (base, files) in PUBLISHED.items()
}


def fetch(kind: str, archive: Archive, root: Path, mirror: str | None) -> Path:
    """The verified file of a data set: one that lies under `root`, or else downloaded to `root/kind`.

    mirror: address of a server that has the file as `kind/file`; None: the published address.
    Processes that need the same file wait for each other. Raises StoreError, in one line that says what to do,
    when the file is there but not the published one, cannot be downloaded or cannot be written.
    """
    target = root / kind / archive.file
    url = archive.url if mirror is None else f"{mirror.rstrip('/')}/{kind}/{archive.file}"
    try:
        if (existing := _find(kind, archive, root)) is not None:
            return existing
        target.parent.mkdir(parents=True, exist_ok=True)
        # The lock ends with the process that holds it, however it ends; its empty file stays.
        # Other users of the same root may have to wait for it too.
        with FileLock(f"{target}.lock", mode=0o666):
            # Another process may have downloaded it meanwhile.
            if (existing := _find(kind, archive, root)) is None:
                _download(url, archive, target)
    except OSError as error:
        raise StoreError(
            f"{error.filename or target}: cannot be read or written: {error.strerror or one_line(error)}; "
            f"make room or correct its permissions, or set data.root in config.yaml to another folder"
        ) from error
    return existing or target


@contextlib.contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turns what the reader of an archive raises into a StoreError that names the file."""
    try:
        yield
    except StoreError:
        raise
    except MemoryError as error:
        raise StoreError(f"{path}: its content does not fit into memory; free some and run again") from error
    except DAMAGE as error:
        raise StoreError(f"{path}: is damaged ({one_line(error)}); delete it and run again") from error


def gunzip(path: Path, size: int) -> bytes:
    """The content of a gzip file, which must be `size` bytes long."""
    with reading(path), gzip.open(path) as stream:
        # The end of the file is where its checksum is verified.
        content = stream.read(size + 1)
    if len(content) != size:
        length = f"{len(content)} bytes" if len(content) < size else "more"
        raise StoreError(f"{path}: holds {length} instead of {size} bytes; delete it and run again")
    return content


def untar(path: Path, sizes: Mapping[str, int]) -> dict[str, bytes]:
    """The named members of a gzipped tar archive, each of which must be a plain file of the given size in bytes."""
    contents: dict[str, bytes] = {}
    with reading(path), tarfile.open(path, "r:gz") as archive:
        for member in archive:
            if member.name not in sizes:
                continue
            stream = archive.extractfile(member) if member.isreg() and member.name not in contents else None
            if stream is None:
                raise StoreError(f"{path}: {member.name} is not one plain file; delete the archive and run again")
            if member.size != sizes[member.name]:
                raise _wrong_size(path, member.name, member.size, sizes[member.name])
            contents[member.name] = stream.read(member.size)
            if len(contents[member.name]) != member.size:
                raise _wrong_size(path, member.name, len(contents[member.name]), member.size)
            if len(contents) == len(sizes):
                break
    if missing := sorted(sizes.keys() - contents.keys()):
        raise StoreError(f"{path}: has no member {missing[0]}; delete the archive and run again")
    return contents


def unzip(path: Path, archive: zipfile.ZipFile, name: str, limit: int) -> bytes:
    """A member of an open zip archive, which must have at most `limit` bytes."""
    with reading(path):
        if name not in archive.NameToInfo:
            raise StoreError(f"{path}: has no member {name}; delete the archive and run again")
        with archive.open(name) as stream:
            content = stream.read(limit + 1)
    if len(content) > limit:
        raise StoreError(f"{path}: {name} has more than {limit} bytes; delete the archive and run again")
    return content


def _wrong_size(path: Path, name: str, length: int, size: int) -> StoreError:
    return StoreError(f"{path}: {name} has {length} instead of {size} bytes; delete the archive and run again")


def _find(kind: str, archive: Archive, root: Path) -> Path | None:
    """The file under `root`, verified; None when there is none.

    Raises StoreError when there is only another one where this one should be.
    """
    wrong = []
    for folder in (root / kind, root, *_folders(root, DEPTH)):
        path = folder / archive.file
        if path.is_file() and (problem := _mismatch(path, archive)) is None:
            return path
        if path.is_file() and _is_meant_for(kind, folder, root, path):
            wrong.append(f"{path}: {problem}; delete it and run again, or correct data.root in config.yaml")
    if wrong:
        raise StoreError(wrong[0])
    return None


def _folders(root: Path, depth: int) -> Iterator[Path]:
    """Folders below root, sorted; hidden ones, such as those of unfinished downloads, and unreadable ones left out."""
    with contextlib.suppress(OSError):
        for folder in sorted(Path(entry.path) for entry in os.scandir(root) if entry.is_dir()):
            if not folder.name.startswith("."):
                yield folder
                if depth > 1:
                    yield from _folders(folder, depth - 1)


def _is_meant_for(kind: str, folder: Path, root: Path, path: Path) -> bool:
    """Whether a file that is not the published one should be: data sets of other kinds use the same names."""
    if folder == root:
        others = [files[path.name] for other, files in ARCHIVES.items() if other != kind and path.name in files]
        return all(_mismatch(path, other) is not None for other in others)
    names = folder.relative_to(root).parts
    return any("".join(filter(str.isalnum, name)).lower() == kind.replace("_", "") for name in names)


def _mismatch(path: Path, archive: Archive) -> str | None:
    """How a file differs from the published one; None when it does not."""
    size, (expected, full) = path.stat().st_size, next(iter(archive.versions.items()))
    if size < min(archive.versions.values()):
        return f"is truncated: {size} of {full} bytes"
    md5 = hashlib.md5(usedforsecurity=False)
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            md5.update(block)
    if archive.versions.get(md5.hexdigest()) == size:
        return None
    return f"has {size} bytes and MD5 {md5.hexdigest()} instead of {full} bytes and MD5 {expected}"


def _download(url: str, archive: Archive, target: Path) -> None:
    """Download to a hidden folder, verify, and put into place in one move; to be called by one process at a time."""
    hidden = target.parent / f".{archive.file}.part"
    # Left by a download that was killed.
    shutil.rmtree(hidden, ignore_errors=True)
    hidden.mkdir()
    mend = f"put it into {target.parent} by hand, or set data.mirror or data.root in config.yaml"
    try:
        print(f"downloading {url} ({max(archive.versions.values()) / 1e6:.1f} MB)", file=sys.stderr, flush=True)
        if why := _get(url, hidden, archive.file):
            raise StoreError(f"{target}: cannot be downloaded from {url}: {why}; {mend}")
        if problem := _mismatch(hidden / archive.file, archive):
            raise StoreError(f"{target}: what {url} sent {problem}; run again, {mend}")
        os.replace(hidden / archive.file, target)
    finally:
        shutil.rmtree(hidden, ignore_errors=True)


def _get(url: str, folder: Path, file: str) -> str | None:
    """Download a file, unverified; says why when the network or the server fails, raises OSError when the disk does."""
    if not url.startswith(("http://", "https://")):
        return "the address must begin with http:// or https://"
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(PATIENCE)
    try:
        # Its progress bar would fill the logs.
        with contextlib.redirect_stderr(io.StringIO()):
            download_url(url, str(folder), filename=file)
    except HTTPError as error:
        return f"HTTP {error.code} {one_line(error.reason)}"
    except URLError as error:
        return getattr(error.reason, "strerror", None) or one_line(error.reason)
    except OSError as error:
        if error.errno in DISK:
            raise
        return error.strerror or one_line(error)
    # Broken answers and addresses, endless redirects.
    except (HTTPException, ValueError, RuntimeError) as error:
        return one_line(error)
    finally:
        socket.setdefaulttimeout(before)
    return None
