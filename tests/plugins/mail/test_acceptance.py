"""What could not be sent is refused when it is asked for, naming the field or the row; and what bulk mail carries."""

from __future__ import annotations

import re
from email import message_from_bytes
from email.header import decode_header, make_header
from email.policy import default
from time import monotonic
from typing import Any

import pytest

from host.sdk import unit_of_work
from host.testing import Client, TwoTenants
from plugins.mail.models import Message
from plugins.mail.outgoing import Outgoing, mime
from plugins.mail.service import batches
from tenants.models import Tenant
from tests.plugins.mail.conftest import Outbound, Within
from tests.plugins.mail.test_attachments import enclosed, upload
from tests.plugins.mail.test_batches import submit
from tests.plugins.mail.test_messages import limited, send, used
from tests.plugins.mail.test_templates import put

LONG = "長い名前" * 50  # 200 characters, 600 bytes
BULK: dict[str, Any] = {"category": "newsletter", "html": "<html><body><p>Hello</p></body></html>"}


def header(outgoing: Outgoing, name: str) -> str | None:
    return dict(outgoing.headers).get(name)


# -- one message -----------------------------------------------------------------------------------------


async def test_message_when_names_are_long_and_beyond_ascii_then_it_leaves_with_them(
    two_tenants: TwoTenants, outbound: Outbound
) -> None:
    message = await send(two_tenants.acme, to=[f"{LONG} <ada@example.com>"], cc=[f"{LONG} <bob@example.com>"])
    await two_tenants.application.run_jobs()
    [outgoing] = outbound.taken
    to = message_from_bytes(mime(outgoing))["To"]
    assert str(make_header(decode_header(to))) == f"{LONG} <ada@example.com>"
    assert all(len(line) <= 998 for line in mime(outgoing).split(b"\r\n"))
    assert (await two_tenants.acme.ask("GET", f"/mail/messages/{message['id']}"))["status"] == "sent"


@pytest.mark.parametrize(
    "name", ["Acme\u2028Inc", "Acme\tInc", "\u202eemcA", "=?utf-8?q?Acme?=", 'A <b> "c"', "株" * 200]
)
async def test_message_when_the_organisations_name_is_from_before_names_were_checked_then_it_leaves(
    two_tenants: TwoTenants, outbound: Outbound, name: str
) -> None:
    with two_tenants.application.inner.bound():
        async with unit_of_work() as work:
            await Tenant.filter(id=two_tenants.acme.tenant_id).update(name=name)
            work.touch(tenant=two_tenants.acme.tenant_id)
    await send(two_tenants.acme)
    await submit(two_tenants.acme, 1)
    role = next(each["id"] for each in await two_tenants.acme.ask("GET", "/tenant/roles") if each["name"] == "member")
    invited = {"email": "new@example.com", "role_id": role}
    await two_tenants.acme.ask("POST", "/tenant/invitations", 201, json=invited)
    await two_tenants.application.run_jobs()
    assert len(outbound.taken) == 3
    for outgoing in outbound.taken:
        parsed = message_from_bytes(mime(outgoing), policy=default)
        assert not re.search(r"[\t\r\n\u2028\u202a-\u202e\u2066-\u2069]", f"{parsed['From']}{parsed['Subject']}")


async def test_message_when_waiting_with_such_a_sender_then_it_leaves(
    two_tenants: TwoTenants, outbound: Outbound, within: Within
) -> None:
    message = await send(two_tenants.acme)
    with within(two_tenants.acme):
        await Message.filter(id=message["id"]).update(sender="Acme\u2028\u202eInc <news@acme.example>")
    await two_tenants.application.run_jobs()
    assert str(outbound.taken[0].sender) == "Acme Inc <news@acme.example>"


@pytest.mark.parametrize("name", ["長" * 100 + ".pdf", "😀" * 70, "ä" * 128])
async def test_attachment_when_its_name_has_more_bytes_than_a_file_may_then_refused_with_the_request(
    two_tenants: TwoTenants, outbound: Outbound, name: str
) -> None:
    error = await send(two_tenants.acme, 422, attachments=[enclosed(), enclosed(filename=name)])
    assert set(error["details"]) == {"attachments.1.filename"}
    assert "filename" in (await upload(two_tenants.acme, status=422, name=name))["details"]
    assert await two_tenants.acme.ask("GET", "/mail/attachments") == []
    await send(two_tenants.acme, attachments=[enclosed(filename="長" * 80 + ".pdf")])
    await two_tenants.application.run_jobs()
    assert outbound.taken[0].attachments[0].filename == "長" * 80 + ".pdf"


