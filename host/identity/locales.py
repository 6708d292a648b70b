"""Validate BCP 47 language tags, and read a browser's preferred language from Accept-Language."""

from __future__ import annotations

from collections.abc import Sequence

from host.errors import ValidationFailed

LONGEST = 35
"""Most characters of a language tag (RFC 5646, 4.4.1)."""


def locale(tag: str, *, field: str = "locale") -> str:
    """A language tag in its usual spelling: "de_at" -> "de-AT".

    Raises:
        ValidationFailed: it is not a language tag; `field` is the key in the error's details.
    """
    standard = _standard(tag)
    if not standard:
        raise ValidationFailed(details={field: 'write a language tag (BCP 47), such as "en", "de-AT" or "zh-Hant"'})
    return standard


def accepted_locale(header: str) -> str:
    """The language that `Accept-Language` (RFC 9110, 12.5.4) asks for first; empty when it names none."""
    return next(iter(accepted_locales(header)), "")


def accepted_locales(header: str) -> Sequence[str]:
    """The languages that an `Accept-Language` header (RFC 9110, 12.5.4) asks for, the most wanted first.

    `accepted_locales("fr;q=0.5, de_at")` is `("de-AT", "fr")`.

    Example:
        locale = next(iter(accepted_locales(request.headers.get("accept-language", ""))), "en")
    """
    ranked: list[tuple[float, str]] = []
    for part in header[:1000].split(","):
        tag, _, weight = part.partition(";")
        try:
            quality = float(weight.strip().removeprefix("q=")) if weight.strip() else 1.0
        except ValueError:
            continue
        ranked.append((quality, tag))
    ranked.sort(key=lambda each: -each[0])
    return tuple(standard for quality, tag in ranked if quality > 0 and (standard := _standard(tag)))


def _standard(tag: str) -> str:
    import langcodes  # not at the start: it takes 20 ms and 3 MB

    text = tag.strip()
    if not text.isascii() or len(text) > LONGEST or not langcodes.tag_is_valid(text):
        return ""
    standard = langcodes.standardize_tag(text)
    return "" if standard == "und" or len(standard) > LONGEST else standard
