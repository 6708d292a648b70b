"""Store files in S3 or a compatible object store."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, contextmanager
from typing import Any

import aioboto3  # type: ignore[import-untyped]
from botocore.config import Config  # type: ignore[import-untyped]
from botocore.exceptions import BotoCoreError, ClientError  # type: ignore[import-untyped]

from host.errors import NotFound, Unavailable
from host.storage.content_disposition import content_disposition
from host.storage.namespace import Content, PresignedUpload, Stored, checked, checked_range, joined, nothing
from host.storage.pieces import in_parts

_log = logging.getLogger("host.storage")
_PART = 8 * 1024 * 1024  # S3 takes parts of 5 MiB and more, the last one excepted
_PIECE = 256 * 1024
_SMALLEST_PART = 5 * 1024 * 1024  # of a multipart upload, the last part excepted
_LARGEST_PART = 5 * 1024**3
_MOST_PARTS = 10_000
_BEYOND = frozenset({"InvalidRange", "416"})
_ABSENT = frozenset({"NoSuchKey", "404", "NotFound"})


class S3Storage:
    """Implements `Storage` in a bucket; a file over 8 MiB is a multipart upload, visible when complete."""

    def __init__(
        self, bucket: str, *, endpoint: str = "", region: str = "us-east-1", access_key: str = "", secret_key: str = ""
    ) -> None:
        """endpoint: "" for Amazon's own. Without keys, the machine's credentials are used. The bucket must exist."""
        self._bucket = bucket
        self._session = aioboto3.Session(
            aws_access_key_id=access_key or None, aws_secret_access_key=secret_key or None, region_name=region
        )
        self._endpoint = endpoint or None
        self._stack = AsyncExitStack()
        self._opened: Any = None
        self._opening = asyncio.Lock()

    async def put(self, key: str, content: Content) -> int:
        """See `Storage.put`."""
        client, place = await self._client(), self._place(key)
        if isinstance(content, bytes):
            with _translated_errors():
                await client.put_object(**place, Body=content)
            return len(content)
        async with aclosing(in_parts(content, _PART)) as parts:
            first = await anext(parts, b"")
            second = await anext(parts, None)
            if second is not None:
                return await self._put_parts(client, place, first, second, parts)
        with _translated_errors():
            await client.put_object(**place, Body=first)
        return len(first)

    async def get(self, key: str, start: int = 0, stop: int | None = None) -> AsyncIterator[bytes]:
        """See `Storage.get`."""
        checked_range(start, stop)
        client, place = await self._client(), self._place(key)
        if start == stop:
            await self.stat(key)
            return nothing()
        if start or stop is not None:
            place["Range"] = f"bytes={start}-{'' if stop is None else stop - 1}"
        with _translated_errors():
            try:
                response = await client.get_object(**place)
            except ClientError as error:
                if error.response.get("Error", {}).get("Code") in _BEYOND:
                    return nothing()
                raise
        return _pieces(response["Body"])

    async def stat(self, key: str) -> Stored:
        """See `Storage.stat`."""
        client = await self._client()
        with _translated_errors():
            response = await client.head_object(**self._place(key))
        return Stored(key, response["ContentLength"], response["LastModified"], response["ETag"].strip('"'))

    async def compose(self, key: str, parts: Sequence[str]) -> int:
        """See `Storage.compose`; S3 joins parts of 5 MiB to 5 GiB, the last one may be smaller."""
        if not parts:
            raise ValueError(f"{key}: a file composed of no parts")
        sizes = [(await self.stat(part)).size for part in parts]
        able = len(parts) <= _MOST_PARTS and max(sizes) <= _LARGEST_PART and min(sizes) > 0
        if able and min(sizes[:-1], default=_SMALLEST_PART) >= _SMALLEST_PART:
            try:
                await self._copy_parts(await self._client(), self._place(key), parts)
            except _CannotCopy:
                _log.info("this S3 server cannot join files itself; they are read and written")
            else:
                return sum(sizes)
        return await self.put(key, joined(self, parts))

    async def presign_get(self, key: str, *, seconds: int, filename: str, media_type: str, inline: bool) -> str:
        """See `Storage.presign_get`."""
        disposition = content_disposition(filename, inline=inline, media_type=media_type)
        said = {"ResponseContentDisposition": disposition, "ResponseContentType": media_type}
        return await self._presigned("get_object", {**self._place(key), **said}, seconds)

    async def presign_put(self, key: str, *, length: int, media_type: str, seconds: int) -> PresignedUpload:
        """See `Storage.presign_put`."""
        said = {"ContentLength": length, "ContentType": media_type}
        url = await self._presigned("put_object", {**self._place(key), **said}, seconds)
        return PresignedUpload(url, {"Content-Length": str(length), "Content-Type": media_type})

    async def _presigned(self, method: str, params: dict[str, Any], seconds: int) -> str:
        client = await self._client()
        with _translated_errors():
            url: str = await client.generate_presigned_url(method, Params=params, ExpiresIn=seconds)
        return url

    async def delete(self, key: str) -> None:
        """See `Storage.delete`."""
        client = await self._client()
        try:
            with _translated_errors():
                await client.delete_object(**self._place(key))
        except NotFound:
            return

    async def list(self, prefix: str) -> AsyncIterator[Stored]:
        """See `Storage.list`."""
        client = await self._client()
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=prefix)
        with _translated_errors():
            async for page in pages:
                for entry in page.get("Contents", ()):
                    yield _stored(entry)

    async def page(self, prefix: str, after: str, limit: int) -> Sequence[Stored]:
        """See `Storage.page`."""
        client = await self._client()
        found: list[Stored] = []
        while len(found) < limit:
            wanted = min(limit - len(found), 1000)
            with _translated_errors():
                answer = await client.list_objects_v2(
                    Bucket=self._bucket, Prefix=prefix, StartAfter=found[-1].key if found else after, MaxKeys=wanted
                )
            found += map(_stored, answer.get("Contents", ()))
            if not answer.get("IsTruncated"):
                break
        return found

    async def purge_prefix(self, prefix: str) -> int:
        """See `Storage.purge_prefix`."""
        checked(prefix.rstrip("/"))
        client = await self._client()
        keys = [stored.key async for stored in self.list(prefix)]
        for start in range(0, len(keys), 1000):
            batch = [{"Key": key} for key in keys[start : start + 1000]]
            with _translated_errors():
                answer = await client.delete_objects(Bucket=self._bucket, Delete={"Objects": batch, "Quiet": True})
            if answer.get("Errors"):
                raise Unavailable(f"{len(answer['Errors'])} files could not be removed.")
        return len(keys)

    async def ping(self) -> None:
        """See `Storage.ping`."""
        client = await self._client()
        with _translated_errors():
            await client.head_bucket(Bucket=self._bucket)

    async def close(self) -> None:
        """See `Storage.close`."""
        self._opened = None
        await self._stack.aclose()

    async def _client(self) -> Any:
        async with self._opening:
            if self._opened is None:
                config = Config(
                    signature_version="s3v4",
                    connect_timeout=5,
                    read_timeout=30,
                    retries={"max_attempts": 3, "mode": "standard"},
                    # not every server that speaks S3 knows the newer checksums
                    request_checksum_calculation="when_required",
                    response_checksum_validation="when_required",
                    s3={"addressing_style": "path" if self._endpoint else "auto"},
                )
                client = self._session.client("s3", endpoint_url=self._endpoint, config=config)
                self._opened = await self._stack.enter_async_context(client)
        return self._opened

    async def _put_parts(
        self, client: Any, place: dict[str, str], first: bytes, second: bytes, rest: AsyncIterator[bytes]
    ) -> int:
        async with _multipart(client, place) as (upload, sent):
            sent += [await self._put_part(client, upload, 1, first), await self._put_part(client, upload, 2, second)]
            size = len(first) + len(second)
            async for part in rest:
                sent.append(await self._put_part(client, upload, len(sent) + 1, part))
                size += len(part)
        return size

    async def _copy_parts(self, client: Any, place: dict[str, str], parts: Sequence[str]) -> None:
        async with _multipart(client, place) as (upload, sent):
            for number, part in enumerate(parts, 1):
                with _translated_errors():
                    try:
                        answer = await client.upload_part_copy(
                            **upload, PartNumber=number, CopySource={"Bucket": self._bucket, "Key": checked(part)}
                        )
                    except ClientError as error:
                        if error.response.get("Error", {}).get("Code") == "NotImplemented":
                            raise _CannotCopy from error
                        raise
                tag = answer.get("CopyPartResult", {}).get("ETag")
                if tag is None:  # how rclone says it
                    raise _CannotCopy
                sent.append({"PartNumber": number, "ETag": tag})

    async def _put_part(self, client: Any, upload: dict[str, str], number: int, part: bytes) -> dict[str, Any]:
        with _translated_errors():
            answer = await client.upload_part(**upload, PartNumber=number, Body=part)
        return {"PartNumber": number, "ETag": answer["ETag"]}

    def _place(self, key: str) -> dict[str, str]:
        return {"Bucket": self._bucket, "Key": checked(key)}


class _CannotCopy(Exception):
    """This server does not copy into parts of an upload."""


@asynccontextmanager
async def _multipart(client: Any, place: dict[str, str]) -> AsyncIterator[tuple[dict[str, str], list[dict[str, Any]]]]:
    """A multipart upload and the list of its parts, filled in the block; completed after it, or aborted."""
    with _translated_errors():
        upload = {**place, "UploadId": (await client.create_multipart_upload(**place))["UploadId"]}
    sent: list[dict[str, Any]] = []
    try:
        yield upload, sent
        with _translated_errors():
            await client.complete_multipart_upload(**upload, MultipartUpload={"Parts": sent})
    except BaseException:
        # parts of an upload that is not aborted are kept, and paid for, unseen
        await asyncio.shield(_abort(client, upload))
        raise


def _stored(entry: Any) -> Stored:
    return Stored(entry["Key"], entry["Size"], entry["LastModified"], entry["ETag"].strip('"'))


async def _abort(client: Any, upload: dict[str, str]) -> None:
    try:
        await client.abort_multipart_upload(**upload)
    except (ClientError, BotoCoreError) as error:
        _log.warning("an upload could not be aborted, its parts stay: %s (%s)", upload["Key"], error)


async def _pieces(body: Any) -> AsyncIterator[bytes]:
    async with body:
        with _translated_errors():
            while piece := await body.read(_PIECE):
                yield piece


@contextmanager
def _translated_errors() -> Iterator[None]:
    """Raise the errors of S3 as the host's NotFound and Unavailable."""
    try:
        yield
    except ClientError as error:
        if error.response.get("Error", {}).get("Code") in _ABSENT:
            raise NotFound() from error
        _log.error("S3 refuses: %s", error)
        raise Unavailable("The file storage refuses.") from error
    except (BotoCoreError, OSError) as error:
        raise Unavailable("The file storage is away.") from error
