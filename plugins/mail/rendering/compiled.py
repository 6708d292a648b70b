"""Compile a mail template (layout, MJML, inlined CSS) and render it for each recipient."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from jinja2.exceptions import UndefinedError

from . import parts, source
from .budget import OUTPUT, spending
from .errors import MissingVariables, RenderFailed, TemplateRefused, TooMuch
from .markup import Kind, styles_in
from .missing_variables import noting
from .parts import Part
from .plaintext import text_of, tidied
from .sandbox import Sandbox
from .syntax import Needs

GIVEN = frozenset({"layout", "locale", "subject"})
"""Variables that the engine sets for the HTML and the text: the layout's texts, the template's locale, its subject."""

SUBJECT = 500
"""Characters of a rendered subject, at most."""

_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_HEAD = re.compile(r"\s*<mj-head>(.*?)</mj-head>", re.DOTALL)
_DOCUMENT = re.compile(r"\s*+(?>\{#.*?#\}\s*+)*+<mjml[\s>]", re.DOTALL)
_FIRST_ROWS = re.compile(r"(<table[^>]*>)((?:<!--\w+-->\s*)+)<tbody>")
_RESETS = '<style type="text/css">\n#outlook'
_LEFT_ALONE = ' data-css-inline="ignore"'
_WORK = 20_000_000  # elements times characters of style: what inlining may come to
HEAD_PLACE, CONTENT_PLACE = "<!-- head -->", "<!-- content -->"


@dataclass(frozen=True, slots=True)
class Rendered:
    """A rendered template: what a recipient reads."""

    subject: str
    text: str
    html: str


@dataclass(frozen=True, slots=True)
class Source:
    """A template as written. Either mjml (the content of the layout, or a whole document) or html.

    text: when "", it is made from the HTML.
    """

    subject: str
    mjml: str = ""
    html: str = ""
    text: str = ""


@dataclass(frozen=True, slots=True)
class Layout:
    """The frame around a template's content: MJML with a place for head and content, and its own texts."""

    mjml: str
    texts: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Compiled:
    """A compiled template, ready to be rendered."""

    subject: Part
    html: Part
    text: Part
    needs: Needs
    given: Mapping[str, Any]

    def render(self, variables: Mapping[str, Any]) -> Rendered:
        """Render the template for one recipient.

        Raises:
            MissingVariables: the template uses variables that were not given; all of them are named.
            RenderFailed: it loops too much, uses something forbidden, or its subject is not one line.
        """
        missing = self.missing(variables)
        with spending(), noting() as gaps:
            try:
                rendered = self._filled({**variables, **self.given})
            except UndefinedError as error:
                if not gaps:
                    raise RenderFailed(str(error)) from None
            except TooMuch:
                raise
            except RenderFailed:
                if not missing and not gaps:
                    raise
            if missing or gaps:
                raise MissingVariables({*missing, *map(self.needs.path_of, gaps)})
        return rendered

    def missing(self, names: Mapping[str, Any] | frozenset[str]) -> frozenset[str]:
        """Required variables that are not among `names`; gaps inside their values only show when it is rendered."""
        return self.needs.required.difference(names)

    def _filled(self, variables: dict[str, Any]) -> Rendered:
        subject = _line(self.subject.fill(variables))
        variables["subject"] = subject
        html = _bounded(self.html.fill(variables), "html")
        text = tidied(_bounded(self.text.fill(variables), "text"))
        return Rendered(subject, text, html)


def _line(subject: str) -> str:
    if control := _UNPRINTABLE.search(subject):
        raise RenderFailed(f"there is a line break or control character in it ({control[0]!r})", part="subject")
    if not subject.strip():
        raise RenderFailed("there is nothing in it", part="subject")
    if len(subject) > SUBJECT:
        raise RenderFailed(f"it is longer than {SUBJECT} characters", part="subject")
    return subject.strip()


def _bounded(text: str, part: str) -> str:
    if len(text) > OUTPUT:
        raise RenderFailed(f"it is longer than {OUTPUT:,} characters", part=part)
    return text


