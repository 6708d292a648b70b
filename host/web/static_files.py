"""Serve pages, scripts and styles from memory, with an ETag and 304 for unchanged content."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

from host.errors import NotFound
from host.web.responses.reply import HeaderPairs, Reply
from host.web.server.application import View
from host.web.server.request import TenantryRequest


class ServedFile:
    """Content served with its ETag, which lets a browser ask whether its copy is still current."""

    def __init__(self, content: bytes, content_type: bytes, policy: bytes = b"default-src 'none'") -> None:
        self._content = content
        self._kept: HeaderPairs = [
            (b"etag", b'"%s"' % hashlib.sha256(content).hexdigest()[:32].encode()),
            (b"cache-control", b"no-cache"),
        ]
        length = (b"content-length", b"%d" % len(content))
        self._headers = [(b"content-type", content_type), length, (b"content-security-policy", policy), *self._kept]

    def reply(self, request: TenantryRequest) -> Reply:
        """The content, or 304 if the request's If-None-Match holds its ETag."""
        if request.raw_headers.get(b"if-none-match") == self._kept[0][1]:
            return Reply(304, list(self._kept))
        return Reply(200, list(self._headers), self._content)


def page_with(address: str, page: ServedFile, assets: Mapping[str, Callable[[], ServedFile]]) -> dict[str, View]:
    """GET views by absolute path: a page, and below it its assets by name, each made on its first request."""
    made_assets: dict[str, ServedFile] = {}

    async def show(request: TenantryRequest, params: Mapping[str, Any]) -> Reply:
        return page.reply(request)

    async def asset(request: TenantryRequest, params: Mapping[str, Any]) -> Reply:
        name = params["name"]
        if name not in made_assets:
            if name not in assets:
                raise NotFound
            made_assets[name] = assets[name]()
        return made_assets[name].reply(request)

    return {address: show, f"{address}/<name>": asset}
