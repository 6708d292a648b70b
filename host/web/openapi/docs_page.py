"""Serve Swagger UI at /api/docs, with every file from this server."""

from __future__ import annotations

import html
from collections.abc import Mapping
from functools import partial
from importlib.resources import files

import orjson

from host.web.server.application import View
from host.web.static_files import ServedFile, page_with

DOCS = "/api/docs"
_PACKAGE = "flask_openapi3_swagger"  # ships Swagger UI 5 as plain files; nothing of Flask is used
_ASSETS: Mapping[str, tuple[str, bytes]] = {
    "swagger-ui.css": ("css/swagger-ui.css", b"text/css; charset=utf-8"),
    "swagger-ui-bundle.js": ("js/swagger-ui-bundle.js", b"text/javascript; charset=utf-8"),
    "swagger.svg": ("images/swagger.svg", b"image/svg+xml"),
}
_POLICY = (
    b"default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    b"connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<link rel="icon" href="{docs}/swagger.svg">
<link rel="stylesheet" href="{docs}/swagger-ui.css">
</head>
<body>
<div id="swagger-ui"></div>
<script src="{docs}/swagger-ui-bundle.js"></script>
<script src="{docs}/start.js"></script>
</body>
</html>
"""
_START = """window.ui = SwaggerUIBundle({
  url: %s,
  dom_id: "#swagger-ui",
  deepLinking: true,
  showExtensions: true,
  persistAuthorization: false,
  validatorUrl: null,
});
"""


def documentation_pages(document_url: str, title: str = "Tenantry API") -> dict[str, View]:
    """GET views by absolute path: the page that shows the document at `document_url`, and its assets."""
    page = ServedFile(_PAGE.format(title=html.escape(title), docs=DOCS).encode(), b"text/html; charset=utf-8", _POLICY)
    start = ServedFile((_START % orjson.dumps(document_url).decode()).encode(), b"text/javascript; charset=utf-8")
    assets = {name: partial(_asset, path, content_type) for name, (path, content_type) in _ASSETS.items()}
    return page_with(DOCS, page, {"start.js": lambda: start, **assets})


def _asset(path: str, content_type: bytes) -> ServedFile:
    return ServedFile(read_asset(path), content_type)


def read_asset(path: str) -> bytes:
    """One file of Swagger UI, by its path in the package.

    Raises:
        FileNotFoundError: this version of the package has no such file.
    """
    return (files(_PACKAGE) / "templates" / "swagger" / path).read_bytes()
