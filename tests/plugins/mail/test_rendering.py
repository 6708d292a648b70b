"""The engine: MJML and HTML with Jinja in it become mail, with every value fit for its place; and our own templates."""

from __future__ import annotations

import re
import time
from html.parser import HTMLParser
from typing import Any

import pytest

from plugins.mail.rendering.compiled import Compiled, Rendered, Source
from plugins.mail.rendering.errors import MissingVariables, RenderFailed, TemplateRefused
from plugins.mail.rendering.library import Library, fallbacks
from plugins.mail.rendering.plaintext import text_of

OURS = [(name, locale) for name in Library(None, "en").names for locale in Library(None, "en").locales(name)]


@pytest.fixture(scope="module")
def library() -> Library:
    return Library(None, "en")


def mjml(words: str) -> Source:
    return Source("Subject", mjml=f"<mj-section><mj-column>{words}</mj-column></mj-section>")


def shown(library: Library, source: Source, **variables: Any) -> Rendered:
    return library.compile(source, "en").render({"organisation": "Acme", **variables})


class Balance(HTMLParser):
    """Which elements are open where they should not be."""

    VOID = frozenset({"meta", "img", "br", "hr", "link", "input"})

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.wrong: list[str] = []
        self.images: list[dict[str, str | None]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "img":
            self.images.append(dict(attrs))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)


# -- our own ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "locale"), OURS)
def test_our_template_when_filled_in_then_well_formed_accessible_and_complete(
    library: Library, name: str, locale: str
) -> None:
    template = library.locales(name)[locale]
    mail = library.compiled(template).render({**template.examples, "organisation": "Söhne & Co"})
    assert mail.html.lower().startswith("<!doctype html>")
    assert f'<html lang="{locale}"' in mail.html
    balance = Balance(mail.html)
    assert (balance.open, balance.wrong) == ([], [])
    assert all("alt" in image for image in balance.images)
    assert mail.html.count("<h1") == 1
    assert 'name="color-scheme"' in mail.html
    assert "prefers-color-scheme: dark" in mail.html
    preheader = re.search(r'<div style="display:none[^"]*">([^<]+)</div>', mail.html)
    assert preheader is not None
    assert preheader[1].strip()
    assert "fonts.googleapis.com" not in mail.html
    assert "{{" not in mail.html + mail.text + mail.subject
    assert "Söhne &amp; Co" in mail.html
    assert "Söhne & Co" in mail.text
    assert not re.search(r"<[a-z/]", mail.text)
    assert len(mail.html) < 60_000


@pytest.mark.parametrize("name", ["verification", "password_reset", "invitation"])
def test_our_template_when_it_has_a_link_then_html_and_text_lead_there(library: Library, name: str) -> None:
    link = "https://app.example.com/x?a=1&b=2"
    for template in library.locales(name).values():
        mail = library.compiled(template).render({"organisation": "Acme", **template.examples, "link": link})
        assert mail.html.count('href="https://app.example.com/x?a=1&amp;b=2"') == 2
        assert mail.text.count(link) == 2


def test_newsletter_when_the_way_out_is_given_then_it_is_in_the_mail_and_else_not(library: Library) -> None:
    template = library.locales("newsletter")["en"]
    given = {"organisation": "Acme", **template.examples, "unsubscribe_url": "https://x.example/out"}
    assert "Unsubscribe: https://x.example/out" in library.compiled(template).render(given).text
    del given["unsubscribe_url"]
    assert "Unsubscribe" not in library.compiled(template).render(given).html


def test_newsletter_when_articles_differ_then_each_is_framed_and_its_html_is_cleaned(library: Library) -> None:
    articles = [
        {"title": "One", "text": "<p>With <b>words</b><script>alert(1)</script></p>"},
        {"title": "Two", "text": "plain", "image": "https://x.example/a.png", "image_alt": 'A "mill"'},
        {"title": "Three", "text": "<a href='javascript:alert(1)'>a</a>", "url": "https://x.example/3"},
    ]
    template = library.locales("newsletter")["en"]
    mail = library.compiled(template).render({"organisation": "Acme", "title": "T", "intro": "I", "articles": articles})
    balance = Balance(mail.html)
    assert (balance.open, balance.wrong) == ([], [])
    assert "<b>words</b>" in mail.html
    assert "alert(1)" not in mail.html
    [image] = balance.images
    assert image["alt"] == 'A "mill"'
    assert [mail.text.index(word) for word in ("One", "Two", "Three")] == sorted(
        mail.text.index(word) for word in ("One", "Two", "Three")
    )
    empty = library.compiled(template).render({"organisation": "Acme", "title": "T", "intro": "I", "articles": []})
    assert Balance(empty.html).wrong == []


