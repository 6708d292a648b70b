from __future__ import annotations

import re
from typing import Any

import pytest

from host.errors import NotFound
from host.web.jobs_page import JOBS, jobs_page

PAGES = jobs_page()


async def test_page_when_opened_then_everything_it_loads_comes_from_here_and_nothing_is_inline(web: Any) -> None:
    reply = await PAGES[JOBS](web.request(), {})
    page = reply.body.decode()
    loaded = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert [each for each in loaded if each != "data:,"] == [f"{JOBS}/jobs.css", f"{JOBS}/jobs.js"]
    for name in ("jobs.css", "jobs.js"):
        asset = await PAGES[f"{JOBS}/<name>"](web.request(), {"name": name})
        assert (asset.status, len(asset.body) > 1000) == (200, True)
    assert not re.search(r"<script(?![^>]*src=)|<style|\sstyle=|\son[a-z]+=", page)
    assert b"unsafe" not in web.header(reply, b"content-security-policy")


@pytest.mark.parametrize("name", ["jobs.html", "../jobs_page.py", ""])
async def test_asset_when_unknown_then_not_found(web: Any, name: str) -> None:
    with pytest.raises(NotFound):
        await PAGES[f"{JOBS}/<name>"](web.request(), {"name": name})
