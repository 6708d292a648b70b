"""Markup: the tags of a template's MJML or HTML read strictly, so that nothing behind this one is surprised by them.

The parsers behind are written in other languages, answer nesting with a crash, and name no lines.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Literal

from .errors import TemplateRefused

Kind = Literal["mjml", "html"]
SpanKind = Literal["tag", "comment", "text", "text_only", "between", "in_wrapper"]

DEPTH = 100
ELEMENTS = 3_000

_VALUE = r"""(?>"[^"]*+"|'[^']*+'|[^\s"'=<>`]++)"""
_TOKEN = re.compile(
    rf"""
    <!--(?P<comment>.*?)-->
    | </(?P<close>[A-Za-z][\w:.-]*+)\s*+>
    | <(?P<open>[A-Za-z][\w:.-]*+)(?P<attributes>(?>\s++[^\s"'<>/=]++(?>\s*+=\s*+{_VALUE})?+)*+)\s*+(?P<empty>/?)>
    | (?P<doctype><!doctype\s[^<>]*+>)
    | (?P<bad><(?=[A-Za-z/!?]))
    | (?P<less><)
    """,
    re.VERBOSE | re.DOTALL | re.IGNORECASE,
)
ATTRIBUTE = re.compile(r"""([^\s"'<>/=]++)(?:\s*+=\s*+("[^"]*+"|'[^']*+'|[^\s"'=<>`]++))?+""")

_VOID = frozenset(["area", "base", "br", "col", "hr", "img", "input", "link", "meta", "source", "track", "wbr"])
_CLOSED_BY_OTHERS = frozenset(
    ["p", "li", "td", "th", "tr", "tbody", "thead", "tfoot", "dt", "dd", "option", "colgroup"]
)
_FORBIDDEN = frozenset(
    ["script", "iframe", "frame", "frameset", "object", "embed", "applet", "base", "link", "form", "mj-include"]
)
URLS = frozenset(
    ["href", "src", "background", "action", "formaction", "poster", "xlink:href", "background-url", "srcset"]
)

_MJML = frozenset(
    [
        "mjml",
        "mj-head",
        "mj-body",
        "mj-attributes",
        "mj-all",
        "mj-class",
        "mj-breakpoint",
        "mj-font",
        "mj-preview",
        "mj-style",
        "mj-title",
        "mj-raw",
        "mj-wrapper",
        "mj-section",
        "mj-group",
        "mj-column",
        "mj-text",
        "mj-button",
        "mj-image",
        "mj-divider",
        "mj-spacer",
        "mj-table",
        "mj-hero",
        "mj-social",
        "mj-social-element",
        "mj-navbar",
        "mj-navbar-link",
        "mj-accordion",
        "mj-accordion-element",
        "mj-accordion-title",
        "mj-accordion-text",
        "mj-carousel",
        "mj-carousel-image",
    ]
)
_NO_WORDS = frozenset(
    [
        "mjml",
        "mj-head",
        "mj-body",
        "mj-attributes",
        "mj-all",
        "mj-class",
        "mj-wrapper",
        "mj-section",
        "mj-group",
        "mj-column",
        "mj-hero",
        "mj-social",
        "mj-navbar",
        "mj-accordion",
        "mj-accordion-element",
        "mj-carousel",
    ]
)
"""Elements that hold elements only."""

