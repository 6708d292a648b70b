"""Templates of people who mean harm: refused, or ended with a reason, at once and in little memory."""

from __future__ import annotations

import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from plugins.mail.rendering.compiled import Source
from plugins.mail.rendering.errors import MissingVariables, RenderFailed, TemplateRefused
from plugins.mail.rendering.library import Library
from plugins.mail.rendering.plaintext import text_of

SECONDS = 2.0  # of CPU time, to compile or to fill in; less than half of it on a machine that has nothing else to do
KILOBYTES = 60_000

LOOPING = {
    "nested ranges": "{% for a in range(9999) %}{% for b in range(9999) %}{% for c in range(9999) %}{% endfor %}"
    "{% endfor %}{% endfor %}",
    "a condition on the loop": "{% for a in range(9999) %}{% for b in range(9999) if false %}{% endfor %}{% endfor %}",
    "long words in a loop": "{% for a in range(9999) %}" + "y" * 90_000 + "{% endfor %}",
    "caught in a variable": "{% set s %}{% for a in range(9999) %}" + "y" * 90_000 + "{% endfor %}{% endset %}",
    "the length of the loop": "{% for a in range(9999) %}{% for b in range(9999) %}{{ loop.length }}{% endfor %}"
    "{% endfor %}",
    "macros without end": "{% macro f(n) %}{{ f(n + 1) }}{{ f(n + 1) }}{% endmacro %}{{ f(0) }}",
    "macros that double": "{% macro f0() %}aaaaaaaaaa{% endmacro %}"
    + "".join(f"{{% macro f{n + 1}() %}}{{{{ f{n}() }}}}{{{{ f{n}() }}}}{{% endmacro %}}" for n in range(40))
    + "{{ f40() }}",
    "blocks that double": "{% set a %}aaaa{% endset %}" + "{% set a %}{{ a }}{{ a }}{{ a }}{% endset %}" * 40,
    "sorting in a loop": "{% for a in range(9999) %}{% for b in range(9999)|sort|reverse|list|sort %}{% endfor %}"
    "{% endfor %}",
    "counting in a loop": "{% for a in range(9999) %}{{ range(9999)|unique|list|length }}{% endfor %}",
}

GROWING = {
    "text times a number": "{{ 'a' * 1000000000 }}",
    "a number times text": "{{ 1000000000 * 'a' }}",
    "a list times a number": "{{ [1] * 1000000000 }}",
    "powers": "{{ 10 ** 10 ** 10 }}",
    "squares": "{% set n = namespace(a=99999) %}{% for i in range(60) %}{% set n.a = n.a * n.a %}{% endfor %}",
    "doubling with ~": "{% set n = namespace(a='aaaa') %}{% for i in range(60) %}{% set n.a = n.a ~ n.a %}{% endfor %}",
    "doubling with +": "{% set n = namespace(a='aaaa') %}{% for i in range(60) %}{% set n.a = n.a + n.a %}{% endfor %}",
    "doubling a list": "{% set n = namespace(a=[1]) %}{% for i in range(60) %}{% set n.a = n.a + n.a %}{% endfor %}",
    "lists in lists": "{% set n = namespace(a=[1]) %}{% for i in range(60) %}{% set n.a = [n.a, n.a] %}{% endfor %}"
    "{{ n.a }}",
    "namespaces in namespaces": "{% set n = namespace(a=1) %}{% for i in range(60) %}"
    "{% set n.a = namespace(x=n.a, y=n.a) %}{% endfor %}{{ n.a }}",
    "center": "{{ 'a'|center(1000000000) }}",
    "center, called": "{{ 'a'.center(1000000000) }}",
    "ljust": "{{ 'a'.ljust(1000000000) }}",
    "format": "{{ '%1000000000d'|format(1) }}",
    "format, called": "{{ '{:>1000000000}'.format(1) }}",
    "percent": "{{ '%1000000000d' % 1 }}",
    "indent": "{{ 'a'|indent(1000000000) }}",
    "batch": "{{ [1]|batch(1000000000, 'x')|list }}",
    "slice": "{{ [1]|slice(1000000000)|list }}",
    "round": "{{ 1|round(1000000000, 'ceil') }}",
    "money": "{{ '1e999999999'|money }}",
    "range": "{{ range(1000000000)|list }}",
    "replace": "{{ 'aaaaaaaa'|replace('a', '" + "b" * 4000 + "')|replace('b', '" + "c" * 4000 + "') }}",
    "join": "{{ range(9999)|join('" + "a" * 9000 + "') }}",
    "map and replace": "{{ range(9999)|map('string')|map('replace', '1', '" + "a" * 9000 + "')|list|length }}",
    "filters on filters": "{% filter replace('a', 'aaaaaaaaaaaa') %}" * 15 + "a" * 99 + "{% endfilter %}" * 15,
    "a long product": "{{ " + "9" * 4000 + " * " + "9" * 4000 + " }}",
}

