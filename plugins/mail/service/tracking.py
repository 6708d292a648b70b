"""Add open and click tracking to HTML mail, and count opens and clicks, where the tenant enabled it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from html import escape, unescape
from urllib.parse import quote, urlsplit
from uuid import UUID

from tortoise.expressions import F

from host.sdk import absolute_url, sign_token, tenant_settings, unit_of_work

from ..models import Message
from ..settings import TenantSettings
from .subscriptions import PATH as UNSUBSCRIBE_PATH
from .timeline import Happened, note

CLICK, OPEN = "click", "open"
"""The purposes of the signed tokens in links and pictures."""

CLICK_PATH, OPEN_PATH = "/mail/c/", "/mail/o/"

MOST_COUNTED = 1_000
"""Opens, and clicks, of one message that are counted at most; further ones are ignored."""

_LONGEST_TARGET = 2_000
_URL_SAFE = "/:?#[]@!$&'()*+,;=%-._~"
# Links, and everything that may contain something that looks like a link. A tag that is never closed swallows the rest,
# as in browsers; each character is read once, so that no HTML takes long.
_ATTRIBUTES = r"""[^>"']*+(?:(?:"[^"]*+"|'[^']*+')[^>"']*+)*+"""
_RAW = "script|style|title|textarea|xmp|iframe|noembed|noframes"
_TOKEN = re.compile(
    rf"""<(?:a|area)(?=[\s/])(?P<link>{_ATTRIBUTES})>
    | <(?P<raw>{_RAW})(?=[\s/>]).*?(?:</(?P=raw)(?=[\s/>])|\Z)
    | <[a-z]{_ATTRIBUTES}>
    | <!--.*?(?:-->|\Z)
    | <[a-z].*\Z""",
    re.IGNORECASE | re.DOTALL | re.VERBOSE,
)
_ATTRIBUTE = re.compile(
    r"""[\s/]++(?P<name>[^\s"'<>/=]+)(?:\s*=\s*(?P<value>"[^"]*"|'[^']*'|[^\s"'=<>`]+))?""", re.VERBOSE
)
_LAST_BODY = re.compile(r"</body\s*>", re.IGNORECASE)


async def switches() -> tuple[bool, bool]:
    """Whether the bound tenant has enabled tracking of opens, and of clicks."""
    chosen = await tenant_settings(TenantSettings)
    return chosen.track_opens, chosen.track_clicks


def track(html: str, message_id: UUID, recipient: str = "", *, opens: bool = True, clicks: bool = True) -> str:
    """Add tracking to the HTML of a message: redirected links, and a picture at its end; see `switches`.

    Only links to http and https addresses are changed; unsubscribe links and malformed ones stay as they are.
    """
    claims = {"message": str(message_id)} | ({"recipient": recipient} if recipient else {})
    if clicks:
        html = _with_links(html, lambda target: _click_link(target, claims))
    return _with_picture(html, absolute_url(f"{OPEN_PATH}{sign_token(OPEN, **claims)}.gif")) if opens else html


async def opened(message_id: UUID, recipient: str = "") -> None:
    """Count an open, if the tenant still tracks opens; the first is recorded as an event."""
    if (await switches())[0]:
        await _count(message_id, "opened", "opens", recipient, "")


async def clicked(message_id: UUID, target: str, recipient: str = "") -> None:
    """Count a click, if the tenant still tracks clicks; the first is recorded as an event."""
    if (await switches())[1]:
        await _count(message_id, "clicked", "clicks", recipient, target)


async def _count(message_id: UUID, kind: str, column: str, recipient: str, detail: str) -> None:
    async with unit_of_work():
        if await Message.filter(id=message_id, **{column: 0}).update(**{column: 1}):
            await note([Happened(message_id, kind, datetime.now(UTC), recipient=recipient, detail=detail)])
        else:
            more = Message.filter(id=message_id, **{f"{column}__gt": 0, f"{column}__lt": MOST_COUNTED})
            await more.update(**{column: F(column) + 1})


# -- HTML ------------------------------------------------------------------------------------------------


def _click_link(target: str, claims: Mapping[str, str]) -> str:
    return absolute_url(CLICK_PATH + sign_token(CLICK, target=target, **claims))


def _with_links(html: str, link_to: Callable[[str], str]) -> str:
    """The HTML with the target of each link replaced by what `link_to` makes of it."""
    ours = tuple(absolute_url(path) for path in (UNSUBSCRIBE_PATH, CLICK_PATH, OPEN_PATH))
    replacements: dict[str, str] = {}
    pieces, end = [], 0
    for token in _TOKEN.finditer(html):
        href = _href(token["link"]) if token.lastgroup == "link" else None
        if href is None or href[2].startswith(ours):
            continue
        start, stop, target = href
        if target not in replacements:
            replacements[target] = link_to(target)
        offset = token.start("link")
        pieces += [html[end : offset + start], f'"{escape(replacements[target])}"']
        end = offset + stop
    return "".join([*pieces, html[end:]])


def _href(attributes: str) -> tuple[int, int, str] | None:
    """Where in a tag's attributes the value of href is, with its target; None when there is no plain one."""
    position, href = 0, None
    while attribute := _ATTRIBUTE.match(attributes, position):
        position = attribute.end()
        if href is None and attribute["name"].lower() == "href":
            href = attribute
    if href is None or href["value"] is None or attributes[position:].strip(" \t\r\n\f/"):
        return None  # a malformed tag, left unchanged
    target = _target(unescape(href["value"].strip("\"'")))
    return None if target is None else (href.start("value"), href.end("value"), target)


def _target(written: str) -> str | None:
    """A link's target as a redirect may name it: http or https, ASCII, not too long; None for any other."""
    written = re.sub(r"[\t\r\n]", "", written.strip())  # as browsers do (WHATWG URL, section 4.4)
    try:
        parts = urlsplit(written)
        plain = parts.scheme in {"http", "https"} and bool(parts.hostname)
    except ValueError:
        return None
    target = quote(written, safe=_URL_SAFE)
    return target if plain and len(target) <= _LONGEST_TARGET else None


def _with_picture(html: str, address: str) -> str:
    return at_the_end(html, f'<img src="{escape(address)}" width="1" height="1" alt="" style="display:block;border:0">')


def at_the_end(html: str, piece: str) -> str:
    """The HTML with a piece inserted at the end of its body."""
    last = None
    for last in _LAST_BODY.finditer(html):  # noqa: B007 - the last one is what is looked for
        pass
    position = len(html) if last is None else last.start()
    return html[:position] + piece + html[position:]