def test_newsletter_when_filled_in_often_then_soon(library: Library) -> None:
    template = library.locales("newsletter")["en"]
    compiled: Compiled = library.compiled(template)
    given = {"organisation": "Acme", **template.examples}
    compiled.render(given)
    begun = time.thread_time()
    for _ in range(200):
        compiled.render(given)
    assert (time.thread_time() - begun) / 200 < 0.003  # ten times what it takes on a machine with nothing else to do


# -- where braces may be ---------------------------------------------------------------------------------


def test_braces_when_in_loops_tables_attributes_and_styles_then_all_are_kept_in_place(library: Library) -> None:
    source = mjml(
        '<mj-table>{% for row in rows %}<tr class="{{ row.kind }}">'
        '<td style="color: {{ row.colour }}">{{ row.name }}</td>'
        "</tr>{% else %}<tr><td>none</td></tr>{% endfor %}</mj-table>"
        '{% if rows|length > 1 and "a" < "b" %}<mj-button href="{{ link }}?a={{ rows[0].name|urlencode }}" '
        'background-color="{{ rows[0].colour }}">{{ rows|map(attribute="name")|join(", ") }}</mj-button>{% endif %}'
    )
    rows = [{"kind": "odd", "colour": "#f00", "name": "<A & B>"}, {"kind": "even", "colour": "green", "name": "C"}]
    mail = shown(library, source, rows=rows, link="https://x.example/")
    balance = Balance(mail.html)
    assert (balance.open, balance.wrong) == ([], [])
    assert re.search(
        r'<tbody><tr class="odd"><td style="color: #f00">&lt;A &amp; B&gt;</td></tr><tr class="even">', mail.html
    )
    assert 'href="https://x.example/?a=%3CA%20%26%20B%3E"' in mail.html
    assert 'bgcolor="#f00"' in mail.html
    assert mail.text.startswith("Acme\n\n<A & B>\nC\n\n<A & B>, C: https://x.example/?a=")
    assert "none" in shown(library, source, rows=[], link="https://x.example/").text


@pytest.mark.parametrize("place", ["mj-body", "mj-wrapper", "mj-section", "mj-column"])
def test_statements_when_between_elements_then_the_html_stays_balanced(library: Library, place: str) -> None:
    inner = {
        "mj-body": "<mj-section><mj-column><mj-text>{}</mj-text></mj-column></mj-section>",
        "mj-wrapper": "<mj-section><mj-column><mj-text>{}</mj-text></mj-column></mj-section>",
        "mj-section": "<mj-column><mj-text>{}</mj-text></mj-column>",
        "mj-column": "<mj-text>{}</mj-text>",
    }[place].format("<p>word {{ n }}</p>")
    looped = "{% for n in range(3) %}\n" + inner + "\n{% endfor %}"
    around = {
        "mj-body": "{}",
        "mj-wrapper": "<mj-wrapper>{}</mj-wrapper>",
        "mj-section": "<mj-section>{}</mj-section>",
        "mj-column": "<mj-section><mj-column>{}</mj-column></mj-section>",
    }[place]
    source = Source("Subject", mjml=f"<mjml><mj-body>{around.format(looped)}</mj-body></mjml>")
    mail = shown(library, source)
    balance = Balance(mail.html)
    assert (balance.open, balance.wrong) == ([], [])
    outlook = re.sub(
        r"<!--\[if [^\]]*\]>(.*?)<!\[endif\]-->", r"\1", mail.html.replace("<!--[if !mso]><!-->", ""), flags=re.DOTALL
    )
    assert outlook.count("<table") == outlook.count("</table>")
    assert outlook.count("<td") == outlook.count("</td>")
    assert mail.text.split() == ["word", "0", "word", "1", "word", "2"]


