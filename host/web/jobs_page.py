"""The page of background work at /api/jobs, for operators and an organisation's administrators.

It is three plain files and knows nothing: signing in, what is shown and what may be done are the API's own, so it is no
second way in. The access token stays in the memory of the tab.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from typing import Any

from host.errors import NotFound
from host.web.application import View
from host.web.reply import Reply
from host.web.request import TenantryRequest
from host.web.served_files import ServedFile

JOBS = "/api/jobs"
_POLICY = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; "
    b"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_TYPES = {"jobs.js": b"text/javascript; charset=utf-8", "jobs.css": b"text/css; charset=utf-8"}


def jobs_page() -> dict[str, View]:
    """GET views by absolute path: the page, its script and its style."""
    page = ServedFile(_read("jobs.html"), b"text/html; charset=utf-8", _POLICY)
    held = {name: ServedFile(_read(name), content_type) for name, content_type in _TYPES.items()}

    async def show(request: TenantryRequest, params: Mapping[str, Any]) -> Reply:
        return page.reply(request)

    async def asset(request: TenantryRequest, params: Mapping[str, Any]) -> Reply:
        if params["name"] not in held:
            raise NotFound
        return held[params["name"]].reply(request)

    return {JOBS: show, f"{JOBS}/<name>": asset}


def _read(name: str) -> bytes:
    return (files("host.web") / "pages" / name).read_bytes()
