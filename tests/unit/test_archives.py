"""The files of published data sets: found, downloaded from a real server on this machine, verified and read."""

from __future__ import annotations

import gzip
import hashlib
import io
import socket
import subprocess
import tarfile
import threading
import time
import tracemalloc
import zipfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

import numpy as np
import pytest
from torchvision.datasets import MNIST, SVHN, FashionMNIST

from largestep.data import archives
from largestep.data.archives import ARCHIVES, Archive, fetch
from largestep.store import StoreError
from tests import forked

CONTENT = np.random.default_rng(0).bytes(200_000)
FILE = "train-images-idx3-ubyte.gz"
PACKAGED = Path("/usr/share/datasets/fashion-mnist")


class Server:
    """A server on the loopback that answers every path in the way it is told."""

    def __init__(self) -> None:
        self.content, self.status, self.sends = CONTENT, 200, len(CONTENT)
        self.announces_length, self.requests = True, list[str]()
        # Set to let a server that has sent half of a file go on.
        self.go_on = threading.Event()
        self.go_on.set()
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.requests.append(self.path)
                self.send_response(server.status)
                if server.announces_length:
                    self.send_header("Content-Length", str(len(server.content)))
                self.end_headers()
                with suppress(OSError):
                    half = min(server.sends, len(server.content)) // 2
                    self.wfile.write(server.content[:half])
                    self.wfile.flush()
                    server.go_on.wait(30)
                    self.wfile.write(server.content[half : server.sends])

            def log_message(self, *_: object) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}"
        threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True).start()

    def stop(self) -> None:
        self.go_on.set()
        self._http.shutdown()
        self._http.server_close()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    running = Server()
    yield running
    running.stop()


def archive(content: bytes = CONTENT, url: str = "http://127.0.0.1:9/nothing") -> Archive:
    return Archive(FILE, url, {hashlib.md5(content).hexdigest(): len(content)})


def get(root: Path, server: Server, **changes: str | None) -> Path:
    arguments = {"kind": "fashion_mnist", "mirror": None} | changes
    return fetch(str(arguments["kind"]), archive(url=f"{server.url}/there/{FILE}"), root, arguments["mirror"])


def refused(root: Path, server: Server, **changes: str | None) -> str:
    """The line with which a fetch is refused."""
    with pytest.raises(StoreError) as error:
        get(root, server, **changes)
    assert "\n" not in str(error.value)
    return str(error.value)


def files(root: Path) -> list[str]:
    """All files below root, without those that hold a lock."""
    paths = [str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()]
    return sorted(name for name in paths if not name.endswith(".lock"))


def mounted(folder: Path, options: str) -> None:
    folder.mkdir(exist_ok=True)
    if subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], capture_output=True).returncode:
        pytest.skip("only root can mount a disk")


def test_the_table_agrees_with_torchvision() -> None:
    for kind, published in (("mnist", MNIST), ("fashion_mnist", FashionMNIST)):
        theirs = {name: (published.mirrors[0] + name, md5) for name, md5 in published.resources}
        assert {name: (a.url, next(iter(a.versions))) for name, a in ARCHIVES[kind].items()} == theirs
    theirs = {name: (url, md5) for part, (url, name, md5) in SVHN.split_list.items() if part != "extra"}
    assert {name: (a.url, next(iter(a.versions))) for name, a in ARCHIVES["svhn"].items()} == theirs