REACHING = {
    "class": "{{ ''.__class__.__mro__ }}",
    "class as a key": "{{ ''['__class__'] }}",
    "class in two parts": "{{ ''['__cl' ~ 'ass__'] }}",
    "attr": "{{ name|attr('__class__') }}",
    "self": "{{ self }}",
    "self's context": "{{ self._TemplateReference__context }}",
    "cycler": "{{ cycler.__init__.__globals__ }}",
    "joiner": "{{ joiner.__init__.__globals__ }}",
    "lipsum": "{{ lipsum.__globals__ }}",
    "namespace": "{{ namespace.__init__.__globals__ }}",
    "loop": "{% for a in [1] %}{{ loop['__class__'] }}{% endfor %}",
    "loop's iterable": "{% for a in [1] %}{{ loop._iterable }}{% endfor %}",
    "macro": "{% macro m() %}{% endmacro %}{{ m._func }}",
    "caller": "{% macro m() %}{{ caller.__globals__ }}{% endmacro %}{% call m() %}{% endcall %}",
    "map": "{{ ['a']|map(attribute='__class__')|first }}",
    "sort": "{{ ['a', 'b']|sort(attribute='__class__.__mro__')|first }}",
    "selectattr": "{{ ['a']|selectattr('__class__')|list }}",
    "sum": "{{ ['a']|sum(attribute='__class__') }}",
    "map with attr": "{{ ['a']|map('attr', '__class__')|first }}",
    "a dict's method": "{{ {}.pop('a') }}",
    "a list's method": "{% set a = [1] %}{{ a.append(1) }}",
    "import": "{% import 'os' as os %}",
    "from": "{% from 'os' import path %}",
    "include": "{% include '/etc/passwd' %}",
    "extends": "{% extends 'layout.mjml' %}",
    "block": "{% block a %}{% endblock %}",
    "autoescape": "{% autoescape false %}{{ name }}{% endautoescape %}",
    "safe": "{{ name|safe }}",
    "our own counters": "{{ _work(-1000000, -1000000) }}",
    "our own counters, shadowed": "{% macro _work(a, b) %}{% endmacro %}",
    "our own filters": "{{ name|_counted }}",
    "recursive loops": "{% for a in [1] recursive %}{{ loop([1]) }}{% endfor %}",
    "star": "{{ range(*range(3)) }}",
}

ENORMOUS = {
    "brackets": "{{ " + "(" * 7000 + "1" + ")" * 7000 + " }}",
    "lists": "{{ " + "[" * 7000 + "]" * 7000 + " }}",
    "not": "{{ " + "not " * 4000 + "1 }}",
    "minus": "{{ " + "-" * 15_000 + "1 }}",
    "dots": "{{ a" + ".b" * 7000 + " }}",
    "filters": "{{ a" + "|e" * 7000 + " }}",
    "sums": "{{ 1" + "+1" * 7000 + " }}",
    "ifs": "{% if 1 %}" * 400 + "{% endif %}" * 400,
    "fors": "{% for a in [1] %}" * 40 + "{% endfor %}" * 40,
    "conditions": "{{ " + "1 if 1 else " * 1300 + "1 }}",
    "digits": "{{ " + "9" * 15_000 + " }}",
    "braces": "{{ a }}" * 30_000,
    "commas": "{{ [" + "1," * 30_000 + "] }}",
    "open quotes": '{{ "' + "a" * 200_000,
    "open comments": "{#" * 60_000,
    "a comment and no end": "{##}" * 50_000 + "{% if %}",
    "everything": "a" * 300_000,
}

MARKUP = {
    "nested": "<div>" * 2_500 + "</div>" * 2_500,
    "nested and never closed": "<b>" * 2_900,
    "comments never closed": "<!--" * 60_000,
    "spaces in a tag": "<p" + " " * 200_000,
    "spaces": "<p>" + " " * 200_000 + "\n" * 20_000 + "</p>",
    "quotes": '<p a="' * 30_000,
    "attributes": "<p " + 'a="b" ' * 40_000 + ">",
    "attributes without values": "<p " + "a " * 100_000,
    "a name": "<" + "a" * 200_000,
    "styles never closed": "<style>" * 2_500 + "a" * 100_000,
    "style for everything": "<style>* { background: url(https://x.example/"
    + "a" * 50_000
    + ") }</style>"
    + "<p>a</p>" * 2_000,
    "many rules": "<style>"
    + "".join(f"p.a{n} {{ color: red }}" for n in range(5_000))
    + "</style>"
    + "<p>a</p>" * 1_000,
    "deep selectors": "<style>" + "div " * 30 + "p { color: red }</style>" + "<div>" * 90 + "<p>a</p>" + "</div>" * 90,
    "script": "<script>alert(1)</script>",
    "handler": "<img src='https://x.example/a.png' onerror='alert(1)'>",
    "frame": "<iframe src='https://x.example'></iframe>",
    "style from elsewhere": "<link rel='stylesheet' href='file:///etc/passwd'>",
    "refresh": "<meta http-equiv='refresh' content='0;url=https://x.example'>",
    "javascript": "<a href='javascript:alert(1)'>a</a>",
    "javascript, spelt oddly": "<a href=' jav&#x09;ascript:alert(1)'>a</a>",
    "data": "<a href='data:text/html,<b>a</b>'>a</a>",
}

