"""Store files in Google Cloud Storage; needs the extra `gcs`."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import aclosing, contextmanager
from datetime import datetime
from io import BytesIO
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import aiohttp
from gcloud.aio.auth import Token
from gcloud.aio.storage import SCOPES, Blob, Bucket
from gcloud.aio.storage import Storage as Client

from host.errors import NotFound, Unavailable
from host.storage.content_disposition import content_disposition
from host.storage.namespace import Content, PresignedUpload, Stored, checked, checked_range, nothing
from host.storage.pieces import in_parts

_log = logging.getLogger("host.storage")
_GOOGLE = "https://storage.googleapis.com"
_PART = 8 * 1024 * 1024  # pieces of a resumable upload are multiples of 256 KiB, the last one excepted
_PIECE = 256 * 1024
_MOST_PARTS = 32  # that one call joins
_AT_ONCE = 20
_SECONDS = 60


class GcsStorage:
    """Implements `Storage` in a bucket; a file over 8 MiB is a resumable upload, visible when complete."""

    def __init__(self, bucket: str, *, endpoint: str = "", credentials_file: str = "") -> None:
        """endpoint: "" for Google's own. Without a file of a service account, the machine's credentials are used.

        The bucket must exist.
        """
        self._bucket, self._endpoint, self._file = bucket, endpoint.rstrip("/"), credentials_file or None
        self._opened: Client | None = None

    async def put(self, key: str, content: Content) -> int:
        """See `Storage.put`."""
        checked(key)
        if isinstance(content, bytes):
            await self._put_whole(key, content)
            return len(content)
        async with aclosing(in_parts(content, _PART)) as parts:
            first = await anext(parts, b"")
            second = await anext(parts, None)
            if second is not None:
                return await self._put_parts(key, first, second, parts)
        await self._put_whole(key, first)
        return len(first)

    async def get(self, key: str, start: int = 0, stop: int | None = None) -> AsyncIterator[bytes]:
        """See `Storage.get`."""
        checked_range(start, stop)
        if start == stop:
            await self.stat(key)
            return nothing()
        # stored bytes as they are: else Google unpacks what was stored packed, and a range would be of other bytes
        headers = {"Accept-Encoding": "gzip"}
        if start or stop is not None:
            headers["Range"] = f"bytes={start}-{'' if stop is None else stop - 1}"
        with _translated_errors():
            try:
                stream = await self._client().download_stream(self._bucket, checked(key), headers=headers)
            except aiohttp.ClientResponseError as error:
                if error.status == 416:
                    return nothing()
                raise
        return _pieces(stream)

    async def stat(self, key: str) -> Stored:
        """See `Storage.stat`."""
        with _translated_errors():
            return _stored(await self._client().download_metadata(self._bucket, checked(key)))

    async def compose(self, key: str, parts: Sequence[str]) -> int:
        """See `Storage.compose`; Google joins 32 files at a time, so more of them are joined in steps."""
        if not parts:
            raise ValueError(f"{key}: a file composed of no parts")
        client, waiting, made = self._client(), [checked(part) for part in parts], list[str]()
        try:
            with _translated_errors():
                while len(waiting) > _MOST_PARTS:
                    joined = []
                    for begin in range(0, len(waiting), _MOST_PARTS):
                        made.append(f"{checked(key)[:800]}~{uuid4().hex}")
                        await client.compose(self._bucket, made[-1], waiting[begin : begin + _MOST_PARTS])
                        joined.append(made[-1])
                    waiting = joined
                return int((await client.compose(self._bucket, checked(key), waiting))["size"])
        except Unavailable:
            await asyncio.gather(*map(self.stat, parts))  # NotFound says more, where that is the cause
            raise
        finally:
            if made:
                await asyncio.shield(self._delete_all(made))

    async def presign_get(self, key: str, *, seconds: int, filename: str, media_type: str, inline: bool) -> str:
        """See `Storage.presign_get`."""
        disposition = content_disposition(filename, inline=inline, media_type=media_type)
        said = {"response-content-disposition": disposition, "response-content-type": media_type}
        return await self._signed("GET", key, seconds, {}, said)

    async def presign_put(self, key: str, *, length: int, media_type: str, seconds: int) -> PresignedUpload:
        """See `Storage.presign_put`."""
        kind = media_type.lower()  # the library signs lower-case values
        # a signed Content-Length is not compared by Google; this header is, with what arrives
        limit = f"{length},{length}"
        signed = {"content-type": kind, "x-goog-content-length-range": limit}
        url = await self._signed("PUT", key, seconds, dict(signed), {})
        return PresignedUpload(url, {"Content-Length": str(length), "Content-Type": kind} | dict([signed.popitem()]))

    async def delete(self, key: str) -> None:
        """See `Storage.delete`."""
        try:
            with _translated_errors():
                await self._client().delete(self._bucket, checked(key))
        except NotFound:
            return

    async def list(self, prefix: str) -> AsyncIterator[Stored]:
        """See `Storage.list`."""
        params = {"prefix": prefix}
        while True:
            with _translated_errors():
                answer = await self._client().list_objects(self._bucket, params=params)
            for entry in answer.get("items", ()):
                yield _stored(entry)
            if not answer.get("nextPageToken"):
                return
            params = {"prefix": prefix, "pageToken": answer["nextPageToken"]}

    async def page(self, prefix: str, after: str, limit: int) -> Sequence[Stored]:
        """See `Storage.page`."""
        found: list[Stored] = []
        # Google's offset is the first name that may come, so one name more is asked for
        params = {"prefix": prefix, "startOffset": after, "maxResults": str(min(limit + 1, 1000))}
        while len(found) < limit:
            with _translated_errors():
                answer = await self._client().list_objects(self._bucket, params=params)
            found += [stored for stored in map(_stored, answer.get("items", ())) if stored.key != after]
            if not answer.get("nextPageToken"):
                break
            params["pageToken"] = answer["nextPageToken"]
        return found[:limit]

    async def purge_prefix(self, prefix: str) -> int:
        """See `Storage.purge_prefix`."""
        checked(prefix.rstrip("/"))
        keys = [stored.key async for stored in self.list(prefix)]
        await self._delete_all(keys)
        return len(keys)

    async def ping(self) -> None:
        """See `Storage.ping`."""
        with _translated_errors():
            await self._client().list_objects(self._bucket, params={"maxResults": "1"})

    async def close(self) -> None:
        """See `Storage.close`."""
        opened, self._opened = self._opened, None
        if opened is not None:
            await opened.close()
            await opened.token.close()

    def _client(self) -> Client:
        if self._opened is None:
            try:
                # a token of its own first: a client that fails over its file would leave a session open
                token = Token(service_file=self._file, scopes=SCOPES)
                self._opened = Client(token=token, api_root=self._endpoint or None)
            except (OSError, ValueError) as error:
                raise Unavailable("The credentials of the file storage cannot be read.") from error
        return self._opened

    async def _put_whole(self, key: str, content: bytes) -> None:
        with _translated_errors():
            await self._client().upload(
                self._bucket, key, content, content_type="application/octet-stream", timeout=_SECONDS
            )

    async def _put_parts(self, key: str, first: bytes, second: bytes, rest: AsyncIterator[bytes]) -> int:
        """A resumable upload: https://cloud.google.com/storage/docs/performing-resumable-uploads#chunked-upload."""
        session = await self._begin(key)
        try:
            sent, waiting = 0, first
            async for part in _one_more(second, rest):
                await self._send(session, waiting, sent, "*")
                sent += len(waiting)
                waiting = part
            await self._send(session, waiting, sent, str(sent + len(waiting)))
        except BaseException:
            await asyncio.shield(self._abandon(session, key))
            raise
        return sent + len(waiting)

    async def _begin(self, key: str) -> str:
        root = self._endpoint or "https://www.googleapis.com"
        url = f"{root}/upload/storage/v1/b/{self._bucket}/o?uploadType=resumable&name={quote(key, safe='')}"
        headers = {**await self._authorization(), "X-Upload-Content-Type": "application/octet-stream"}
        with _translated_errors():
            response = await self._client().session.post(url, headers=headers, data=b"", timeout=_SECONDS)
        return str(response.headers["Location"])

    async def _send(self, session: str, part: bytes, start: int, total: str) -> None:
        last = start + len(part) - 1
        headers = {"Content-Range": f"bytes {start}-{last}/{total}", "Content-Type": "application/octet-stream"}
        with _translated_errors():
            response = await self._client().session.put(session, headers=headers, data=BytesIO(part), timeout=_SECONDS)
        taken = response.headers.get("Range", "")
        if total == "*" and taken != f"bytes=0-{last}":
            raise Unavailable(f"The file storage kept {taken or 'nothing'} of {last + 1} bytes.")

    async def _abandon(self, session: str, key: str) -> None:
        try:
            await self._client().session.delete(session, headers={}, timeout=_SECONDS)
        except (aiohttp.ClientError, TimeoutError) as error:
            if not (isinstance(error, aiohttp.ClientResponseError) and error.status == 499):  # Google's "done"
                _log.warning("an upload could not be abandoned, it ends in a week: %s (%s)", key, error)

    async def _delete_all(self, keys: Sequence[str]) -> None:
        for begin in range(0, len(keys), _AT_ONCE):
            await asyncio.gather(*map(self.delete, keys[begin : begin + _AT_ONCE]))

    async def _authorization(self) -> dict[str, str]:
        if self._endpoint:
            return {}
        with _translated_errors():
            return {"Authorization": f"Bearer {await self._client().token.get()}"}

    async def _signed(self, method: str, key: str, seconds: int, headers: dict[str, str], query: dict[str, str]) -> str:
        """A V4 signature by the service account's key, or by Google's IAM where the machine has no key."""
        client = self._client()
        blob = Blob(Bucket(client, self._bucket), checked(key), {"size": 0})
        with _translated_errors():
            account = client.token.service_data.get("client_email") or await self._account(client)
            url: str = await blob.get_signed_url(
                seconds, headers=headers, query_params=query, http_method=method, service_account_email=account
            )
        return url.replace(_GOOGLE, self._endpoint, 1) if self._endpoint else url

    async def _account(self, client: Client) -> str:
        """The machine's service account, as Google's metadata server tells it."""
        url = "http://metadata.google.internal/computeMetadata/v1/instance/service-accounts/default/email"
        response = await client.session.get(url, headers={"Metadata-Flavor": "Google"}, timeout=5)
        return (await response.text()).strip()


def _stored(entry: Mapping[str, Any]) -> Stored:
    modified = datetime.fromisoformat(str(entry["updated"]).replace("Z", "+00:00"))
    tag = entry.get("etag") or entry.get("generation") or ""
    return Stored(str(entry["name"]), int(entry["size"]), modified, str(tag).strip('"'))


async def _one_more(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for part in rest:
        yield part


async def _pieces(stream: Any) -> AsyncIterator[bytes]:
    async with stream:
        with _translated_errors():
            while piece := await stream.read(_PIECE):
                yield piece


@contextmanager
def _translated_errors() -> Iterator[None]:
    """Raise the errors of Google as the host's NotFound and Unavailable."""
    try:
        yield
    except aiohttp.ClientResponseError as error:
        if error.status == 404:
            raise NotFound() from error
        _log.error("Google Cloud Storage refuses: %s", error)
        raise Unavailable("The file storage refuses.") from error
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise Unavailable("The file storage is away.") from error