def test_a_file_is_downloaded_once(tmp_path: Path, server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    path = get(tmp_path, server)
    assert path == tmp_path / "fashion_mnist" / FILE
    assert path.read_bytes() == CONTENT
    assert files(tmp_path) == [f"fashion_mnist/{FILE}"]
    assert capsys.readouterr().err == f"downloading {server.url}/there/{FILE} (0.2 MB)\n"
    asked = len(server.requests)
    assert get(tmp_path, server) == path
    assert len(server.requests) == asked
    assert socket.getdefaulttimeout() is None


@pytest.mark.parametrize("slash", ["", "/"])
def test_a_mirror_replaces_the_published_address(tmp_path: Path, server: Server, slash: str) -> None:
    path = fetch("svhn", archive(), tmp_path, f"{server.url}/sets{slash}")
    assert path.read_bytes() == CONTENT
    assert set(server.requests) == {f"/sets/svhn/{FILE}"}


@pytest.mark.parametrize("folder", ["", "fashion_mnist", "FashionMNIST/raw", "fashion-mnist", "my/data"])
def test_a_file_that_is_there_is_not_downloaded(tmp_path: Path, server: Server, folder: str) -> None:
    there = tmp_path / folder / FILE
    there.parent.mkdir(parents=True, exist_ok=True)
    there.write_bytes(CONTENT)
    assert get(tmp_path, server) == there
    assert not server.requests
    assert files(tmp_path) == [str(there.relative_to(tmp_path))]


def test_files_of_other_data_sets_with_the_same_name_are_left_alone(
    tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = CONTENT[::-1]
    monkeypatch.setitem(ARCHIVES, "mnist", {FILE: archive(other)})
    for place in (tmp_path, tmp_path / "MNIST" / "raw", tmp_path / "KMNIST" / "raw"):
        place.mkdir(parents=True, exist_ok=True)
        (place / FILE).write_bytes(other)
    assert get(tmp_path, server).read_bytes() == CONTENT
    assert fetch("mnist", archive(other), tmp_path, None).read_bytes() == other


@pytest.mark.parametrize("folder", ["", "fashion_mnist", "FashionMNIST/raw"])
def test_a_wrong_file_in_its_place_is_named(tmp_path: Path, server: Server, folder: str) -> None:
    there = tmp_path / folder / FILE
    there.parent.mkdir(parents=True, exist_ok=True)
    mend = "; delete it and run again, or correct data.root in config.yaml"
    there.write_bytes(CONTENT[:1000])
    assert refused(tmp_path, server) == f"{there}: is truncated: 1000 of 200000 bytes{mend}"
    for wrong in (CONTENT[1:] + b"x", CONTENT + b"x"):
        there.write_bytes(wrong)
        md5, expected = (hashlib.md5(each).hexdigest() for each in (wrong, CONTENT))
        wrong_size = f"has {len(wrong)} bytes and MD5 {md5} instead of 200000 bytes and MD5 {expected}"
        assert refused(tmp_path, server) == f"{there}: {wrong_size}{mend}"
    assert not server.requests


def close_at_once(server: Server) -> None:
    server.sends = 0


def refuse(server: Server) -> None:
    server.status = 404


def fail(server: Server) -> None:
    server.status = 503


def cut(server: Server) -> None:
    server.sends = len(CONTENT) // 2


def cut_without_length(server: Server) -> None:
    server.sends, server.announces_length = len(CONTENT) // 2, False


def serve_another(server: Server) -> None:
    server.content = CONTENT[::-1]


def serve_a_page(server: Server) -> None:
    server.content = b"<html>Please log in</html>"


@pytest.mark.parametrize(
    ("trouble", "message"),
    [
        (refuse, "cannot be downloaded from URL: HTTP 404 Not Found"),
        (fail, "cannot be downloaded from URL: HTTP 503 Service Unavailable"),
        (close_at_once, "what URL sent is truncated: 0 of 200000 bytes"),
        (cut, "what URL sent is truncated: 100000 of 200000 bytes"),
        (cut_without_length, "what URL sent is truncated: 100000 of 200000 bytes"),
        (serve_another, "what URL sent has 200000 bytes and MD5 "),
        (serve_a_page, "what URL sent is truncated: 26 of 200000 bytes"),
    ],
)
def test_a_failed_download_leaves_nothing_and_the_next_one_succeeds(
    tmp_path: Path, server: Server, trouble: Callable[[Server], None], message: str
) -> None:
    trouble(server)
    line = refused(tmp_path, server)
    target = tmp_path / "fashion_mnist" / FILE
    assert line.startswith(f"{target}: {message.replace('URL', f'{server.url}/there/{FILE}')}")
    mend = f"put it into {target.parent} by hand, or set data.mirror or data.root in config.yaml"
    assert line.endswith(mend)
    assert files(tmp_path) == []
    server.content, server.status, server.sends = CONTENT, 200, len(CONTENT)
    assert get(tmp_path, server).read_bytes() == CONTENT
    assert files(tmp_path) == [f"fashion_mnist/{FILE}"]


def test_a_server_that_is_down_is_named(tmp_path: Path, server: Server) -> None:
    server.stop()
    assert f"cannot be downloaded from {server.url}/there/{FILE}: Connection refused; put it" in refused(
        tmp_path, server
    )


def test_a_server_that_says_nothing_is_given_up(
    tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archives, "PATIENCE", 0.2)
    server.go_on.clear()
    assert "timed out; put it" in refused(tmp_path, server)
    assert files(tmp_path) == []
    with socket.create_server(("127.0.0.1", 0)) as silent:
        assert "timed out; put it" in refused(tmp_path, server, mirror=f"http://127.0.0.1:{silent.getsockname()[1]}")


@pytest.mark.parametrize("mirror", ["file:///etc", "data.example.org", "http://[::1", "http://127.0.0.1:x", "http:// "])
def test_an_impossible_mirror_is_named(tmp_path: Path, server: Server, mirror: str) -> None:
    assert f"cannot be downloaded from {mirror.rstrip('/')}/fashion_mnist/{FILE}: " in refused(
        tmp_path, server, mirror=mirror
    )


def fetch_and_say(wanted: Archive, root: Path, said: Connection) -> None:
    said.send("ready")
    said.send(fetch("fashion_mnist", wanted, root, None))


def in_another_process(root: Path, server: Server) -> tuple[BaseProcess, Connection]:
    """A process that downloads the file, once ready, and what it says."""
    heard, said = forked.context().Pipe(duplex=False)
    wanted = archive(url=f"{server.url}/there/{FILE}")
    process = forked.context().Process(target=fetch_and_say, args=(wanted, root, said))
    process.start()
    return process, heard


def eventually(condition: Callable[[], object]) -> None:
    limit = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < limit
        time.sleep(0.02)


def partial(root: Path) -> Path:
    return root / "fashion_mnist" / f".{FILE}.part" / FILE


def half_is_there(root: Path) -> bool:
    return partial(root).exists() and partial(root).stat().st_size > 0


def test_processes_that_need_the_same_file_download_it_once(tmp_path: Path, server: Server) -> None:
    server.go_on.clear()
    both = [in_another_process(tmp_path, server) for _ in range(2)]
    assert [heard.recv() for _, heard in both] == ["ready"] * 2
    eventually(lambda: half_is_there(tmp_path))
    # Time in which the second would start its own download if it did not wait.
    time.sleep(0.5)
    # torchvision asks twice, the first time for redirects.
    asked = len(server.requests)
    server.go_on.set()
    for process, heard in both:
        assert heard.poll(60)
        assert heard.recv() == tmp_path / "fashion_mnist" / FILE
        process.join()
    assert len(server.requests) == asked == 2
    assert files(tmp_path) == [f"fashion_mnist/{FILE}"]
    # Other users can take the lock too, whatever the umask of the first.
    assert (tmp_path / "fashion_mnist" / f"{FILE}.lock").stat().st_mode & 0o777 == 0o666


def test_what_a_killed_download_left_is_cleaned_up(tmp_path: Path, server: Server) -> None:
    server.go_on.clear()
    process, _ = in_another_process(tmp_path, server)
    eventually(lambda: half_is_there(tmp_path))
    process.kill()
    process.join()
    assert files(tmp_path) == [str(partial(tmp_path).relative_to(tmp_path))]
    server.go_on.set()
    assert get(tmp_path, server).read_bytes() == CONTENT
    assert files(tmp_path) == [f"fashion_mnist/{FILE}"]


def test_a_full_disk_is_named(tmp_path: Path, server: Server) -> None:
    root = tmp_path / "disk"
    mounted(root, "size=64k")
    try:
        line = refused(root, server)
        assert line.startswith(f"{root}/fashion_mnist/{FILE}: cannot be read or written: No space left on device; make")
        assert files(root) == []
        subprocess.run(["mount", "-o", "remount,size=1m", root], check=True)
        assert get(root, server).read_bytes() == CONTENT
    finally:
        subprocess.run(["umount", root], check=True)


def test_a_read_only_root_serves_what_it_has_and_is_named_otherwise(tmp_path: Path, server: Server) -> None:
    root = tmp_path / "disk"
    mounted(root, "size=1m")
    try:
        (root / "one").mkdir()
        (root / "one" / FILE).write_bytes(CONTENT)
        subprocess.run(["mount", "-o", "remount,ro", root], check=True)
        assert get(root, server) == root / "one" / FILE
        with pytest.raises(StoreError, match="svhn: cannot be read or written: Read-only file system; make room or"):
            fetch("svhn", archive(b"else"), root, server.url)
        assert not server.requests
    finally:
        subprocess.run(["umount", root], check=True)


def test_a_root_that_is_a_file_is_named(tmp_path: Path, server: Server) -> None:
    (tmp_path / "file").write_text("")
    assert "cannot be read or written: Not a directory" in refused(tmp_path / "file", server)


def test_the_published_fashion_mnist_is_accepted_from_a_server(
    tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Debian's files differ from the published ones in the header alone; with that restored, the checksum is theirs."""
    if not PACKAGED.exists():
        pytest.skip("needs Debian's package dataset-fashion-mnist")
    for file, entry in ARCHIVES["fashion_mnist"].items():
        assert fetch("fashion_mnist", entry, PACKAGED.parent, None) == PACKAGED / file
        packaged = (PACKAGED / file).read_bytes()
        saved_at = 1504176606 if file.startswith("train") else 1504176627
        name = file.removesuffix(".gz").encode() + b"\0"
        server.content = b"\x1f\x8b\x08\x08" + saved_at.to_bytes(4, "little") + packaged[8:10] + name + packaged[10:]
        server.sends = len(server.content)
        path = fetch("fashion_mnist", entry, tmp_path, server.url)
        assert gzip.decompress(path.read_bytes()) == gzip.decompress(packaged)
        assert path.stat().st_size == next(iter(entry.versions.values()))


def tar(path: Path, *members: tuple[str, bytes | str]) -> Path:
    """A gzipped tar archive of files, or, with a text as content, of symbolic links."""
    with tarfile.open(path, "w:gz") as out:
        for name, content in members:
            info = tarfile.TarInfo(name)
            if isinstance(content, str):
                info.type, info.linkname = tarfile.SYMTYPE, content
                out.addfile(info)
            else:
                info.size = len(content)
                out.addfile(info, io.BytesIO(content))
    return path


def test_only_the_wanted_members_of_a_tar_archive_are_read(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    evil: list[tuple[str, bytes | str]] = [
        ("../x", b"evil"),
        ("/tmp/largestep-evil", b"evil"),
        ("link", "/etc/passwd"),
        ("b/../../y", b"evil"),
    ]
    path = tar(folder / "a.tar.gz", *evil, ("b/one", b"1"), ("b/two", b"22"))
    assert archives.untar(path, {"b/one": 1, "b/two": 2}) == {"b/one": b"1", "b/two": b"22"}
    assert files(tmp_path) == ["in/a.tar.gz"]
    assert not Path("/tmp/largestep-evil").exists()


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ([("one", b"1")], "has no member two"),
        ([("one", b"1"), ("two", b"333")], "two has 3 instead of 2 bytes"),
        ([("one", b"1"), ("two", b"1")], "two has 1 instead of 2 bytes"),
        ([("one", b"1"), ("two", bytes(10**7))], "two has 10000000 instead of 2 bytes"),
        ([("one", b"1"), ("two", "one")], "two is not one plain file"),
        ([("one", b"1"), ("two", "/etc/passwd")], "two is not one plain file"),
        ([("one", b"1"), ("one", b"2"), ("two", b"22")], "one is not one plain file"),
    ],
)
def test_a_malformed_tar_archive_is_named(tmp_path: Path, members: list[tuple[str, bytes | str]], message: str) -> None:
    with pytest.raises(StoreError) as error:
        archives.untar(tar(tmp_path / "a.tar.gz", *members), {"one": 1, "two": 2})
    assert str(error.value) == f"{tmp_path}/a.tar.gz: {message}; delete the archive and run again"


def test_a_damaged_archive_is_named(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    one, two = rng.bytes(5000), rng.bytes(3000)
    path = tar(tmp_path / "a.tar.gz", ("one", one), ("two", two))
    packed = tmp_path / "b.gz"
    packed.write_bytes(gzip.compress(one))
    zipped = tmp_path / "c.zip"
    with zipfile.ZipFile(zipped, "w", zipfile.ZIP_DEFLATED) as out:
        out.writestr("one", one)

    def read_tar() -> object:
        return list(archives.untar(path, {"one": 5000, "two": 3000}).values()) == [one, two]

    def read_gzip() -> object:
        return archives.gunzip(packed, 5000) == one

    def read_zip() -> object:
        with archives.reading(zipped), zipfile.ZipFile(zipped) as file:
            return archives.unzip(zipped, file, "one", 5000) == one

    for file, read in ((path, read_tar), (packed, read_gzip), (zipped, read_zip)):
        content = file.read_bytes()
        assert read()
        for length in rng.integers(0, len(content) - 20, 15):
            file.write_bytes(content[:length])
            with pytest.raises(StoreError, match=rf"{file.name}: .*delete (it|the archive) and run again"):
                read()
        if file != path:
            # In the middle of the data; the checksums of gzip and zip find it.
            file.write_bytes(content[:2000] + bytes([content[2000] ^ 4]) + content[2001:])
            with pytest.raises(StoreError, match=rf"{file.name}: is damaged .*; delete it and run again"):
                read()


@pytest.mark.parametrize(("size", "length"), [(4999, "more"), (5001, "5000 bytes"), (10, "more")])
def test_a_gzip_file_of_another_length_is_named(tmp_path: Path, size: int, length: str) -> None:
    path = tmp_path / "a.gz"
    path.write_bytes(gzip.compress(bytes(5000)))
    with pytest.raises(StoreError) as error:
        archives.gunzip(path, size)
    assert str(error.value) == f"{path}: holds {length} instead of {size} bytes; delete it and run again"


def test_no_more_of_a_member_is_read_than_it_should_hold(tmp_path: Path) -> None:
    """A hundred megabytes of zeros must not be unpacked to find that it is too long."""
    path, zipped = tmp_path / "bomb.gz", tmp_path / "bomb.zip"
    with (
        gzip.open(path, "wb", compresslevel=1) as out,
        zipfile.ZipFile(zipped, "w", zipfile.ZIP_DEFLATED) as zip_out,
        zip_out.open("bomb", "w") as member,
    ):
        for _ in range(100):
            out.write(bytes(1 << 20))
            member.write(bytes(1 << 20))
    tracemalloc.start()
    with pytest.raises(StoreError, match="holds more instead of 100 bytes"):
        archives.gunzip(path, 100)
    with zipfile.ZipFile(zipped) as file, pytest.raises(StoreError, match="bomb has more than 100 bytes"):
        archives.unzip(zipped, file, "bomb", 100)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 5_000_000


def test_a_member_that_a_zip_archive_lacks_or_hides_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as out:
        out.writestr("secret", b"content")
    content = bytearray(path.read_bytes())
    # The bit that says encrypted, in the local header and in the directory.
    content[6] |= 1
    content[content.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(content)
    with zipfile.ZipFile(path) as file:
        with pytest.raises(StoreError, match=r"a\.zip: has no member other; delete the archive"):
            archives.unzip(path, file, "other", 10)
        with pytest.raises(StoreError, match=r"a\.zip: is damaged \(.*encrypted"):
            archives.unzip(path, file, "secret", 10)
