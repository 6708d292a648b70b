"""`/storage/{token}`: presigned links to locally stored files."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import time_machine

from host.execution_context import as_plugin
from host.services import storage
from host.storage.namespace import StorageNamespace
from host.testing import TwoTenants
from tenants.context import bind


@contextmanager
def files_of(tenants: TwoTenants) -> Any:
    with tenants.application.inner.bound(), bind(tenants.acme.tenant_id), as_plugin("projects"):
        yield storage()


def path(url: str) -> str:
    assert url.startswith("http")
    return urlsplit(url).path


async def chunked(*pieces: bytes) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


async def linked(files: StorageNamespace, **said: Any) -> str:
    await files.put("docs/a.txt", b"0123456789")
    return path(await files.presign_get("docs/a.txt", **{"seconds": 60, "filename": "ü;.txt"} | said))


async def test_link_when_followed_by_anybody_then_the_file_its_range_and_its_name(two_tenants: TwoTenants) -> None:
    with files_of(two_tenants) as files:
        url = await linked(files, media_type="text/plain", inline=True)
        async with two_tenants.application.client() as visitor:
            answer = await visitor.get(url)
            assert (answer.status_code, answer.content) == (200, b"0123456789")
            assert answer.headers["content-type"] == "text/plain"
            assert (
                answer.headers["content-disposition"] == "inline; filename=\"u_.txt\"; filename*=UTF-8''%C3%BC%3B.txt"
            )
            part = await visitor.get(url, headers={"Range": "bytes=-3", "If-Range": answer.headers["etag"]})
            assert (part.status_code, part.content) == (206, b"789")
            same = await visitor.get(url, headers={"If-None-Match": answer.headers["etag"]})
            assert (same.status_code, (await visitor.head(url)).headers["content-length"]) == (304, "10")
            assert (await visitor.put(url, content=b"x")).status_code == 404
            assert (await visitor.get(url[:-1] + ("A" if url[-1] != "A" else "B"))).status_code == 404
        await files.delete("docs/a.txt")
        async with two_tenants.application.client() as visitor:
            assert (await visitor.get(url)).status_code == 404


async def test_link_when_it_has_expired_or_the_tenant_is_suspended_then_refused(two_tenants: TwoTenants) -> None:
    with files_of(two_tenants) as files:
        url = await linked(files)
        upload = await files.presign_put("b", length=1, media_type="text/plain", seconds=60)
        async with two_tenants.application.client() as visitor:
            with time_machine.travel(datetime.now(UTC) + timedelta(seconds=61), tick=True):
                assert (await visitor.get(url)).json()["error"]["message"] == "This link has expired."
                late = await visitor.put(path(upload.url), content=b"1", headers=dict(upload.headers))
                assert late.status_code == 403
            assert (await visitor.get(url)).status_code == 200
            await two_tenants.application.inner.provisioning.suspend(two_tenants.acme.tenant_id, "unpaid")
            assert (await visitor.get(url)).status_code == 404


async def test_upload_when_size_or_type_differ_then_refused_and_nothing_stored(two_tenants: TwoTenants) -> None:
    with files_of(two_tenants) as files:
        upload = await files.presign_put("direct/1", length=5, media_type="text/plain", seconds=60)
        url, kind = path(upload.url), {"Content-Type": "text/plain"}
        async with two_tenants.application.client() as visitor:
            for content, headers, status in (
                (b"1234", kind, 403),
                (b"123456", kind, 403),
                (b"12345", {"Content-Type": "text/html"}, 403),
                (b"12345", {}, 403),
                (chunked(b"123", b"4"), kind, 403),
                (chunked(b"123", b"456"), kind, 413),
            ):
                assert (await visitor.put(url, content=content, headers=headers)).status_code == status
            assert (await visitor.get(url)).status_code == 404
            assert [stored async for stored in files.list()] == []
            assert (await visitor.put(url, content=b"12345", headers=dict(upload.headers))).status_code == 204
            assert (await visitor.put(url, content=chunked(b"54", b"321"), headers=kind)).status_code == 204
        assert b"".join([piece async for piece in await files.get("direct/1")]) == b"54321"


async def test_upload_when_it_is_larger_than_other_bodies_may_be_then_stored(two_tenants: TwoTenants) -> None:
    with files_of(two_tenants) as files:
        upload = await files.presign_put("big", length=3_000_000, media_type="image/png", seconds=60)
        async with two_tenants.application.client() as visitor:
            sent = await visitor.put(path(upload.url), content=b"x" * 3_000_000, headers=dict(upload.headers))
            assert sent.status_code == 204
        assert (await files.stat("big")).size == 3_000_000
