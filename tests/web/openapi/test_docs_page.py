from __future__ import annotations

import re
from typing import Any

import pytest

from host.errors import NotFound
from host.web.openapi.docs_page import DOCS, documentation_pages

PAGES = documentation_pages("/api/v1/openapi.json")


async def test_page_when_opened_then_everything_it_loads_comes_from_here(web: Any) -> None:
    reply = await PAGES[DOCS](web.request(), {})
    page = reply.body.decode()
    loaded = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert len(loaded) == 4
    for address in loaded:
        name = address.removeprefix(f"{DOCS}/")
        asset = await PAGES[f"{DOCS}/<name>"](web.request(), {"name": name})
        assert (asset.status, len(asset.body) > 100) == (200, True)
    assert "<script>" not in page
    assert b"script-src 'self'" in web.header(reply, b"content-security-policy")


async def test_start_when_loaded_then_it_shows_the_document(web: Any) -> None:
    reply = await PAGES[f"{DOCS}/<name>"](web.request(), {"name": "start.js"})
    assert b'url: "/api/v1/openapi.json"' in reply.body


async def test_viewer_when_looked_at_then_it_knows_openapi_3_1(web: Any) -> None:
    reply = await PAGES[f"{DOCS}/<name>"](web.request(), {"name": "swagger-ui-bundle.js"})
    assert b"openapi31" in reply.body.lower() or b"oas31" in reply.body.lower()
    assert web.header(reply, b"content-type") == b"text/javascript; charset=utf-8"


@pytest.mark.parametrize("name", ["../secrets", "index.html", "", "swagger-ui.css/.."])
async def test_asset_when_unknown_then_not_found(web: Any, name: str) -> None:
    with pytest.raises(NotFound):
        await PAGES[f"{DOCS}/<name>"](web.request(), {"name": name})


async def test_asset_when_the_browser_has_it_then_not_modified(web: Any) -> None:
    view = PAGES[f"{DOCS}/<name>"]
    etag = web.header(await view(web.request(), {"name": "start.js"}), b"etag")
    again = await view(web.request(headers={"if-none-match": etag.decode()}), {"name": "start.js"})
    assert (again.status, again.body) == (304, b"")
