from __future__ import annotations

from collections.abc import AsyncIterator

import aioboto3
import pytest

from host.errors import Unavailable
from host.storage.s3 import S3Storage


async def test_ask_when_nobody_listens_then_unavailable() -> None:
    storage = S3Storage("files", endpoint="http://127.0.0.1:9", access_key="a", secret_key="b")
    for asking in (storage.ping(), storage.put("a", b"x")):
        with pytest.raises(Unavailable):
            await asking
    await storage.close()


async def test_ask_when_secret_is_wrong_then_unavailable_not_not_found(rclone_url: str) -> None:
    storage = S3Storage("files", endpoint=rclone_url, access_key="tester", secret_key="wrong")
    with pytest.raises(Unavailable, match="refuses"):
        await storage.get("a")
    await storage.close()


async def test_put_when_it_fails_half_way_then_no_parts_are_left_behind(moto_url: str) -> None:
    async def broken() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b"x" * 1_000_000
        raise RuntimeError("boom")

    session = aioboto3.Session(aws_access_key_id="a", aws_secret_access_key="b", region_name="us-east-1")
    async with session.client("s3", endpoint_url=moto_url) as client:
        await client.create_bucket(Bucket="parts")
        storage = S3Storage("parts", endpoint=moto_url, access_key="a", secret_key="b")
        with pytest.raises(RuntimeError, match="boom"):
            await storage.put("a", broken())
        assert not (await client.list_multipart_uploads(Bucket="parts")).get("Uploads")
    await storage.close()
