"""Render the unsubscribe page as HTML without scripts."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from html import escape

_STYLE = (
    "body{font:1.125rem/1.5 system-ui,sans-serif;max-width:36rem;margin:3rem auto;padding:0 1rem;color:#1a1a1a;"
    "background:#fff}h1{font-size:1.5rem}button{font:inherit;display:block;width:100%;margin:.75rem 0;padding:.75rem;"
    "border:2px solid #1f4fbf;border-radius:.375rem;background:#fff;color:#1f4fbf;cursor:pointer;text-align:left}"
    "button:hover{background:#eef3ff}:focus-visible{outline:3px solid #b45309;outline-offset:2px}"
    "strong{overflow-wrap:anywhere}"
    "@media(prefers-color-scheme:dark){body{background:#111;color:#eee}button{background:#111;color:#9db9ff;"
    "border-color:#9db9ff}button:hover{background:#1c2333}}"
)
_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()

HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": (
        f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; form-action 'self'; base-uri 'none'; "
        "frame-ancestors 'none'"
    ),
    "X-Robots-Tag": "noindex",
    "Vary": "Accept-Language",
}


def page(
    *,
    language: tuple[str, Mapping[str, str]],
    tenant: str,
    address: str,
    category: str,
    subscribed: bool,
    can_end: bool,
    done: bool,
) -> bytes:
    """The page as HTML; it posts to its own address, with `choice` as category, everything or again.

    language: the locale and its texts.
    """
    locale, texts = language
    shown = {"tenant": escape(tenant), "address": escape(address), "category": escape(category)}
    state = "exempt" if not can_end else "on" if subscribed else "off"
    choices = (
        ("category", "everything")
        if state == "on"
        else ("everything",)
        if state == "exempt"
        else ("again", "everything")
    )
    buttons = "".join(
        f'<button name="choice" value="{choice}">{texts[choice].format(**shown)}</button>' for choice in choices
    )
    notice = f'<p role="status">{texts["done"]}</p>' if done else ""
    return (
        f'<!doctype html><html lang="{escape(locale)}"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{texts['title'].format(**shown)}</title><style>{_STYLE}</style></head><body><main>"
        f"<h1>{texts['title'].format(**shown)}</h1>{notice}<p>{texts[state].format(**shown)}</p>"
        f'<form method="post">{buttons}</form></main></body></html>'
    ).encode()