_TEXT_ONLY = frozenset({"mj-preview", "mj-title", "mj-style", "title", "style", "textarea"})
"""Elements in which a comment is text, or lost."""


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of the source.

    tag, comment, text. text_only: text in which a comment is none. between: where only elements can be; in_wrapper:
    such a place where MJML puts what is no element into a conditional comment of its own.
    """

    kind: SpanKind
    start: int
    end: int


def spans(source: str, kind: Kind, line_of: Callable[[int], int]) -> Iterator[Span]:
    """The source from end to end, checked on the way; `line_of` says on which line of the author's a position is.

    Raises:
        TemplateRefused: a tag is not closed, not known, or has no place in a mail; line and reason.
    """
    reader = _Reader(kind, line_of)
    position = 0
    for found in _TOKEN.finditer(source):
        if found.start() > position:
            yield Span(reader.text, position, found.start())
        position = found.end()
        yield Span(reader.read(found), found.start(), found.end())
    if position < len(source):
        yield Span(reader.text, position, len(source))
    reader.end()


class _Reader:
    """Keeps which elements are open."""

    def __init__(self, kind: Kind, line_of: Callable[[int], int]) -> None:
        self._is_mjml, self._line_of = kind == "mjml", line_of
        self._open: list[tuple[str, int]] = []
        self._elements = 0

    @property
    def text(self) -> SpanKind:
        inside = self._open[-1][0].lower() if self._open else "mj-wrapper" if self._is_mjml else ""
        if inside == "mj-wrapper":
            return "in_wrapper"
        return "text_only" if inside in _TEXT_ONLY else "between" if inside in _NO_WORDS else "text"

    def read(self, found: re.Match[str]) -> Literal["tag", "comment", "text"]:
        match found.lastgroup:
            case "comment":
                return "comment"
            case "empty":
                self._opened(found)
            case "close":
                self._closed(found)
            case "less" if self._is_mjml:
                raise self._refused(found, "write &lt; for a < that begins no tag")
            case "less":
                return "text"
            case "doctype" if not self._is_mjml:
                pass
            case _:
                raise self._refused(found, f"this cannot be read: {found.string[found.start() : found.start() + 40]!r}")
        return "tag"

    def end(self) -> None:
        if self._is_mjml and self._open:
            name, position = self._open[-1]
            raise TemplateRefused(f"<{name}> is never closed", line=self._line_of(position))

    def _opened(self, found: re.Match[str]) -> None:
        name = found["open"]
        plain = name.lower()
        self._elements += 1
        if self._elements > ELEMENTS:
            raise self._refused(found, f"there are more than {ELEMENTS} elements")
        if plain in _FORBIDDEN:
            raise self._refused(found, f"<{name}> has no place in a mail")
        if plain.startswith("mj") and not (self._is_mjml and name in _MJML):
            near = get_close_matches(plain, _MJML, 1) if self._is_mjml else []
            raise self._refused(found, f"there is no <{name}> here" + "".join(f"; is it <{each}>?" for each in near))
        self._check_attributes(found, name)
        if found["empty"] or plain in _VOID or (plain in _CLOSED_BY_OTHERS and not self._is_mjml):
            return
        self._open.append((name if self._is_mjml else plain, found.start()))
        if len(self._open) > DEPTH:
            raise self._refused(found, f"elements are nested more than {DEPTH} deep")

    def _check_attributes(self, found: re.Match[str], tag: str) -> None:
        for name, value in ATTRIBUTE.findall(found["attributes"]):
            if name.lower().startswith("on"):
                raise self._refused(found, f"{name} of <{tag}> has no place in a mail: nothing runs in one")
            if self._is_mjml and value[:1] not in {'"', "'"}:
                raise self._refused(found, f'{name} of <{tag}> needs a value in quotes: {name}="…"')
            if tag.lower() == "meta" and "refresh" in value.lower():
                raise self._refused(found, "a mail cannot lead elsewhere by itself")

    def _closed(self, found: re.Match[str]) -> None:
        name = found["close"]
        if self._is_mjml:
            opened, position = self._open.pop() if self._open else ("", 0)
            if not opened:
                raise self._refused(found, f"</{name}> closes nothing")
            if opened != name:
                line = self._line_of(position)
                raise self._refused(found, f"</{name}> stands where <{opened}> of line {line} is to be closed")
            return
        for index in range(len(self._open) - 1, -1, -1):
            if self._open[index][0] == name.lower():
                del self._open[index:]
                return

    def _refused(self, found: re.Match[str], reason: str) -> TemplateRefused:
        return TemplateRefused(reason, line=self._line_of(found.start()))


def attributes(source: str, start: int = 0) -> Iterator[tuple[str, int, int]]:
    """Every attribute's name and where its value begins and ends, quotes left out; also in conditional comments."""
    for found in _TOKEN.finditer(source, start):
        if found["comment"] is not None:
            inner = found.start("comment")
            for name, begin, end in attributes(found["comment"]) if found["comment"].startswith("[if") else ():
                yield name, inner + begin, inner + end
        elif found["open"] is not None:
            for each in ATTRIBUTE.finditer(found["attributes"]):
                if value := each[2]:
                    quote = int(value[0] in "\"'")
                    begin = found.start("attributes") + each.start(2)
                    yield each[1].lower(), begin + quote, begin + len(value) - quote


def styles_in(source: str) -> Iterator[tuple[int, int]]:
    """Where each style sheet begins and ends, the tags around it left out."""
    lower, position = source.lower(), 0
    while (opening := lower.find("<style", position)) >= 0 and (begin := lower.find(">", opening) + 1):
        position = lower.find("</style", begin)
        if position < 0:
            position = len(source)
        yield begin, position