@pytest.mark.parametrize("blank", [{"text": " \n\t "}, {"text": "", "html": " \n"}, {"text": "", "html": ""}])
async def test_message_when_its_words_are_blank_then_refused_and_beside_html_made_from_that(
    acme: Client, blank: dict[str, str]
) -> None:
    assert set((await send(acme, 422, **blank))["details"]) == {"text"}
    assert set((await submit(acme, status=422, template="", subject="Hi", **blank))["details"]) == {"text"}
    message = await send(acme, text=" \n", html="<p>Hello</p>")
    assert (message["text"], message["html"]) == ("Hello\n", "<p>Hello</p>")


async def test_message_when_its_template_breaks_the_subject_then_refused_with_the_request(acme: Client) -> None:
    await put(acme, "receipt")
    for name in ("Ada\nLovelace", "A" * 600):
        error = await send(acme, 422, subject="", text="", template="receipt", variables={"name": name})
        assert error["details"]["template"].startswith("subject: ")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"name": "Ada", "nmae": "Ada", "Name": "A"}, "unknown: Name, nmae"),
        ({"nmae": "Ada"}, "missing: name; unknown: nmae"),
        ({}, "missing: name"),
    ],
)
async def test_message_when_variables_are_unknown_or_missing_then_named_and_pointed_to_their_description(
    acme: Client, given: dict[str, str], said: str
) -> None:
    error = await send(acme, 422, subject="", text="", template="welcome", variables=given)
    assert error["details"] == {"variables": said}
    assert "GET /mail/templates/welcome" in error["message"]
    described = await acme.ask("GET", "/mail/templates/welcome")
    assert [each["name"] for each in described["variables"]] == ["name"]


async def test_message_when_variables_are_described_but_not_used_then_taken(
    two_tenants: TwoTenants, outbound: Outbound
) -> None:
    await put(two_tenants.acme, "welcome", words="Ahoy", subject="Ahoy")
    await send(
        two_tenants.acme, subject="", text="", template="welcome", variables={"name": "Ada", "organisation": "X"}
    )


# -- a batch ---------------------------------------------------------------------------------------------


async def test_batch_when_a_row_breaks_the_subject_or_the_words_then_that_row_is_named_and_nothing_accepted(
    two_tenants: TwoTenants,
) -> None:
    await put(two_tenants.acme, "receipt")
    rows: list[Any] = [{"name": "A"}, {"name": "B\nB"}, {"name": ["C"]}, {"name": "D", "nmae": "D"}]
    recipients = [{"to": f"a{number}@example.com", "variables": given} for number, given in enumerate(rows)]
    error = await submit(two_tenants.acme, status=422, template="receipt", recipients=recipients)
    assert set(error["details"]) == {"recipients.1.template", "recipients.2.template", "recipients.3.variables"}
    assert error["details"]["recipients.3.variables"] == "unknown: nmae"
    assert await two_tenants.acme.ask("GET", "/mail/batches") == []
    assert await used(two_tenants.acme) == 0


async def test_batch_when_a_later_row_is_wrong_in_each_way_then_it_is_named_though_the_first_was_right(
    two_tenants: TwoTenants,
) -> None:
    await put(two_tenants.acme, "linked", mjml="", html='<a href="{{ link }}">{{ name }}</a>')
    right = {"name": "A", "link": "https://example.com/"}
    wrong: list[tuple[str, dict[str, Any], str]] = [
        ("b@example.com", right | {"link": "javascript:alert(1)"}, "template"),
        ("c@example.com", {"name": "A"}, "variables"),
        ("d@example.com", right | {"name": "A" * 600}, "template"),
        ("no-address", right, "to"),
        ("f@example.com", right | {"more": 1}, "variables"),
    ]
    rows: list[Any] = [{"to": to, "variables": given} for to, given, _ in [("a@example.com", right, ""), *wrong]]
    error = await submit(two_tenants.acme, status=422, template="linked", recipients=rows)
    assert set(error["details"]) == {f"recipients.{number}.{field}" for number, (*_, field) in enumerate(wrong, 1)}
    plain = {"template": "", "subject": "Hello", "text": "Hello"}
    rows = [{"to": "a@example.com"}, {"to": "b@example.com", "variables": {"name": "B"}}]
    error = await submit(two_tenants.acme, status=422, recipients=rows, **plain)
    assert error["details"] == {"recipients.1.variables": "Only a template takes variables."}


