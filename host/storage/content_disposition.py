"""Build the Content-Disposition of a file: safe names, and nothing shown as a page that could run as one."""

from __future__ import annotations

import re
from urllib.parse import quote

from anyascii import anyascii

_SHOWN = re.compile(r"(?:image/(?!svg)|audio/|video/|text/plain(?![^;\s])|application/pdf(?![^;\s]))", re.IGNORECASE)
_NOT_IN_NAMES = re.compile(r"[\x00-\x1f\x7f-\x9f/\\\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]")
_NOT_QUOTED = re.compile(r"[^A-Za-z0-9 !#$&+.,@^_`{}~()\[\]=-]")
_LONGEST_NAME = 200


def content_disposition(filename: str, *, inline: bool, media_type: str) -> str:
    """A Content-Disposition (RFC 6266), with a plain name for old clients and the full one as RFC 8187 writes it.

    Only media that cannot run as a page are shown inline; line breaks, separators of paths and marks that turn the
    direction of text do not get into a name.
    """
    how = "inline" if inline and _SHOWN.match(media_type) else "attachment"
    name = _NOT_IN_NAMES.sub("_", filename).strip(" .")[:_LONGEST_NAME] or "file"
    plain = _NOT_QUOTED.sub("_", anyascii(name)).strip() or "file"
    full = "" if plain == name else f"; filename*=UTF-8''{quote(name, safe='')}"
    return f'{how}; filename="{plain}"{full}'
