"""Make the plain-text alternative of an HTML mail."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from html import unescape
from html.parser import HTMLParser

TAGS = 5_000
"""Tags up to which HTML is parsed; beyond, tags are only stripped: nesting costs the square of its depth."""

_PARAGRAPHS = ("h1", "h2", "h3", "h4", "h5", "h6", "p", "table", "ul", "ol", "dl", "blockquote", "pre", "section")
_LINES = ("address", "article", "div", "dd", "dt", "footer", "header", "main", "nav")
_BEFORE = {**dict.fromkeys(_PARAGRAPHS, 2), **dict.fromkeys(_LINES, 1), "li": 1, "br": 1, "hr": 2}
_AFTER = {**dict.fromkeys(_PARAGRAPHS, 2), **dict.fromkeys(_LINES, 1), "li": 1, "tr": 1}
_VOID = frozenset({"br", "hr", "img"})
_KEPT = {*_BEFORE, *_AFTER, "a", "img", "td", "th", "tbody", "thead", "tfoot", "span"}
_ATTRIBUTES: Mapping[str, set[str]] = {"a": {"href", "style"}, "img": {"alt", "style"}, "*": {"style"}}
_HIDDEN = re.compile(r"display\s*:\s*none", re.IGNORECASE)
_SPACES = re.compile(r"[ \t\r\n\f]+")
_TAG = re.compile(r"<[^<>]*+>")
_BLANK_LINES = re.compile(r"\n{3,}")


def text_of(html: str, *, keep: Callable[[str], Iterable[str]] | None = None) -> str:
    """The text of an HTML document or fragment: paragraphs, lists, and each link's address after its words.

    keep: returns the parts of a comment to keep; without it, comments are dropped.
    """
    import nh3

    if html.count("<") > TAGS:
        return tidied(unescape(_SPACES.sub(" ", _TAG.sub(" ", html))))
    # Cleaned first by a parser made for untrusted HTML; Python's own parser then reads only its output.
    simple = nh3.clean(
        html,
        tags=_KEPT,
        attributes={name: set(names) for name, names in _ATTRIBUTES.items()},
        clean_content_tags={"script", "style", "title", "template", "noscript"},
        strip_comments=keep is None,
        link_rel=None,
    )
    writer = _Writer(keep)
    writer.feed(simple)
    writer.close()
    return tidied(writer.text)


def tidied(text: str) -> str:
    """The text without spaces at line ends, with at most one blank line in a row, and one line break at the end."""
    lines = "\n".join(line.strip() for line in text.split("\n"))
    return _BLANK_LINES.sub("\n\n", lines).strip() + "\n"


class _Writer(HTMLParser):
    """Writes the text while the HTML is parsed."""

    def __init__(self, keep: Callable[[str], Iterable[str]] | None) -> None:
        super().__init__(convert_charrefs=True)
        self._keep = keep
        self._parts: list[str] = []
        self._breaks = 0  # line breaks due before the next word
        self._links: list[tuple[str, int]] = []
        self._hidden = 0  # open elements, from one that is not shown inwards

    @property
    def text(self) -> str:
        return "".join(self._parts)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in attrs}
        if self._hidden or _HIDDEN.search(attributes.get("style", "")):
            self._hidden += tag not in _VOID
            return
        self._breaks = max(self._breaks, _BEFORE.get(tag, 0))
        if tag == "li":
            self._write("- ")
        elif tag == "hr":
            self._write("---")
            self._breaks = 2
        elif tag == "img" and attributes.get("alt"):
            self._write(f"[{attributes['alt']}]")
        elif tag == "a":
            self._links.append((attributes.get("href", ""), len(self._parts)))

    def handle_endtag(self, tag: str) -> None:
        if self._hidden:
            self._hidden -= 1
            return
        if tag == "a" and self._links:
            self._end_link(*self._links.pop())
        elif tag in {"td", "th"}:
            self._parts.append(" ")
        self._breaks = max(self._breaks, _AFTER.get(tag, 0))

    def handle_data(self, data: str) -> None:
        text = _SPACES.sub(" ", data)
        if not self._hidden and (text != " " or not self._breaks):
            self._write(text)

    def handle_comment(self, data: str) -> None:
        for kept in self._keep(data) if self._keep else ():
            self._write(kept)

    def _write(self, text: str) -> None:
        self._parts += "\n" * self._breaks, text
        self._breaks = 0

    def _end_link(self, address: str, begin: int) -> None:
        words = "".join(self._parts[begin:]).strip()
        if address and not address.startswith("#") and address.removeprefix("mailto:") != words:
            self._write(f": {address}" if words else address)
