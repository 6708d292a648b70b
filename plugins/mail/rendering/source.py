"""Check the source of a template and split it into text and Jinja tags."""

from __future__ import annotations

import re
import secrets
from bisect import bisect_right
from dataclasses import dataclass, replace
from typing import Literal

from jinja2 import nodes
from jinja2.exceptions import TemplateSyntaxError

from . import syntax
from .errors import TemplateRefused
from .sandbox import Sandbox

LENGTH = 256 * 1024
"""Characters of a part, at most."""

TAGS, CODE = 1_000, 16 * 1024
"""Tags of a part, and characters inside of them, at most."""

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class Tag:
    """The code between braces, its line in the source, and whether it removes the space before and after it."""

    kind: Literal["value", "statement"]
    code: str
    line: int
    swallows_before: bool = False
    swallows_after: bool = False


@dataclass(frozen=True, slots=True)
class Cut:
    """A source split into text and tags: `marked` has a mark in place of each tag, which no author could have written.

    key: what every mark begins with; letters and digits, so that parsers of HTML and CSS leave it as it is.
    """

    marked: str
    tags: tuple[Tag, ...]
    key: str
    starts: tuple[int, ...]
    lines: tuple[int, ...]

    def line_of(self, position: int) -> int:
        """The line of the source that a position in `marked` is on."""
        piece = bisect_right(self.starts, position) - 1
        return self.lines[piece] + self.marked.count("\n", self.starts[piece], position)

    @property
    def mark(self) -> re.Pattern[str]:
        """Finds marks; groups `use` and `number`."""
        return re.compile(rf"{self.key}(?P<use>[vsoc])(?P<number>\d+)z")

    def statements(self, text: str) -> list[str]:
        """The marks of statements in a text."""
        return [found[0] for found in self.mark.finditer(text) if self.tags[int(found["number"])].kind == "statement"]


def checked(source: str, sandbox: Sandbox) -> tuple[Cut, syntax.Needs]:
    """Check and split a part; also returns the variables it needs.

    Raises:
        TemplateRefused: line and reason.
    """
    if len(source) > LENGTH:
        raise TemplateRefused(f"this is longer than {LENGTH // 1024} KB")
    if control := _CONTROL.search(source):
        raise TemplateRefused("there is a control character", line=source.count("\n", 0, control.start()) + 1)
    taken = cut(source, sandbox)
    parsed = parse(source, sandbox)
    syntax.check(parsed)
    return taken, syntax.needs(parsed)


def parse(source: str, sandbox: Sandbox) -> nodes.Template:
    """Parse the source with Jinja.

    Raises:
        TemplateRefused: line and reason.
    """
    try:
        return sandbox._parse(source, None, None)
    except TemplateSyntaxError as error:
        raise TemplateRefused(error.message or "this is not valid Jinja", line=error.lineno) from None
    except RecursionError:
        raise TemplateRefused("this is nested too deeply") from None
    except ValueError:
        raise TemplateRefused("there is a number too long to be read") from None


def cut(source: str, sandbox: Sandbox) -> Cut:
    """Split a source with Jinja's own lexer.

    Raises:
        TemplateRefused: braces do not match, or there are too many.
    """
    cutter = _Cutter()
    try:
        for line, kind, value in sandbox.lexer.tokeniter(source, None):
            cutter.take(line, kind, value)
    except TemplateSyntaxError as error:
        raise TemplateRefused(error.message or "this is not valid Jinja", line=error.lineno) from None
    return cutter.done()


class _Cutter:
    """Groups the lexer's tokens into text and tags."""

    def __init__(self) -> None:
        self._key = f"q{secrets.token_hex(6)}"
        self._pieces: list[str] = []
        self._tags: list[Tag] = []
        self._values: dict[Tag, int] = {}  # the same value gets the same mark: a link to itself is seen as one
        self._starts, self._lines = [0], [1]
        self._position, self._braces, self._spent = 0, 0, 0
        self._opening, self._opened = "", 1
        self._code: list[str] = []

    def take(self, line: int, kind: str, value: str) -> None:
        if kind in {"variable_begin", "block_begin"}:
            self._opening, self._opened, self._code = value, line, []
        elif kind in {"variable_end", "block_end"}:
            number = self._tag("value" if kind == "variable_end" else "statement", value)
            self._piece(self._opened, f"{self._key}v{number}z")
        elif kind == "data":
            self._piece(line, value)
        else:
            self._code.append(value)
            self._spent += len(value)
        if self._braces > TAGS or self._spent > CODE:
            raise TemplateRefused("there is too much in braces in this template", line=line)

    def done(self) -> Cut:
        return Cut("".join(self._pieces), tuple(self._tags), self._key, tuple(self._starts), tuple(self._lines))

    def _tag(self, kind: Literal["value", "statement"], closing: str) -> int:
        swallows = self._opening.endswith("-"), closing.startswith("-")
        tag = Tag(kind, "".join(self._code).strip(), self._opened, *swallows)
        self._braces += 1
        number = len(self._tags)
        if kind == "value":
            number = self._values.setdefault(replace(tag, line=0), number)
        if number == len(self._tags):
            self._tags.append(tag)
        return number

    def _piece(self, line: int, text: str) -> None:
        self._starts.append(self._position)
        self._lines.append(line)
        self._pieces.append(text)
        self._position += len(text)
