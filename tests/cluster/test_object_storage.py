"""Results on object storage, through Snakemake's S3 plugin and an S3 server on this machine."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import BotoCoreError, ClientError

from tests.cluster.digests import digests
from tests.conftest import Project, make_project

BUCKET = "largestep"
# By all stores, of which these are made.
MADE = ("results/claims.csv", "results/figures/diagonal_curves.png")
KEY = {"ACCESS_KEY": "not-a-key", "SECRET_KEY": "not-a-secret"}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """The address of an S3 server that holds its objects in memory."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with (tmp_path / "server.log").open("wb") as log:
        command = [sys.executable, "-m", "moto.server", "--host", "127.0.0.1", "--port", str(port)]
        process = subprocess.Popen(command, stdout=log, stderr=log)
    address = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 120
        while not _answers(address):
            assert process.poll() is None, (tmp_path / "server.log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.2)
        yield address
    finally:
        process.kill()
        process.wait()


def test_stores_in_a_bucket_are_those_of_a_local_run(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As a user would, by the environment: on a command line others see them.
    for name, value in KEY.items():
        monkeypatch.setenv(f"SNAKEMAKE_STORAGE_S3_{name}", value)
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "numba"))
    here, there = (_project(tmp_path / name) for name in ("local", "s3"))
    here.snakemake("--cores", "2", *MADE)
    storage = ("--default-storage-provider", "s3", "--default-storage-prefix", f"s3://{BUCKET}")
    arguments = (*storage, "--storage-s3-endpoint-url", server, "--cores", "2")
    there.snakemake(*arguments, *MADE)
    again = there.snakemake(*arguments, "--dry-run", *MADE)
    assert "Nothing to be done" in again.stdout + again.stderr

    bucket = _bucket(server)
    keys = {item.key for item in bucket.objects.all()}
    for key in keys:
        target = tmp_path / "fetched" / key
        target.parent.mkdir(parents=True, exist_ok=True)
        bucket.download_file(key, str(target))
    local = digests(here.folder)
    assert digests(tmp_path / "fetched") == local
    assert not any("/seeds/" in key and key.endswith("/snapshots.nc") for key in keys)  # temporary
    for name in MADE:
        assert (tmp_path / "fetched" / name).read_bytes() == (here.folder / name).read_bytes()
    assert not list((there.folder / "results").rglob("*.nc"))
    print(f"\n{len(keys)} objects in the bucket; {len(local)} stores equal to those of a local run")


def _project(folder: Path) -> Project:
    return make_project(folder, Path(__file__).parent / "config_small.yaml")


def _bucket(server: str) -> Any:
    access, secret = KEY.values()
    resource = boto3.resource(
        "s3", endpoint_url=server, aws_access_key_id=access, aws_secret_access_key=secret, region_name="us-east-1"
    )
    return resource.Bucket(BUCKET)


def _answers(server: str) -> bool:
    try:
        list(_bucket(server).objects.all())
    except ClientError:
        return True  # it says that there is no such bucket yet
    except (BotoCoreError, OSError):
        return False
    return True
