"""Served files: pages, scripts and styles that the host has in memory, each with its ETag."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

from host.errors import NotFound
from host.web.responses.reply import HeaderPairs, Reply
from host.web.server.application import View
from host.web.server.request import TenantryRequest


class ServedFile:
    """Content with its ETag, asked for again only to hear that it is the same."""

    def __init__(self, content: bytes, content_type: bytes, policy: bytes = b"default-src 'none'") -> None:
        self._content = content
        self._kept: HeaderPairs = [
            (b"etag", b'"%s"' % hashlib.sha256(content).hexdigest()[:32].encode()),
            (b"cache-control", b"no-cache"),
        ]
        length = (b"content-length", b"%d" % len(content))
        self._headers = [(b"content-type", content_type), length, (b"content-security-policy", policy), *self._kept]

    def reply(self, request: TenantryRequest) -> Reply:
        """The content, or 304 for whoever has it."""
        if request.raw_headers.get(b"if-none-match") == self._kept[0][1]:
            return Reply(304, list(self._kept))
        return Reply(200, list(self._headers), self._content)


def page_with(address: str, page: ServedFile, assets: Mapping[str, Callable[[], ServedFile]]) -> dict[str, View]:
    """GET views by absolute path: a page, and below it its assets by name, each made when it is first asked for."""
    held: dict[str, ServedFile] = {}

    async def show(request: TenantryRequest, params: Mapping[str, Any]) -> Reply:
        return page.reply(request)

    async def asset(request: TenantryRequest, params: Mapping[str, Any]) -> Reply:
        name = params["name"]
        if name not in held:
            if name not in assets:
                raise NotFound
            held[name] = assets[name]()
        return held[name].reply(request)

    return {address: show, f"{address}/<name>": asset}
