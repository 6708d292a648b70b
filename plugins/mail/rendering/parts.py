"""Compile the subject, the text and the HTML of a template into Jinja code."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from jinja2 import Template
from jinja2.exceptions import UndefinedError

from . import source, syntax
from .errors import RenderFailed, TemplateRefused, TooMuch
from .markup import URLS, Kind, attributes, spans, styles_in
from .places import link_is_safe
from .sandbox import Sandbox
from .source import Cut, Tag

_BRACE = re.compile(r"\{(?=[{%#])")
_MISPLACED = 'inside of a tag, braces go between the quotes of a value: name="{{ … }}"'
_OPENING = {"value": "{{", "statement": "{%"}
_CLOSING = {"value": "}}", "statement": "%}"}


@dataclass(frozen=True, slots=True)
class Part:
    """Compiled code of one part. positions, lines: each tag's line in the code, and its line in the author's source."""

    name: str
    template: Template
    positions: tuple[int, ...]
    lines: tuple[int, ...]

    def fill(self, variables: Mapping[str, Any]) -> str:
        """Render the part; to be called inside `spending` and `noting`.

        Raises:
            RenderFailed: line and reason.
            jinja2.exceptions.UndefinedError: a variable was missing and rendering could not go on without it.
        """
        template = self.template
        try:
            return "".join(template.root_render_func(template.new_context(variables)))  # type: ignore[arg-type]
        except UndefinedError:
            raise
        except RenderFailed as error:
            raise type(error)(error.reason, line=self._line(error.__traceback__), part=self.name) from None
        except RecursionError:
            raise TooMuch("macros call each other too deeply", part=self.name) from None
        except Exception as error:
            reason = str(error) or type(error).__name__
            raise RenderFailed(reason, line=self._line(error.__traceback__), part=self.name) from None

    def _line(self, trace: TracebackType | None) -> int | None:
        line = 0
        while trace is not None:
            if trace.tb_frame.f_code.co_filename == "<template>":
                line = self.template.get_corresponding_lineno(trace.tb_lineno)
            trace = trace.tb_next
        return self.lines[bisect_right(self.positions, line) - 1] if line and self.lines else None


def compile(name: str, marked: str, taken: Cut, sandbox: Sandbox, line_of: Callable[[int], int | None]) -> Part:
    """Put the tags back into the processed source, and compile it.

    line_of: the author's line of a tag's line; None where the tag is not theirs.

    Raises:
        TemplateRefused: loops and conditions are nested too deeply.
    """
    code, positions, lines = _restored(marked, taken)
    try:
        parsed = syntax.instrumented(source.parse(code, sandbox))
        template = Template.from_code(sandbox, sandbox.compile(parsed), sandbox.globals)
    except (SyntaxError, RecursionError, MemoryError):
        raise TemplateRefused("loops and conditions are nested too deeply") from None
    return Part(name, template, tuple(positions), tuple(line_of(line) or 0 for line in lines))


def _restored(marked: str, taken: Cut) -> tuple[str, list[int], list[int]]:
    """The code, and for each tag in it the line in the code and the line in the source.

    Each tag ends with a line break inside its braces: so no two are on one line, and an error's line names its tag.
    """
    pieces: list[str] = []
    positions: list[int] = []
    lines: list[int] = []
    end, code_line = 0, 1
    for mark in taken.mark.finditer(marked):
        begin, until = mark.span()
        if marked[begin - 4 : begin] == "<!--" and marked[until : until + 3] == "-->":
            begin, until = begin - 4, until + 3
        use, number = mark["use"], int(mark["number"])
        text = _BRACE.sub("{{ '{'\n}}", marked[end:begin])
        code_line += text.count("\n")
        if use in "vs":
            tag = taken.tags[number]
            positions.append(code_line)
            lines.append(tag.line)
            written = _written(tag, in_style=use == "s")
        else:
            written = "{% filter _link\n%}" if use == "o" else "{% endfilter\n%}"
        code_line += written.count("\n")
        pieces += text, written
        end = until
    pieces.append(_BRACE.sub("{{ '{'\n}}", marked[end:]))
    return "".join(pieces), positions, lines


def _written(tag: Tag, *, in_style: bool) -> str:
    code = f"({tag.code})|_style" if in_style and tag.kind == "value" else tag.code
    before, after = "-" * tag.swallows_before, "-" * tag.swallows_after
    return f"{_OPENING[tag.kind]}{before} {code}\n{after}{_CLOSING[tag.kind]}"


# -- HTML ------------------------------------------------------------------------------------------------


def fit_for_markup(taken: Cut, kind: Kind) -> str:
    """The marked source with its statements as comments, which every parser leaves where they are.

    Raises:
        TemplateRefused: the markup is wrong, or there are braces where none are allowed; line and reason.
    """
    pieces: list[str] = []
    line: int | None = None
    try:
        for span in spans(taken.marked, kind, taken.line_of):
            line = taken.line_of(span.start)
            pieces.append(_FITTED[span.kind](taken.marked[span.start : span.end], taken))
    except TemplateRefused as refused:
        reason = _MISPLACED if taken.key in refused.reason else refused.reason
        raise TemplateRefused(reason, line=refused.line or line) from None
    return "".join(pieces)


def _fitted_tag(text: str, taken: Cut) -> str:
    if taken.key in text and taken.key in re.sub(r"\"[^\"]*\"|'[^']*'", "", text):
        raise TemplateRefused(_MISPLACED)
    return text


def _fitted_comment(text: str, taken: Cut) -> str:
    if text.startswith(("<!--[if", "<!--<![endif]")):
        return text  # what Outlook reads
    if taken.key in text:
        raise TemplateRefused("there are braces in a comment: write {# … #} to leave something out")
    return ""


def _fitted_text(text: str, taken: Cut) -> str:
    def comment(found: re.Match[str]) -> str:
        return f"<!--{found[0]}-->" if taken.tags[int(found["number"])].kind == "statement" else found[0]

    return taken.mark.sub(comment, text) if taken.key in text else text


def _fitted_between(text: str, taken: Cut) -> str:
    """Keep statements only; MJML's parser takes space for text unless it begins with a line break."""
    return "".join(f"<!--{mark}-->" for mark in _statements(text, taken))