async def test_batch_when_something_inside_of_a_variable_is_missing_then_the_row_is_named(acme: Client) -> None:
    rows = [{"to": "a@example.com", "variables": {"name": "A", "items": [], "order": {"number": "1"}}}]
    error = await submit(acme, status=422, template="order_confirmation", recipients=rows)
    assert "order.total" in error["details"]["recipients.0.variables"]


async def test_batch_when_addresses_are_one_in_other_spellings_then_each_gets_it_once(
    two_tenants: TwoTenants, outbound: Outbound
) -> None:
    await limited(two_tenants, "mail.rate", "unlimited")
    same = ["Ada@Bücher.example", "ada@xn--bcher-kva.example", "ADA@BÜCHER.EXAMPLE", "A <ada@bu\u0308cher.example>"]
    batch = await submit(
        two_tenants.acme, recipients=[{"to": each, "variables": {"name": "A"}} for each in [*same, "eve@example.com"]]
    )
    assert batch["total"] == await used(two_tenants.acme) == 2
    await two_tenants.application.run_jobs()
    assert outbound.recipients == ["Ada@xn--bcher-kva.example", "eve@example.com"]


async def test_message_when_recipients_are_one_in_other_spellings_then_once_and_found_by_each(
    two_tenants: TwoTenants, outbound: Outbound
) -> None:
    same = ["Ada@Bücher.example", "ada@xn--bcher-kva.example"]
    jorg = ["jo\u0308rg@example.com", "jörg@example.com"]
    message = await send(two_tenants.acme, to=same, cc=["ADA@BÜCHER.example"], bcc=jorg)
    assert (message["to"], message["cc"], len(message["bcc"])) == (["Ada@xn--bcher-kva.example"], [], 1)
    for looked_for in ("ada@BÜCHER.example", "@bücher.example", "jo\u0308rg@example.com", "JÖRG@"):
        [found] = await two_tenants.acme.ask("GET", "/mail/messages", params={"to": looked_for})
        assert found["id"] == message["id"]
    await two_tenants.acme.ask("POST", "/mail/suppressions", 201, json={"address": "ADA@xn--bcher-kva.example"})
    [row] = await two_tenants.acme.ask("GET", "/mail/suppressions", params={"address": "Ada@Bücher.Example"})
    assert row["address"] == "ada@xn--bcher-kva.example"
    await send(two_tenants.acme, to=["ada@bücher.example"])
    await two_tenants.application.run_jobs()
    assert [outgoing.recipients for outgoing in outbound.taken] == [("jörg@example.com",)]


async def test_batch_when_it_has_ten_thousand_rows_then_all_are_checked_in_time(two_tenants: TwoTenants) -> None:
    began = monotonic()
    count = 10_000
    rows = [{"to": f"a{number}@example.com", "variables": {"name": f"A{number}"}} for number in range(count)]
    rows[-1]["variables"] = {"name": ["nobody"]}
    error = await submit(two_tenants.acme, status=422, recipients=rows)
    assert list(error["details"]) == [f"recipients.{count - 1}.template"]
    assert monotonic() - began < batches.CHECK_SECONDS


async def test_batch_when_its_template_is_too_slow_for_so_many_then_it_says_how_many(
    two_tenants: TwoTenants, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "CHECK_SECONDS", 0.0)
    error = await submit(two_tenants.acme, 150, status=422)
    assert error["details"]["recipients"].endswith("send up to 100 at a time.")
    assert (await submit(two_tenants.acme, 100))["total"] == 100


async def test_batch_when_rows_are_in_other_languages_then_each_gets_the_tenants_own_words_in_theirs(
    two_tenants: TwoTenants, outbound: Outbound
) -> None:
    await limited(two_tenants, "mail.rate", "unlimited")
    await put(two_tenants.acme, "receipt", words="Hello {{ name }}", locale="en")
    await put(two_tenants.acme, "receipt", 200, words="Hallo {{ name }}", locale="de")
    rows = [{"to": f"{each}@example.com", "variables": {"name": "A"}, "locale": each} for each in ("en", "de", "fr")]
    await submit(two_tenants.acme, template="receipt", recipients=rows)
    await two_tenants.application.run_jobs()
    words = {outgoing.recipients[0].partition("@")[0]: outgoing.text for outgoing in outbound.taken}
    assert ["Hello A" in words["en"], "Hallo A" in words["de"], "Hello A" in words["fr"]] == [True] * 3