def test_braces_when_raw_or_in_styles_then_written_as_they_are(library: Library) -> None:
    mail = shown(library, mjml("<mj-text>{% raw %}{{ not this }}{% endraw %} {{ '{{' }} {# nor this #}</mj-text>"))
    assert "{{ not this }} {{" in mail.html
    assert "nor this" not in mail.html
    assert "{{ not this }} {{" in mail.text


@pytest.mark.parametrize(
    ("source", "line", "said"),
    [
        (mjml("\n<mj-text {{ a }}>x</mj-text>"), 2, "between the quotes"),
        (mjml("\n<mj-text><!-- {{ a }} -->x</mj-text>"), 2, "comment"),
        (mjml("\n\n{{ a }}"), 1, "is between elements"),
        (mjml("\n\n<mj-text>{{ a }</mj-text>"), 3, ""),
        (mjml("\n{% if a %}\n<mj-text>x</mj-text>"), None, ""),
        (mjml("<mj-text>\n<p>x</mj-text>"), 2, "</mj-text> comes where <p> of line 2"),
        (Source("s", mjml="<mj-head>\n<mj-preview>{{ a|nothing }}</mj-preview></mj-head>"), 2, "no filter nothing"),
    ],
)
def test_source_when_wrong_then_the_line_is_named(
    library: Library, source: Source, line: int | None, said: str
) -> None:
    with pytest.raises(TemplateRefused) as refused:
        library.compile(source, "en")
    assert said in refused.value.reason
    assert line is None or refused.value.line == line
    assert refused.value.part == "mjml"


def test_value_when_it_fails_while_filled_in_then_part_and_line_are_named(library: Library) -> None:
    compiled = library.compile(mjml("\n<mj-text>{{ a }}\n<p>{{ 1 / b }}</p></mj-text>"), "en")
    with pytest.raises(RenderFailed) as failed:
        compiled.render({"organisation": "Acme", "a": 1, "b": 0})
    assert (failed.value.part, failed.value.line) == ("mjml", 3)
    assert "division by zero" in failed.value.reason


# -- what values may be ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "link",
    [
        "javascript:alert(1)",
        "JAVASCRIPT:alert(1)",
        " java\tscript:alert(1)",
        "data:text/html,x",
        "vbscript:x",
        "//x.example",
        "/x",
        "",
    ],
)
def test_link_when_it_leads_where_no_mail_leads_then_refused(library: Library, link: str) -> None:
    for words in ('<mj-button href="{{ link }}">x</mj-button>', '<mj-text><a href="{{ link }}">x</a></mj-text>'):
        with pytest.raises(RenderFailed, match="no address"):
            shown(library, mjml(words), link=link)


def test_link_when_it_is_put_together_of_parts_then_the_whole_is_judged(library: Library) -> None:
    source = Source("s", html='<a href="{{ a }}{% if b %}{{ b }}{% endif %}">x</a>')
    with pytest.raises(RenderFailed, match="no address"):
        shown(library, source, a="java", b="script:alert(1)")
    assert 'href="mailto:a@example.com"' in shown(library, source, a="mailto:", b="a@example.com").html


@pytest.mark.parametrize(
    "value", ["red; background: url(https://x.example)", "expression(1)", "a</style><script>", "url(x)"]
)
def test_style_when_a_value_is_more_than_one_then_refused(library: Library, value: str) -> None:
    for html in ('<p style="color: {{ v }}">x</p>', "<style>@media print { p { color: {{ v }} } }</style><p>x</p>"):
        with pytest.raises(RenderFailed, match="style"):
            shown(library, Source("s", html=html), v=value)
        assert "#ff0000" in shown(library, Source("s", html=html), v="#ff0000").html


@pytest.mark.parametrize("value", ["a\r\nBcc: b@example.com", "a\nb", "a\x00b", "a\u2028b", "  "])
def test_subject_when_it_is_no_line_then_refused(library: Library, value: str) -> None:
    with pytest.raises(RenderFailed, match="subject"):
        shown(library, Source("{{ v }}", html="<p>x</p>"), v=value)


def test_subject_when_values_have_html_in_them_then_not_escaped(library: Library) -> None:
    assert shown(library, Source("{{ v }}", html="<p>x</p>"), v="A & <B>").subject == "A & <B>"


