"""The page of background work in a real browser. Needs Debian's chromium and chromium-driver; skipped without them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.journeys.browser import CHROMIUM, DRIVER, Browser, browser
from tests.journeys.conftest import OPERATOR, Server

pytestmark = [
    pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="needs Debian's packages chromium and chromium-driver"),
    pytest.mark.parametrize("server", ["embedded"], indirect=True),  # a page does not see what is behind the API
]
PASSWORD = "a long enough passphrase"


@pytest.fixture
def page(server: Server, tmp_path: Path) -> Iterator[Browser]:
    with browser(tmp_path) as opened:
        opened.go(f"{server.url}/api/jobs")
        yield opened


def sign_in(page: Browser, email: str, password: str = PASSWORD) -> None:
    page.find("#enter")
    page.type("#enter [name=email]", email)
    page.type("#enter [name=password]", password)
    page.click("#enter button")


def send(person: Any, to: str) -> None:
    mail = person.ask("POST", "/mail/messages", 202, json={"to": [to], "subject": "Hello", "text": "Hello"})
    until = time.monotonic() + 30
    while person.ask("GET", f"/mail/messages/{mail['id']}")["status"] != "sent":
        assert time.monotonic() < until, "it was not sent"
        time.sleep(0.2)


def test_page_when_an_administrator_looks_then_sees_and_changes_the_organisations_own_jobs(
    page: Browser, person: Any
) -> None:
    ada, bob = person("ada@example.com"), person("bob@example.com")
    ada.register("Ada", "Acme")
    bob.register("Bob", "Globex")
    send(bob, "theirs@example.com")
    ada.ask("POST", "/mail/messages", 202, json={
        "to": ["ours@example.com"],
        "subject": "Later", "text": "Later", "send_at": "2027-01-01T00:00:00Z",
    })  # fmt: skip
    sign_in(page, "ada@example.com", "not the passphrase")
    page.find("#told.failed", "wrong")
    page.run("document.querySelector('#enter').reset()")
    sign_in(page, "ada@example.com")
    page.find("#jobs .state", "scheduled")
    assert page.run("return [...document.querySelectorAll('#scope option')].map((each) => each.value)") == ["acme"]
    assert "Tasks" not in page.text("#work")
    page.type("#filter [name=search]", "mail.deliver")
    page.until("return document.querySelectorAll('#jobs tbody tr').length == 1")  # and none of the other tenant's
    page.find("#jobs tr", "scheduled")
    page.click("#jobs .name", "mail.deliver")
    page.find("#job dd", '"message"')
    page.click("#job button", "Close")
    page.click("#jobs button", "Cancel")
    page.find("#jobs .state", "cancelled")
    page.click("#jobs button", "Retry")
    page.find("#told", "runs again")
    page.go(page.run("return location.href"))  # the refresh cookie signs in again
    page.find("#jobs .state")
    page.click("#leave")
    page.find("#enter")
    page.go(page.run("return location.href"))
    page.find("#enter")
    refused = [each for each in page.mishaps() if "401" not in each]  # a wrong password, and nobody to renew
    assert refused == []


def test_page_when_an_operator_looks_then_sees_everybodys_and_holds_a_task_back(page: Browser, person: Any) -> None:
    ada = person("ada@example.com")
    ada.register("Ada", "Acme")
    send(ada, "eve@example.com")
    sign_in(page, *OPERATOR)
    page.find("#jobs .name", "mail.deliver")
    page.run(
        "[...document.querySelectorAll('#tasks tr')].find((row) => row.textContent.includes('mail.deliver'))"
        ".querySelector('button').click()"
    )
    page.type("#pause [name=reason]", "the provider asked us to wait")
    page.click("#pause button", "Hold back")
    page.find("#tasks tr", "the provider asked us to wait")
    ada.ask("POST", "/mail/messages", 202, json={"to": ["eve@example.com"], "subject": "Hello", "text": "Hello"})
    page.find("#jobs .state", "parked", seconds=40)
    page.click("#tasks button", "Let it run")
    page.find("#told", "runs again")
    assert "the provider asked us to wait" not in page.text("#tasks")
    assert [each for each in page.mishaps() if "401" not in each] == []
