"""Serve the page at /api/jobs on which operators and administrators watch and control background jobs.

The page is three static files without data: it signs in, reads and acts through the API alone, so it grants nothing
that the API does not. The access token stays in the memory of the browser tab.
"""

from __future__ import annotations

from functools import partial
from importlib.resources import files

from host.web.server.application import View
from host.web.static_files import ServedFile, page_with

JOBS = "/api/jobs"
_POLICY = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; "
    b"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_TYPES = {"jobs.js": b"text/javascript; charset=utf-8", "jobs.css": b"text/css; charset=utf-8"}


def jobs_page() -> dict[str, View]:
    """GET views by absolute path: the page, its script and its style."""
    assets = {name: partial(_file, name, content_type) for name, content_type in _TYPES.items()}
    return page_with(JOBS, _file("jobs.html", b"text/html; charset=utf-8", _POLICY), assets)


def _file(name: str, *about: bytes) -> ServedFile:
    return ServedFile((files("host.web") / "pages" / name).read_bytes(), *about)
