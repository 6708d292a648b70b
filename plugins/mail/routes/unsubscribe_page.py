"""Render the unsubscribe page as HTML without scripts, in German or English."""

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

_TEXTS: Mapping[str, Mapping[str, str]] = {
    "en": {
        "title": "Your mail from {tenant}",
        "on": "<strong>{address}</strong> gets mail of the category <strong>{category}</strong> from {tenant}.",
        "off": "<strong>{address}</strong> gets no mail of the category <strong>{category}</strong> from {tenant}.",
        "exempt": "Mail of the category <strong>{category}</strong> to <strong>{address}</strong> belongs to a service "
        "that {tenant} provides and cannot be ended here.",
        "done": "Your choice is saved.",
        "category": "Unsubscribe from {category}",
        "everything": "Unsubscribe from everything that is not needed for a service",
        "again": "Subscribe to {category} again",
    },
    "de": {
        "title": "Ihre E-Mails von {tenant}",
        "on": "<strong>{address}</strong> erhält E-Mails der Kategorie <strong>{category}</strong> von {tenant}.",
        "off": "<strong>{address}</strong> erhält keine E-Mails der Kategorie <strong>{category}</strong> "
        "von {tenant}.",
        "exempt": "E-Mails der Kategorie <strong>{category}</strong> an <strong>{address}</strong> gehören zu einem "
        "Dienst von {tenant} und können hier nicht abbestellt werden.",
        "done": "Ihre Auswahl ist gespeichert.",
        "category": "{category} abbestellen",
        "everything": "Alles abbestellen, was nicht für einen Dienst nötig ist",
        "again": "{category} wieder abonnieren",
    },
}


def language(accept_language: str) -> str:
    """The page's language: the one that an Accept-Language header prefers (RFC 9110 section 12.5.4)."""
    qualities = {"en": 0.0, "de": 0.0}
    for position, entry in enumerate(accept_language[:500].lower().split(",")):
        name, _, parameters = entry.partition(";")
        try:
            quality = float(parameters.strip().removeprefix("q=") or 1)
        except ValueError:
            quality = 0.0
        spoken = name.strip().partition("-")[0]
        if spoken in qualities:
            qualities[spoken] = max(qualities[spoken], quality - position / 10_000)
    return "de" if qualities["de"] > qualities["en"] else "en"


def page(*, tenant: str, address: str, category: str, subscribed: bool, can_end: bool, done: bool, lang: str) -> bytes:
    """The page as HTML; it posts to its own address, with `choice` as category, everything or again."""
    texts = _TEXTS[lang]
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
        f'<!doctype html><html lang="{lang}"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{texts['title'].format(**shown)}</title><style>{_STYLE}</style></head><body><main>"
        f"<h1>{texts['title'].format(**shown)}</h1>{notice}<p>{texts[state].format(**shown)}</p>"
        f'<form method="post">{buttons}</form></main></body></html>'
    ).encode()
