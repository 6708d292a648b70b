"""Presigned links to locally stored files: signed tokens that one route of the host serves until they expire."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from host.crypto import SignedTokens
from host.errors import NotFound, PermissionDenied
from host.storage.namespace import PresignedUpload

PATH = "/storage"
"""Where the route is, below the API's base path."""

_PURPOSE = "storage"
_LONGEST_NAME = 200


@dataclass(frozen=True, slots=True)
class StorageLink:
    """What a link is good for: the file of one key, to be read as this type or to be stored with this length and type.

    Attributes:
        tenant_id, plugin: whose file it is.
    """

    tenant_id: UUID
    plugin: str
    key: str
    media_type: str
    filename: str = ""
    inline: bool = False
    length: int = 0


class StorageLinks:
    """Makes and reads links; base: the address of the API."""

    def __init__(self, tokens: SignedTokens, base: str) -> None:
        self._tokens, self._base = tokens, base

    def get(self, key: str, *, seconds: int, filename: str, media_type: str, inline: bool) -> str:
        """An address that gives a file."""
        shown = {"name": filename[:_LONGEST_NAME], "inline": "1"[: int(inline)]}
        return self._signed(key, seconds, way="get", type=media_type, **shown)

    def put(self, key: str, *, length: int, media_type: str, seconds: int) -> PresignedUpload:
        """An address that takes a file of this length and type."""
        url = self._signed(key, seconds, way="put", type=media_type, length=str(length))
        return PresignedUpload(url, {"Content-Length": str(length), "Content-Type": media_type})

    def open(self, token: str, way: Literal["get", "put"]) -> StorageLink:
        """What a token is good for.

        Raises:
            NotFound: it was not signed here, or is for the other way.
            PermissionDenied: it has expired.
        """
        verified = self._tokens.verify(token, "host", _PURPOSE)
        if verified is None or verified[1]["way"] != way:
            raise NotFound
        tenant_id, claims = verified
        if int(claims["until"]) < time.time():
            raise PermissionDenied("This link has expired.")
        return StorageLink(
            tenant_id,
            plugin=claims["key"].split("/")[2],
            key=claims["key"],
            media_type=claims["type"],
            filename=claims.get("name", ""),
            inline=bool(claims.get("inline")),
            length=int(claims.get("length", "0")),
        )

    def _signed(self, key: str, seconds: int, **claims: str) -> str:
        tenant_id = UUID(key.split("/")[1])  # keys of a namespace are t/<tenant>/<plugin>/…
        until = str(int(time.time()) + seconds)
        token = self._tokens.sign(tenant_id, "host", _PURPOSE, {"key": key, "until": until, **claims})
        return f"{self._base}{PATH}/{token}"
