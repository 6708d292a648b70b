"""Check the tags of a template's MJML or HTML strictly, with the line of each mistake.

The libraries that parse it afterwards (MJML, CSS inliner, HTML cleaner) are written in other languages, crash on deep
nesting, and do not name lines.
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
"""Elements of MJML that hold elements only."""

_MJML = _NO_WORDS.union(
    [
        "mj-breakpoint",
        "mj-font",
        "mj-preview",
        "mj-style",
        "mj-title",
        "mj-raw",
        "mj-text",
        "mj-button",
        "mj-image",
        "mj-divider",
        "mj-spacer",
        "mj-table",
        "mj-social-element",
        "mj-navbar-link",
        "mj-accordion-title",
        "mj-accordion-text",
        "mj-carousel-image",
    ]
)

_TEXT_ONLY = frozenset({"mj-preview", "mj-title", "mj-style", "title", "style", "textarea"})
"""Elements in which a comment is text, or gets lost."""


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of the source.

    kind: tag, comment or text; text_only: text in which comments are not recognised; between: where only elements may
    be; in_wrapper: the same in <mj-wrapper>, where MJML puts anything else into a conditional comment.
    """

    kind: SpanKind
    start: int
    end: int


def spans(source: str, kind: Kind, line_of: Callable[[int], int]) -> Iterator[Span]:
    """Check the source and split it into spans; `line_of`: from a position to the author's line.

    Raises:
        TemplateRefused: a tag is not closed, not known, or not allowed in a mail; line and reason.
    """
    reader = _Reader(kind, line_of)
    position = 0
    for token in _TOKEN.finditer(source):
        if token.start() > position:
            yield Span(reader.text, position, token.start())
        position = token.end()
        yield Span(reader.read(token), token.start(), token.end())
    if position < len(source):
        yield Span(reader.text, position, len(source))
    reader.end()


class _Reader:
    """Keeps track of which elements are open."""

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

    def read(self, token: re.Match[str]) -> Literal["tag", "comment", "text"]:
        match token.lastgroup:
            case "comment":
                return "comment"
            case "empty":
                self._opened(token)
            case "close":
                self._closed(token)
            case "less" if self._is_mjml:
                raise self._refused(token, "write &lt; for a < that begins no tag")
            case "less":
                return "text"
            case "doctype" if not self._is_mjml:
                pass
            case _:
                raise self._refused(token, f"this cannot be read: {token.string[token.start() : token.start() + 40]!r}")
        return "tag"

    def end(self) -> None:
        if self._is_mjml and self._open:
            name, position = self._open[-1]
            raise TemplateRefused(f"<{name}> is never closed", line=self._line_of(position))

    def _opened(self, token: re.Match[str]) -> None:
        name = token["open"]
        plain = name.lower()
        self._elements += 1
        if self._elements > ELEMENTS:
            raise self._refused(token, f"there are more than {ELEMENTS} elements")
        if plain in _FORBIDDEN:
            raise self._refused(token, f"<{name}> is not allowed in a mail")
        if plain.startswith("mj") and not (self._is_mjml and name in _MJML):
            near = get_close_matches(plain, _MJML, 1) if self._is_mjml else []
            raise self._refused(token, f"there is no <{name}> here" + "".join(f"; is it <{each}>?" for each in near))
        self._check_attributes(token, name)
        if token["empty"] or plain in _VOID or (plain in _CLOSED_BY_OTHERS and not self._is_mjml):
            return
        self._open.append((name if self._is_mjml else plain, token.start()))
        if len(self._open) > DEPTH:
            raise self._refused(token, f"elements are nested more than {DEPTH} deep")

    def _check_attributes(self, token: re.Match[str], tag: str) -> None:
        for name, value in ATTRIBUTE.findall(token["attributes"]):
            if name.lower().startswith("on"):
                raise self._refused(token, f"{name} of <{tag}> is not allowed in a mail: scripts do not run there")
            if self._is_mjml and value[:1] not in {'"', "'"}:
                raise self._refused(token, f'{name} of <{tag}> needs a value in quotes: {name}="…"')
            if tag.lower() == "meta" and "refresh" in value.lower():
                raise self._refused(token, "a mail cannot redirect by itself")

    def _closed(self, token: re.Match[str]) -> None:
        name = token["close"]
        if self._is_mjml:
            opened, position = self._open.pop() if self._open else ("", 0)
            if not opened:
                raise self._refused(token, f"</{name}> closes nothing")
            if opened != name:
                line = self._line_of(position)
                raise self._refused(token, f"</{name}> comes where <{opened}> of line {line} is to be closed")
            return
        for index in range(len(self._open) - 1, -1, -1):
            if self._open[index][0] == name.lower():
                del self._open[index:]
                return

    def _refused(self, token: re.Match[str], reason: str) -> TemplateRefused:
        return TemplateRefused(reason, line=self._line_of(token.start()))


def attributes(source: str, start: int = 0) -> Iterator[tuple[str, int, int]]:
    """The name of every attribute with start and end of its value, without quotes; also in conditional comments."""
    for token in _TOKEN.finditer(source, start):
        if token["comment"] is not None:
            inner = token.start("comment")
            for name, begin, end in attributes(token["comment"]) if token["comment"].startswith("[if") else ():
                yield name, inner + begin, inner + end
        elif token["open"] is not None:
            for attribute in ATTRIBUTE.finditer(token["attributes"]):
                if value := attribute[2]:
                    quote = int(value[0] in "\"'")
                    begin = token.start("attributes") + attribute.start(2)
                    yield attribute[1].lower(), begin + quote, begin + len(value) - quote


def styles_in(source: str) -> Iterator[tuple[int, int]]:
    """Start and end of the content of each <style> element."""
    lower, position = source.lower(), 0
    while (opening := lower.find("<style", position)) >= 0 and (begin := lower.find(">", opening) + 1):
        position = lower.find("</style", begin)
        if position < 0:
            position = len(source)
        yield begin, position