def _fitted_in_wrapper(text: str, taken: Cut) -> str:
    return "".join(f"<mj-raw>{mark}</mj-raw>" for mark in _statements(text, taken))


def _statements(text: str, taken: Cut) -> list[str]:
    """The marks of statements, where nothing else is allowed."""
    fitted = _fitted_text(text, taken)
    if words := re.sub(r"<!--.*?-->", "", fitted).strip():
        shown = taken.mark.sub("{{ … }}", words)[:40]
        raise TemplateRefused(f"{shown!r} is between elements: put it into an element such as <mj-text>")
    return [found[0] for found in taken.mark.finditer(fitted)]


_FITTED: Mapping[str, Callable[[str, Cut], str]] = {
    "tag": _fitted_tag,
    "comment": _fitted_comment,
    "text": _fitted_text,
    "text_only": lambda text, taken: text,
    "between": _fitted_between,
    "in_wrapper": _fitted_in_wrapper,
}


def guarded(html: str, taken: Cut) -> str:
    """The HTML with its marks changed to say where each value goes: into a link, into CSS, or into text.

    Raises:
        TemplateRefused: a fixed link is not allowed in a mail.
    """
    changes: list[tuple[int, int, str]] = []
    for name, begin, end in attributes(html):
        value = html[begin:end]
        if name in URLS:
            if taken.key in value:
                changes.append((begin, end, f"{taken.key}o0z{value}{taken.key}c0z"))
            elif not link_is_safe(value.replace("&amp;", "&")) and value:
                raise TemplateRefused(
                    f'{name}="{value[:80]}" is no address for a mail: give a full one, http, https or mailto'
                )
        elif name == "style" and taken.key in value:
            changes.append((begin, end, value.replace(f"{taken.key}v", f"{taken.key}s")))
    for begin, end in styles_in(html):
        if taken.key in (value := html[begin:end]):
            changes.append((begin, end, value.replace(f"{taken.key}v", f"{taken.key}s")))
    for begin, end, value in sorted(changes, reverse=True):
        html = html[:begin] + value + html[end:]
    return html


def ensure_kept(html: str, taken: Cut, line_of: Callable[[int], int | None]) -> None:
    """Check that no tag got lost in MJML.

    Raises:
        TemplateRefused: one did.
    """
    kept = {int(found["number"]) for found in taken.mark.finditer(html)}
    for number, tag in enumerate(taken.tags):
        if number not in kept:
            shown = f"{_OPENING[tag.kind]} {tag.code[:60]} {_CLOSING[tag.kind]}"
            raise TemplateRefused(
                f"{shown} is where MJML drops it: put it into an element such as <mj-text>", line=line_of(tag.line)
            )