class Compiler:
    """Compiles templates; keeps Jinja's environments, which are expensive to create."""

    def __init__(self) -> None:
        self._markup, self._plain = Sandbox(markup=True), Sandbox(markup=False)

    def compile(self, written: Source, layout: Layout, locale: str) -> Compiled:
        """Compile a template from its source.

        Raises:
            TemplateRefused: part, line and reason.
        """
        subject, needs = self._subject(written.subject)
        kind: Kind = "mjml" if written.mjml else "html"
        body = written.mjml or written.html
        try:
            taken, more = source.checked(body, self._markup)
            fit = parts.fit_for_markup(taken, kind)
            line_of: Callable[[int], int | None] = int
            if kind == "mjml" and not _DOCUMENT.match(body):
                taken, line_of, from_layout = self._laid_out(body, layout)
                fit, more = parts.fit_for_markup(taken, kind), more | from_layout
            html, plain = self._html(fit, taken, kind, line_of)
        except TemplateRefused as error:
            raise error.of(kind) from None
        text, yet_more = self._text(written.text) if written.text else (plain, Needs())
        needs = needs | more | yet_more
        needs = Needs(needs.required - GIVEN, needs.optional - GIVEN, needs.paths)
        return Compiled(subject, html, text, needs, {"layout": layout.texts, "locale": locale})

    def _subject(self, written: str) -> tuple[Part, Needs]:
        return self._plain_part("subject", written)

    def _text(self, written: str) -> tuple[Part, Needs]:
        return self._plain_part("text", written)

    def _plain_part(self, name: str, written: str) -> tuple[Part, Needs]:
        try:
            taken, needs = source.checked(written, self._plain)
            return parts.compile(name, taken.marked, taken, self._plain, int), needs
        except TemplateRefused as error:
            raise error.of(name) from None

    def _laid_out(self, content: str, layout: Layout) -> tuple[source.Cut, Callable[[int], int | None], Needs]:
        """Put content into its layout; also returns a function from lines of the result to lines of the content."""
        head = _HEAD.match(content)
        # Line numbers stay right: what moves to the head leaves its line breaks behind.
        body = content[head.end() :] if head else content
        before = content[: head.end()].count("\n") if head else 0
        whole = layout.mjml.replace(HEAD_PLACE, head[1].replace("\n", " ") if head else "", 1)
        first = whole.count("\n", 0, whole.find(CONTENT_PLACE))
        whole = whole.replace(CONTENT_PLACE, body, 1)
        last = first + body.count("\n")

        def line_of(line: int) -> int | None:
            return line - first + before if first < line <= last + 1 else None

        _, needs = source.checked(layout.mjml, self._markup)
        return source.cut(whole, self._markup), line_of, needs

    def _html(self, fit: str, taken: source.Cut, kind: Kind, line_of: Callable[[int], int | None]) -> tuple[Part, Part]:
        """The HTML, and the text made from it."""
        html = _inlined(_from_mjml(fit) if kind == "mjml" else fit)
        if "<tbody" not in fit:
            html = _FIRST_ROWS.sub(r"\1<tbody>\2", html)
        parts.ensure_kept(html, taken, line_of)
        _bounded_source(html)
        text = text_of(html, keep=taken.statements)
        html_part = parts.compile(kind, parts.guarded(html, taken), taken, self._markup, line_of)
        return html_part, parts.compile(kind, text, taken, self._plain, line_of)


def _bounded_source(html: str) -> None:
    if len(html) > OUTPUT:
        raise TemplateRefused(f"this makes more than {OUTPUT:,} characters of HTML")


def _from_mjml(document: str) -> str:
    from mjml import mjml2html

    head = document.find("</mj-head>")
    if head > 0 and head * document.count("<") > _WORK:
        raise TemplateRefused("there is too much in <mj-head> for so many elements")
    try:
        return mjml2html(
            document, fonts={}, social_icon_origin="https://www.mailjet.com/images/theme/v1/icons/ico-social/"
        )
    except ValueError as error:
        raise TemplateRefused(f"this is not valid MJML: {error}") from None


def _inlined(html: str) -> str:
    """Move styles to the elements they apply to; media queries and MJML's own resets stay in the head."""
    from css_inline import CSSInliner, InlineError

    if sum(end - begin for begin, end in styles_in(html)) * html.count("<") > _WORK:
        raise TemplateRefused("there is too much style for so many elements")
    html = html.replace(_RESETS, _RESETS.replace(">", f"{_LEFT_ALONE}>"), 1)
    inliner = CSSInliner(
        keep_style_tags=True, keep_at_rules=True, remove_inlined_selectors=True, load_remote_stylesheets=False
    )
    try:
        return inliner.inline(html).replace(_LEFT_ALONE, "")
    except InlineError as error:
        raise TemplateRefused(f"the style cannot be read: {error}") from None