def test_variables_when_missing_then_all_are_named_and_what_is_asked_for_first_is_no_gap(library: Library) -> None:
    compiled = library.compile(
        mjml(
            "<mj-text>{{ a }}{{ b.c }}{% for d in e %}{{ d }}{% endfor %}{{ f.g.h }}{{ i|default('-') }}"
            "{% if j is defined %}{{ j }}{% endif %}{{ k|upper }}</mj-text>"
        ),
        "en",
    )
    with pytest.raises(MissingVariables) as missing:
        compiled.render({"organisation": "Acme", "f": {"g": {}}})
    assert missing.value.names == ("a", "b", "e", "f.g.h", "k")
    assert compiled.missing({"a"}) == {"b", "e", "f", "k", "organisation"}
    assert (
        "None"
        not in compiled.render(
            {"organisation": "Acme", "a": None, "b": {"c": 1}, "e": [], "f": {"g": {"h": 2}}, "k": ""}
        ).html
    )


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("{{ 1234.5|money }}", "1,234.50"),
        ("{{ '1234567.891'|money(2, ',', '.') }}", "1.234.567,89"),
        ("{{ [1, 2, 3]|sum }}", "6"),
        ("{{ rows|sum(attribute='n') }}", "3"),
        ("{{ rows|map(attribute='n')|join('/') }}", "1/2"),
        ("{{ rows|selectattr('n', 'gt', 1)|map(attribute='n')|first }}", "2"),
        ("{{ rows|sort(attribute='n', reverse=true)|map(attribute='n')|join }}", "21"),
        ("{{ 'The quick brown fox'|truncate(12) }}", "The quick…"),
        ("{% for k, v in pairs.items() %}{{ k }}={{ v }} {% endfor %}", "a=1 b=2"),
        ("{% for k in pairs %}{{ loop.index }}{{ k }}{{ '' if loop.last else '-' }}{% endfor %}", "1a-2b"),
        ("{{ order.items }}", "three"),
        ("{% set n = namespace(t=0) %}{% for r in rows %}{% set n.t = n.t + r.n * 2 %}{% endfor %}{{ n.t }}", "6"),
        ("{% macro m(a) %}[{{ a }}]{% endmacro %}{{ m('x') }}", "[x]"),
        ("{{ 'a' in ['a'] }} {{ 'b' not in 'abc' }}", "True False"),
        ("{{ 'a' ~ 1 ~ none }}", "a1"),
        ("{{ 'x'.__len__ if false else 'y' }}", ""),
    ],
)
def test_filters_and_functions_when_used_as_jinja_has_them_then_they_work(
    library: Library, code: str, expected: str
) -> None:
    source = Source("s", html="<p>x</p>", text=code)
    given = {"rows": [{"n": 1}, {"n": 2}], "pairs": {"a": 1, "b": 2}, "order": {"items": "three"}}
    if "__" in code:
        with pytest.raises(TemplateRefused):
            library.compile(source, "en")
        return
    assert shown(library, source, **given).text.strip() == expected


# -- text ------------------------------------------------------------------------------------------------


def test_text_when_made_from_html_then_paragraphs_lists_links_and_nothing_hidden() -> None:
    html = """<html><head><title>No</title><style>p { color: red }</style></head><body>
    <div style="display:none">hidden <b>too</b></div><h1>Head</h1><p>One&nbsp;&amp;   two<br>three</p>
    <ul><li>a</li><li>b</li></ul><p><a href="https://x.example/?a=1&amp;b=2">Go</a>
    <a href="mailto:a@b.example">a@b.example</a> <a href="#top">top</a></p>
    <img src="x.png" alt="A mill"><script>alert(1)</script><!-- note --></body></html>"""
    assert text_of(html) == (
        "Head\n\nOne\xa0& two\nthree\n\n- a\n- b\n\nGo: https://x.example/?a=1&b=2 a@b.example top\n\n[A mill]\n"
    )


def test_fallbacks_when_a_region_is_asked_for_then_language_default_and_english_follow_once() -> None:
    assert list(fallbacks("de-AT-1996", "fr")) == ["de-AT-1996", "de-AT", "de", "fr", "en"]
    assert list(fallbacks("en-GB", "en")) == ["en-GB", "en"]
    assert list(fallbacks("", "de")) == ["de", "en"]
