"""Tracking: which links of an HTML are led through us, and what a click and an open do."""

from __future__ import annotations

import re
import time
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

from host.sdk import sign_token
from host.testing import Client, TwoTenants
from plugins.mail.service import tracking
from plugins.mail.service.subscriptions import unsubscribe_link

MARK = "https://track.example/"


def led(html: str) -> str:
    """The HTML with each link that would be tracked marked, its target still to be read."""
    return tracking._with_links(html, lambda target: MARK + target.split("://", 1)[1])


WEB = [
    ('<a href="https://a.example/x">x</a>', '<a href="https://track.example/a.example/x">x</a>'),
    ("<a href='http://a.example'>x</a>", '<a href="https://track.example/a.example">x</a>'),
    ("<A class=b HREF=https://a.example/x>x</A>", '<A class=b HREF="https://track.example/a.example/x">x</A>'),
    (
        '<a\n title="a > b"\n href = " https://a.example/?p=1&amp;q=2 " >x</a>',
        '<a\n title="a > b"\n href = "https://track.example/a.example/?p=1&amp;q=2" >x</a>',
    ),
    ('<area href="https://a.example/"/>', '<area href="https://track.example/a.example/"/>'),
    ('<a href="HTTPS://A.example/ü ö">x</a>', '<a href="https://track.example/A.example/%C3%BC%20%C3%B6">x</a>'),
    (
        '<a href="https://a.example/1"><a href="https://a.example/2" href="https://a.example/3">',
        '<a href="https://track.example/a.example/1"><a href="https://track.example/a.example/2" '
        'href="https://a.example/3">',
    ),
]


async def test_links_when_they_lead_to_the_web_then_led_through_us(acme: Client, within: Any) -> None:
    with within(acme):
        for html, expected in WEB:
            assert led(html) == expected


ELSE = [
    '<a href="mailto:ada@example.com">x</a>',
    '<a href="tel:+431">x</a>',
    '<a href="#top">x</a>',
    '<a href="/relative">x</a>',
    '<a href="javascript:alert(1)">x</a>',
    '<a href="data:text/html,x">x</a>',
    '<a href="https:nowhere">x</a>',
    '<a href="https://[broken">x</a>',
    '<a href="">x</a><a href>x</a><a>x</a>',
    '<a data-href="https://a.example/">x</a>',
    '<abbr href="https://a.example/">x</abbr><link href="https://a.example/"><img src="https://a.example/">',
    '<!-- <a href="https://a.example/">x</a> -->',
    '<!--[if mso]><a href="https://a.example/">x</a><![endif]-->',
    "<style>a{content:\"<a href='https://a.example/'>\"}</style>",
    '<script>"<a href=https://a.example/>"</script>',
    '<textarea><a href="https://a.example/"></textarea>',
    "<img alt=\"<a href='https://a.example/'>\">",
    '<a title="never closed href="https://a.example/">x</a>',
    '<a href="https://a.example/"',
    '<a href=https://a.example/ "odd>x</a>',
    '<a href="https://a.example/' + "x" * 2000 + '">x</a>',
    "plain < text & https://a.example/",
    "",
]


async def test_links_when_they_are_anything_else_then_left_as_they_are(acme: Client, within: Any) -> None:
    with within(acme):
        for html in ELSE:
            assert led(html) == html


async def test_links_when_they_unsubscribe_or_are_led_already_then_left_as_they_are(acme: Client, within: Any) -> None:
    with within(acme):
        once = tracking.track(f'<a href="{unsubscribe_link("ada@example.com", "news")}">x</a>', uuid4(), opens=False)
        assert "/mail/unsubscribe/" in once
        assert "/mail/c/" not in once
        tracked = tracking.track('<a href="https://a.example/">x</a>', uuid4())
        assert tracking.track(tracked, uuid4(), opens=False) == tracked