MJML = {
    "wrappers": "<mj-wrapper>" * 2_500 + "</mj-wrapper>" * 2_500,
    "includes": "<mj-include path='/etc/passwd' />",
    "much in the head": "<mjml><mj-head><mj-attributes><mj-all padding='"
    + "1px " * 25_000
    + "' /></mj-attributes></mj-head>"
    "<mj-body>" + "<mj-section><mj-column><mj-text>a</mj-text></mj-column></mj-section>" * 700 + "</mj-body></mjml>",
    "unknown": "<mj-section><mj-colum></mj-colum></mj-section>",
    "entities": "<!DOCTYPE a [<!ENTITY a 'aaaa'>]><mjml><mj-body>&a;</mj-body></mjml>",
}


@pytest.fixture(scope="module")
def library() -> Library:
    made = Library(None, "en")
    made.compile(Source("a", mjml="<mj-section></mj-section>"), "en")  # what is loaded once is not measured
    return made


@pytest.fixture
def _measured() -> Iterator[None]:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak
    assert grown < KILOBYTES, f"{grown / 1024:.0f} MB more"


@contextmanager
def soon() -> Iterator[None]:
    begun = time.thread_time()
    try:
        yield
    finally:
        assert time.thread_time() - begun < SECONDS


def outcome(library: Library, source: Source) -> str:
    """Why it is not accepted, or not filled in."""
    try:
        with soon():
            compiled = library.compile(source, "en")
        with soon():
            compiled.render({"organisation": "Acme", "name": "Ada"})
    except (TemplateRefused, RenderFailed, MissingVariables) as refused:
        return str(refused)
    return ""


def sources(code: str) -> Iterator[Source]:
    yield Source(code, html="<p>a</p>")
    yield Source("a", mjml=f"<mj-section><mj-column><mj-text>{code}</mj-text></mj-column></mj-section>")
    yield Source("a", html="<p>a</p>", text=code)


@pytest.mark.parametrize("code", [*LOOPING.values(), *GROWING.values()], ids=[*LOOPING, *GROWING])
@pytest.mark.usefixtures("_measured")
def test_template_when_it_loops_or_grows_then_ended_with_a_reason(library: Library, code: str) -> None:
    for source in sources(code):
        assert outcome(library, source)


@pytest.mark.parametrize("code", REACHING.values(), ids=REACHING)
@pytest.mark.usefixtures("_measured")
def test_template_when_it_reaches_into_python_then_ended_with_a_reason(library: Library, code: str) -> None:
    for source in sources(code):
        assert outcome(library, source)


@pytest.mark.parametrize("code", ENORMOUS.values(), ids=ENORMOUS)
@pytest.mark.usefixtures("_measured")
def test_template_when_it_is_enormous_then_refused(library: Library, code: str) -> None:
    for source in sources(code):
        assert outcome(library, source)


@pytest.mark.parametrize("html", MARKUP.values(), ids=MARKUP)
@pytest.mark.usefixtures("_measured")
def test_markup_when_it_is_meant_to_crash_or_to_run_then_refused_or_harmless(library: Library, html: str) -> None:
    for source in (
        Source("a", html=html),
        Source("a", mjml=f"<mj-section><mj-column><mj-text>{html}</mj-text></mj-column></mj-section>"),
    ):
        try:
            with soon():
                shown = library.compile(source, "en").render({"organisation": "Acme"}).html.lower()
        except TemplateRefused:
            continue
        assert len(shown) <= 1_000_000
        for word in ("<script", "onerror", "<iframe", "javascript:", "<link", "refresh"):
            assert word not in shown


@pytest.mark.parametrize("mjml", MJML.values(), ids=MJML)
@pytest.mark.usefixtures("_measured")
def test_mjml_when_it_is_meant_to_crash_or_to_read_files_then_refused(library: Library, mjml: str) -> None:
    with pytest.raises(TemplateRefused), soon():
        library.compile(Source("a", mjml=mjml), "en")


@pytest.mark.parametrize(
    "html", ["<div>" * 60_000, "<p>" + " " * 300_000 + "\n" * 300_000, "<" * 300_000, "<!--" * 60_000, "&amp" * 60_000]
)
@pytest.mark.usefixtures("_measured")
def test_text_when_made_from_enormous_html_then_soon(html: str) -> None:
    with soon():
        text_of(html)


def test_template_when_variables_are_hostile_then_they_stay_words(library: Library) -> None:
    hostile = "</p><script>alert('{{ 7*7 }}')</script>{% raw %}\" onload=\"x"
    source = Source(
        "{{ name }}",
        html='<p title="{{ name }}">{{ name }}</p>'
        '<!--[if mso]><v:a href="https://x.example/{{ name }}">{{ name }}</v:a><![endif]-->',
    )
    shown = library.compile(source, "en").render({"organisation": "Acme", "name": hostile})
    assert "<script" not in shown.html
    assert '" onload="' not in shown.html
    assert "49" not in shown.html
    assert shown.subject == hostile
