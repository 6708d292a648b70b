"""Presigned links of S3 (rclone checks signatures) and GCS (its signature is checked here, by the public key)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, urlsplit
from uuid import uuid4

import httpx
import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from host.errors import Unavailable
from host.storage.gcs import GcsStorage
from host.storage.local import LocalStorage
from host.storage.namespace import LONGEST_LINK, StorageNamespace
from tests.storage.conftest import BUCKET, make_bucket, s3


@pytest.fixture
async def files(rclone_url: str) -> AsyncIterator[StorageNamespace]:
    await make_bucket(rclone_url)
    storage = s3(rclone_url)
    yield StorageNamespace(storage, uuid4(), "files")
    await storage.close()


async def test_s3_when_a_link_is_followed_then_the_file_or_its_range_with_the_name(files: StorageNamespace) -> None:
    await files.put("a", b"0123456789")
    url = await files.presign_get("a", seconds=60, filename="ü.pdf", media_type="application/pdf")
    async with httpx.AsyncClient() as client:
        assert (await client.get(url)).content == b"0123456789"
        assert (await client.get(url, headers={"Range": "bytes=2-4"})).content == b"234"
        assert (await client.get(url.replace("X-Amz-Expires=60", "X-Amz-Expires=61"))).status_code == 403
        assert (await client.put(url, content=b"x")).status_code == 403
    assert "attachment%3B%20filename%3D%22u.pdf%22" in url


async def test_s3_when_an_upload_is_of_the_signed_size_and_type_then_stored_else_refused(
    files: StorageNamespace,
) -> None:
    upload = await files.presign_put("a", length=5, media_type="text/plain", seconds=60)
    kind = {"Content-Type": "text/plain"}
    assert upload.headers == {"Content-Length": "5", "Content-Type": "text/plain"}
    async with httpx.AsyncClient() as client:
        for content, headers in ((b"123456", kind), (b"1234", kind), (b"12345", {"Content-Type": "text/html"})):
            assert (await client.put(upload.url, content=content, headers=headers)).status_code == 403
        assert [stored async for stored in files.list()] == []
        assert (await client.put(upload.url, content=b"12345", headers=dict(upload.headers))).status_code == 200
    assert (await files.stat("a")).size == 5


@pytest.mark.parametrize("seconds", [0, -1, LONGEST_LINK + 1])
async def test_link_when_it_would_be_good_for_too_long_then_refused(files: StorageNamespace, seconds: int) -> None:
    with pytest.raises(ValueError, match="link good for"):
        await files.presign_get("a", seconds=seconds, filename="a")
    with pytest.raises(ValueError, match="link good for"):
        await files.presign_put("a", length=1, media_type="text/plain", seconds=seconds)
    with pytest.raises(ValueError, match="-1 bytes"):
        await files.presign_put("a", length=-1, media_type="text/plain", seconds=60)


async def test_local_when_nobody_serves_links_then_unavailable(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="application that serves them"):
        await StorageNamespace(LocalStorage(tmp_path), uuid4(), "files").presign_get("a", seconds=60, filename="a")


KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)


@pytest.fixture
async def google(tmp_path: Path) -> AsyncIterator[StorageNamespace]:
    """Files in Google's own cloud, which signing a link does not speak to."""
    pem = KEY.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    facts = {"type": "service_account", "client_email": "a@b.example", "private_key": pem, "project_id": "p"}
    file = tmp_path / "key.json"
    file.write_text(json.dumps(facts))
    storage = GcsStorage(BUCKET, credentials_file=str(file))
    yield StorageNamespace(storage, uuid4(), "files")
    await storage.close()


def verified(method: str, url: str, headers: dict[str, str]) -> dict[str, str]:
    """The link's query, if its signature is right: https://cloud.google.com/storage/docs/authentication/signatures."""
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query))
    signature = bytes.fromhex(query.pop("X-Goog-Signature"))
    listed = "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in sorted(query.items()))
    lines = "".join(f"{name}:{value}\n" for name, value in sorted({**headers, "host": parts.netloc}.items()))
    signed = query["X-Goog-SignedHeaders"]
    assert signed == ";".join(sorted({**headers, "host": ""}))
    request = "\n".join([method, parts.path, listed, lines, signed, "UNSIGNED-PAYLOAD"])
    scope = query["X-Goog-Credential"].partition("/")[2]
    digest = hashlib.sha256(request.encode()).hexdigest()
    text = "\n".join(["GOOG4-RSA-SHA256", query["X-Goog-Date"], scope, digest])
    KEY.public_key().verify(signature, text.encode(), padding.PKCS1v15(), hashes.SHA256())
    return query


async def test_gcs_when_a_link_is_made_then_signed_as_google_says(google: StorageNamespace) -> None:
    url = await google.presign_get("ü/a b.pdf", seconds=60, filename="ü.pdf", media_type="application/pdf", inline=True)
    query = verified("GET", url, {})
    assert query["X-Goog-Expires"] == "60"
    assert query["response-content-disposition"] == "inline; filename=\"u.pdf\"; filename*=UTF-8''%C3%BC.pdf"
    assert query["response-content-type"] == "application/pdf"
    assert url.startswith(f"https://storage.googleapis.com/{BUCKET}/t/")


async def test_gcs_when_an_upload_is_made_then_size_and_type_are_signed(google: StorageNamespace) -> None:
    upload = await google.presign_put("a", length=5, media_type="Text/Plain", seconds=60)
    assert upload.headers == {
        "Content-Length": "5",
        "Content-Type": "text/plain",
        "x-goog-content-length-range": "5,5",
    }
    signed = {name.lower(): value for name, value in upload.headers.items() if name != "Content-Length"}
    verified("PUT", upload.url, signed)
    with pytest.raises(InvalidSignature):
        verified("PUT", upload.url, {**signed, "x-goog-content-length-range": "0,9"})


async def test_gcs_when_nobody_listens_then_unavailable(tmp_path: Path) -> None:
    storage = GcsStorage(BUCKET, endpoint="http://127.0.0.1:9")
    asking: Any
    for asking in (storage.ping(), storage.put("a", b"x"), storage.get("a")):
        with pytest.raises(Unavailable):
            await asking
    await storage.close()
    with pytest.raises(Unavailable, match="credentials"):
        await GcsStorage(BUCKET, credentials_file=str(tmp_path / "none.json")).ping()