async def test_links_when_html_is_made_to_be_slow_then_read_in_time_anyway(acme: Client, within: Any) -> None:
    with within(acme):
        for piece in ("<a ", '<a "', "<a href='", "<!--", "<style>", "<a =", "</body", "<a " + " " * 50):
            html = piece * (500_000 // len(piece)) + '"'
            began = time.process_time()
            tracking.track(html, uuid4())
            assert time.process_time() - began < 2, piece


async def test_picture_when_added_then_last_in_the_body(acme: Client, within: Any) -> None:
    with within(acme):
        html = tracking.track("<html><body><p></body >x</p></BODY></html>", uuid4(), clicks=False)
        bare = tracking.track("<p>Hello", uuid4(), clicks=False)
    assert re.fullmatch(r'<html><body><p></body >x</p><img src="[^"]+\.gif"[^>]*></BODY></html>', html)
    assert re.fullmatch(r'<p>Hello<img src="[^"]+/mail/o/[^"]+\.gif" width="1" height="1" alt=""[^>]*>', bare)


# -- over HTTP -------------------------------------------------------------------------------------------


async def switch_on(client: Client, *names: str) -> None:
    await client.ask("PUT", "/tenant/plugins/mail/settings", json=dict.fromkeys(names, True))


async def paths(
    acme: Client, within: Any, message: Any, target: str = "https://shop.example/a?b=1&c=ü#d"
) -> tuple[str, str]:
    with within(acme):
        html = tracking.track(f'<a href="{target}">x</a>', message.id, "ada@example.com")
    link, picture = re.findall(r'(?:href|src)="([^"]+)"', html)
    return urlsplit(link).path, urlsplit(picture).path


async def test_click_when_switched_on_then_sent_on_counted_and_the_first_on_the_time_line(
    two_tenants: TwoTenants, sent: Any, within: Any
) -> None:
    acme, message = two_tenants.acme, await sent(two_tenants.acme)
    await switch_on(acme, "track_clicks")
    click, _ = await paths(acme, within, message)
    for _ in range(3):
        answer = await two_tenants.anonymous.get(click, headers={"Accept": "text/html"})
        assert (answer.status_code, answer.headers["location"]) == (302, "https://shop.example/a?b=1&c=%C3%BC#d")
        assert "no-store" in answer.headers["cache-control"]
    row = await message.look()
    assert (row["clicks"], row["opens"], row["status"]) == (3, 0, "sent")
    [clicked] = [each for each in row["timeline"] if each["kind"] == "clicked"]
    assert (clicked["recipient"], clicked["detail"]) == ("ada@example.com", "https://shop.example/a?b=1&c=%C3%BC#d")


async def test_open_when_switched_on_then_a_picture_that_nobody_keeps_and_counted(
    two_tenants: TwoTenants, sent: Any, within: Any
) -> None:
    acme, message = two_tenants.acme, await sent(two_tenants.acme)
    await switch_on(acme, "track_opens")
    _, picture = await paths(acme, within, message)
    for _ in range(2):
        answer = await two_tenants.anonymous.get(picture, headers={"Accept": "image/*"})
        assert (answer.status_code, answer.headers["content-type"]) == (200, "image/gif")
        assert "no-store" in answer.headers["cache-control"]
        assert answer.content[:6] == b"GIF89a"
        assert len(answer.content) < 50
    row = await message.look()
    assert (row["opens"], row["clicks"]) == (2, 0)
    assert [each["kind"] for each in row["timeline"]].count("opened") == 1


async def test_tracking_when_switched_off_again_then_links_still_lead_on_and_nothing_is_counted(
    two_tenants: TwoTenants, sent: Any, within: Any
) -> None:
    message = await sent(two_tenants.acme)
    click, picture = await paths(two_tenants.acme, within, message)
    assert (await two_tenants.anonymous.get(click)).status_code == 302
    assert (await two_tenants.anonymous.get(picture)).status_code == 200
    row = await message.look()
    assert (row["opens"], row["clicks"], len(row["timeline"])) == (0, 0, 1)


async def test_counts_when_they_are_at_their_end_then_they_stay_there(
    two_tenants: TwoTenants, sent: Any, within: Any
) -> None:
    message = await sent(two_tenants.acme, opens=999)
    await switch_on(two_tenants.acme, "track_opens")
    _, picture = await paths(two_tenants.acme, within, message)
    for _ in range(3):
        await two_tenants.anonymous.get(picture)
    assert (await message.look())["opens"] == 1000


async def test_link_and_picture_when_a_scanner_asks_for_their_head_then_nothing_is_counted(
    two_tenants: TwoTenants, sent: Any, within: Any
) -> None:
    acme, message = two_tenants.acme, await sent(two_tenants.acme)
    await switch_on(acme, "track_clicks", "track_opens")
    for path in await paths(acme, within, message):
        assert (await two_tenants.anonymous.head(path)).status_code == 204
        assert (await two_tenants.anonymous.get(path, headers={"Sec-Purpose": "prefetch"})).status_code == 409
    row = await message.look()
    assert (row["clicks"], row["opens"]) == (0, 0)


async def test_click_when_link_is_forged_cut_or_for_something_else_then_404_and_nowhere_sent(
    two_tenants: TwoTenants, sent: Any, within: Any
) -> None:
    message = await sent(two_tenants.acme)
    click, picture = await paths(two_tenants.acme, within, message)
    with within(two_tenants.acme):
        other = sign_token("unsubscribe", message=str(message.id), target="https://evil.example/")
    for path in (
        click[:-1], click + "A", f"/api/v1/mail/c/{other}", "/api/v1/mail/c/https://evil.example/",
        picture.removesuffix(".gif")[:-1] + ".gif", picture.replace("/o/", "/c/").removesuffix(".gif"),
        click.replace("/c/", "/o/") + ".gif",
    ):  # fmt: skip
        answer = await two_tenants.anonymous.get(path)
        assert answer.status_code == 404, path
        assert "location" not in answer.headers


async def test_click_when_message_is_gone_then_it_leads_on(two_tenants: TwoTenants, within: Any) -> None:
    await switch_on(two_tenants.acme, "track_clicks")
    with within(two_tenants.acme):
        token = sign_token("click", message=str(uuid4()), target="https://shop.example/")
    assert (await two_tenants.anonymous.get(f"/api/v1/mail/c/{token}")).headers["location"] == "https://shop.example/"