# -- bulk mail -------------------------------------------------------------------------------------------


async def test_batch_when_it_names_no_category_then_refused_and_a_newsletter_names_its_own(
    two_tenants: TwoTenants, outbound: Outbound
) -> None:
    error = await submit(two_tenants.acme, status=422, category=None)
    assert set(error["details"]) == {"category"}
    given = {"title": "News", "intro": "x", "articles": []}
    rows = [{"to": "a@example.com", "variables": given}]
    assert (await submit(two_tenants.acme, template="newsletter", category=None, recipients=rows))["category"] == (
        "newsletter"
    )
    message = await send(two_tenants.acme, subject="", text="", template="newsletter", variables=given)
    assert (message["category"], message["bulk"]) == ("newsletter", True)
    await two_tenants.application.run_jobs()
    assert all(header(outgoing, "List-Unsubscribe") for outgoing in outbound.taken)
    assert (await send(two_tenants.acme))["category"] == "transactional"


@pytest.mark.parametrize(
    "body",
    [
        BULK,
        BULK | {"html": ""},
        BULK | {"text": "", "html": "<p>Hello"},
        BULK | {"html": "<p>See <!-- https://x/mail/unsubscribe/ --></p></body></html><p>"},
    ],
)
async def test_bulk_message_when_its_content_has_no_link_to_unsubscribe_then_it_is_added_to_every_part(
    two_tenants: TwoTenants, outbound: Outbound, body: dict[str, Any]
) -> None:
    await send(two_tenants.acme, **body)
    await two_tenants.application.run_jobs()
    [outgoing] = outbound.taken
    link = str(header(outgoing, "List-Unsubscribe")).strip("<>")
    assert header(outgoing, "List-Unsubscribe-Post") == "List-Unsubscribe=One-Click"
    assert outgoing.text.endswith(f"Unsubscribe: {link}\n")
    assert outgoing.html.count(f'href="{link}"') == (1 if outgoing.html else 0)


async def test_bulk_message_when_made_of_templates_then_the_link_stands_once_and_is_the_readers_own(
    two_tenants: TwoTenants, outbound: Outbound
) -> None:
    html = "<p>Hallo {{ name }}</p>"
    for name, more, subject in (
        ("bare", {"mjml": "", "html": html}, "Hi"),
        ("placed", {"mjml": "", "html": html + "<a href='{{ unsubscribe_url }}'>Weg</a>"}, "Hi"),
        ("laid_out", {}, "Hi"),
    ):
        await put(two_tenants.acme, name, subject=subject, locale="de", **more)
        given = {"name": "Ada", "unsubscribe_url": "https://elsewhere.example/"}
        await send(
            two_tenants.acme, subject="", text="", template=name, variables=given, category="offers", locale="de"
        )
    await two_tenants.application.run_jobs()
    assert len(outbound.taken) == 3
    for outgoing in outbound.taken:
        link = str(header(outgoing, "List-Unsubscribe")).strip("<>")
        assert outgoing.html.count(f'href="{link}"') + outgoing.html.count(f"href='{link}'") == 1
        assert outgoing.text.count(link) == 1
        assert "elsewhere" not in outgoing.html + outgoing.text
    assert "Abmelden" in outbound.taken[0].html


async def test_message_when_no_person_wrote_it_then_its_headers_say_so(
    two_tenants: TwoTenants, outbound: Outbound
) -> None:
    await send(two_tenants.acme)
    await send(two_tenants.acme, **BULK)
    await send(two_tenants.acme, subject="", text="", template="welcome", variables={"name": "Ada"})
    await two_tenants.application.run_jobs()
    said = [header(outgoing, "Auto-Submitted") for outgoing in outbound.taken]
    assert said == [None, "auto-generated", "auto-generated"]
    assert header(outbound.taken[1], "X-Auto-Response-Suppress") == "OOF, AutoReply"


async def test_transactional_message_when_sent_then_nothing_is_added(
    two_tenants: TwoTenants, outbound: Outbound
) -> None:
    await send(two_tenants.acme, html="<p>Hello Ada</p>")
    await two_tenants.application.run_jobs()
    [outgoing] = outbound.taken
    assert (outgoing.text, outgoing.html, outgoing.headers) == ("Hello Ada", "<p>Hello Ada</p>", ())
