"""Check values that a template puts into links and CSS."""

from __future__ import annotations

import html
import re
from typing import Any

from markupsafe import Markup, escape

from .errors import RenderFailed

SCHEMES = frozenset({"http", "https", "mailto", "tel", "cid"})
"""URL schemes that links in a mail may have."""

_SCHEME = re.compile(r"([a-z][a-z0-9+.-]*+):", re.IGNORECASE)
_PASSED_OVER = re.compile(r"[\x00-\x20\x7f-\xa0\u200b-\u200f\u2028-\u202e\ufeff]+")
_IN_STYLE = re.compile(r"[\w#%.,\- /]*+|https?://[\w\-.~:/?#@!$&*+,=%]++")


def link_is_safe(address: str) -> bool:
    """Whether a link may be in a mail: its scheme is in SCHEMES, or it is a fragment of the mail itself.

    Characters that browsers ignore in an address are removed first (WHATWG URL, section 4.4).
    """
    plain = _PASSED_OVER.sub("", address)
    scheme = _SCHEME.match(plain)
    return (scheme is not None and scheme[1].lower() in SCHEMES) or plain.startswith("#")


def safe_link(value: str) -> str:
    """The rendered value of an attribute that holds a link.

    Raises:
        RenderFailed: the link is not allowed in a mail, such as javascript:.
    """
    address = html.unescape(str(value))
    if not link_is_safe(address):
        raise RenderFailed(f"{address[:80]!r} is no address for a mail: give a full one, http, https or mailto")
    return value


def safe_style(value: Any) -> Markup:
    """A value inside CSS: a colour, a size, a font, or the address of an image.

    Raises:
        RenderFailed: it could be more than one value.
    """
    text = str(value)
    if not _IN_STYLE.fullmatch(text):
        raise RenderFailed(f"{text[:80]!r} cannot be used in a style: give a colour, a size or an address")
    return escape(text)
