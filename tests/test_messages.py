"""Messages that a plugin asks for without knowing the mail plugin: with it, with it off, and without it."""

from __future__ import annotations

import asyncio
import shutil
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from host.errors import ValidationFailed
from host.execution_context import as_plugin, in_tenant
from host.jobs.models import Job
from host.membership.events import MemberJoined
from host.messages import request_message
from host.provisioning import provisioning
from host.services import unit_of_work
from host.settings import Settings
from host.testing import Client, TestApplication, TwoTenants
from tenants.context import TenantMissing

ROOT = Path(__file__).parents[1]
LETTER = "welcome.letter"
FACTS = {"name": "Ada", "page": "https://app.example.com/welcome"}


@pytest.fixture
def with_plugins(
    app_settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Settings]]:
    """Makes the settings of a deployment with these plugins and the example `welcome`, as if it were installed."""
    root = tmp_path / "deployment"
    shutil.copytree(ROOT / "config", root / "config")
    info = tmp_path / "example_welcome-0.1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: example-welcome\nVersion: 0.1.0\n")
    (info / "entry_points.txt").write_text("[tenantry.plugins]\nwelcome = welcome\n")
    shutil.copytree(ROOT / "examples" / "welcome", tmp_path / "welcome")
    monkeypatch.syspath_prepend(str(tmp_path))

    def make(*bundled: str) -> Settings:
        # before `mail`, after which `wants` loads it
        sections = ['[welcome]\ndefault = "on"\npackage = "example-welcome"\n']
        sections += [f'[{name}]\ndefault = "on"\n' for name in bundled]
        (root / "plugins.toml").write_text("\n".join(sections))
        return app_settings.model_copy(update={"root": root})

    yield make
    for name in [name for name in sys.modules if name.split(".")[0] == "welcome"]:
        del sys.modules[name]


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[TwoTenants]:
    async with TestApplication.open(settings) as application, TwoTenants.create(application) as both:
        yield both


@pytest.fixture
async def both(with_plugins: Callable[..., Settings]) -> AsyncIterator[TwoTenants]:
    async with running(with_plugins("projects", "mail")) as opened:
        yield opened


async def ask(both: TwoTenants, client: Client, *arguments: Any, **options: Any) -> None:
    """Asks for a message in a client's tenant, as the example's own code does."""
    facts = await both.application.inner.callbacks.snapshot_of(client.tenant_id)
    with both.application.inner.bound(), in_tenant(facts), as_plugin("welcome"):
        await request_message(*arguments, **options)


async def sent(client: Client, to: str = "ada@example.com") -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = await client.ask("GET", f"/mail/messages?to={to}")
    return listed


async def test_message_when_mail_is_on_then_is_sent_in_the_readers_language_and_may_be_unsubscribed_from(
    both: TwoTenants,
) -> None:
    await ask(both, both.acme, "Ada@Example.com", LETTER, FACTS, locale="de-AT")
    await both.application.run_jobs()
    (message,) = await sent(both.acme)
    assert (message["status"], message["template"], message["category"]) == ("sent", LETTER, "welcome")
    assert message["subject"] == "Willkommen bei Acme"
    whole = await both.acme.ask("GET", f"/mail/messages/{message['id']}")
    assert whole["variables"] == FACTS
    files = both.application.inner.services.settings.data.dir.rglob("*.eml")
    (text,) = (text for text in (file.read_text("utf-8", "replace") for file in files) if "ada@example.com" in text)
    assert "List-Unsubscribe-Post: List-Unsubscribe=One-Click" in text
    assert await sent(both.globex) == []


async def test_message_when_reader_unsubscribed_from_its_category_then_suppressed_unless_transactional(
    both: TwoTenants,
) -> None:
    await both.acme.ask("PUT", "/mail/subscriptions/ada@example.com", json={"categories": {"welcome": False}})
    await ask(both, both.acme, "ada@example.com", LETTER, FACTS, key="a")
    await ask(both, both.acme, "ada@example.com", LETTER, FACTS, key="b", category="transactional")
    await both.application.run_jobs()
    found = {message["category"]: message["status"] for message in await sent(both.acme)}
    assert found == {"welcome": "suppressed", "transactional": "sent"}


async def test_message_when_asked_for_twice_with_one_key_then_sent_once_to_each_address_in_each_tenant(
    both: TwoTenants,
) -> None:
    for _ in range(2):
        await asyncio.gather(*(ask(both, both.acme, "ada@example.com", LETTER, FACTS, key="joined") for _ in range(3)))
        await both.application.run_jobs()
    await ask(both, both.acme, "bob@example.com", LETTER, FACTS, key="joined")
    await ask(both, both.globex, "ada@example.com", LETTER, FACTS, key="joined")
    for _ in range(2):
        await ask(both, both.acme, "eve@example.com", LETTER, FACTS)  # without a key each is a message of its own
    await both.application.run_jobs()
    assert len(await sent(both.acme)) == 1
    assert len(await sent(both.acme, "bob@example.com")) == 1
    assert len(await sent(both.globex)) == 1
    assert len(await sent(both.acme, "eve@example.com")) == 2


async def test_message_when_transaction_is_undone_then_not_sent(both: TwoTenants) -> None:
    facts = await both.application.inner.callbacks.snapshot_of(both.acme.tenant_id)
    with both.application.inner.bound(), in_tenant(facts), as_plugin("welcome"), pytest.raises(ZeroDivisionError):
        async with unit_of_work():
            await request_message("ada@example.com", LETTER, FACTS)
            raise ZeroDivisionError
    await both.application.run_jobs()
    assert await sent(both.acme) == []


async def test_template_when_listed_then_is_the_plugins_and_the_tenant_may_write_its_own(both: TwoTenants) -> None:
    listed = {each["name"]: each for each in await both.acme.ask("GET", "/mail/templates")}
    assert (listed[LETTER]["source"], sorted(listed[LETTER]["locales"])) == ("plugin", ["de", "en"])
    assert [each["name"] for each in listed[LETTER]["variables"]] == ["name", "page"]
    body = {"subject": "Hi {{ name }}", "mjml": "<mj-text>Hi {{ name }}</mj-text>", "locale": "en"}
    await both.acme.ask("PUT", f"/mail/templates/{LETTER}", 201, json=body, headers={"If-Match": '"0"'})
    for client in (both.acme, both.globex):
        await ask(both, client, "ada@example.com", LETTER, FACTS)
    await both.application.run_jobs()
    assert [message["subject"] for message in await sent(both.acme)] == ["Hi Ada"]
    assert [message["subject"] for message in await sent(both.globex)] == ["Welcome to Globex"]


async def test_message_when_quota_is_used_up_then_the_job_says_so_and_can_be_run_again(both: TwoTenants) -> None:
    with both.application.inner.bound():
        await provisioning().set_limit(both.acme.tenant_id, "mail.monthly", "0/month")
    await ask(both, both.acme, "ada@example.com", LETTER, FACTS)
    await both.application.run_jobs()
    (failed,) = await both.acme.ask("GET", "/jobs?state=failed")
    assert "welcome.letter was not sent" in failed["error"]
    assert "mail.monthly" in failed["error"]
    assert await sent(both.acme) == []
    with both.application.inner.bound():
        await provisioning().set_limit(both.acme.tenant_id, "mail.monthly", "5/month")
    await both.acme.ask("POST", f"/jobs/{failed['id']}/retry")
    await both.application.run_jobs()
    assert [message["status"] for message in await sent(both.acme)] == ["sent"]


async def test_message_when_mail_is_off_in_the_tenant_then_nothing_is_sent_and_nothing_fails(both: TwoTenants) -> None:
    await both.acme.ask("PUT", "/tenant/plugins/mail", json={"enabled": False})
    await ask(both, both.acme, "ada@example.com", LETTER, FACTS)
    await both.application.run_jobs()
    assert await both.acme.ask("GET", "/jobs?state=failed") == []
    await both.acme.ask("PUT", "/tenant/plugins/mail", json={"enabled": True})
    await both.application.run_jobs()
    assert await sent(both.acme) == []


async def test_template_when_its_text_cannot_be_made_then_its_job_says_where_and_other_mail_goes_on(
    with_plugins: Callable[..., Settings], tmp_path: Path
) -> None:
    (tmp_path / "welcome" / "templates" / "letter" / "en.mjml").write_text("<mj-text>{{ name </mj-text>")
    async with running(with_plugins("projects", "mail")) as both:
        await ask(both, both.acme, "ada@example.com", LETTER, FACTS)
        await ask(both, both.acme, "ada@example.com", LETTER, FACTS, locale="de")
        await both.application.run_jobs()
        errors = [job["error"] for job in await both.acme.ask("GET", "/jobs?state=failed")]
        assert errors  # the owner's own letter is among them
        assert all("welcome.letter was not sent" in error and "line 1" in error for error in errors), errors
        assert [message["subject"] for message in await sent(both.acme)] == ["Willkommen bei Acme"]
        assert LETTER in {each["name"] for each in await both.acme.ask("GET", "/mail/templates")}


async def test_plugins_when_one_wants_another_then_loaded_after_it(both: TwoTenants) -> None:
    assert both.application.inner.provisioning.registry.ids == ("mail", "welcome", "projects")


async def test_welcome_when_mail_is_not_loaded_then_joining_works_and_no_job_is_left(
    with_plugins: Callable[..., Settings],
) -> None:
    async with running(with_plugins()) as both:
        me = await both.acme_member.ask("GET", "/me")
        await ask(both, both.acme, "ada@example.com", LETTER, FACTS)
        with pytest.raises(ValueError, match=r"welcome\.letter: variables do not fit: missing: page"):
            await ask(both, both.acme, "ada@example.com", LETTER, {"name": "Ada"})
        await joined(both, UUID(me["user"]["id"] if "user" in me else me["id"]))
        assert await both.acme.ask("GET", "/jobs?state=failed") == []
        with both.application.inner.bound():
            assert not await Job.filter(task__contains="MessageWanted").exists()


async def joined(both: TwoTenants, user_id: UUID) -> None:
    facts = await both.application.inner.callbacks.snapshot_of(both.acme.tenant_id)
    with both.application.inner.bound(), in_tenant(facts):
        async with unit_of_work() as work:
            work.announce(MemberJoined(user_id=user_id, role="member"))
    await both.application.run_jobs()


async def test_welcome_when_somebody_joins_twice_then_one_message_reaches_them(both: TwoTenants) -> None:
    me = await both.acme_member.ask("GET", "/me")
    for _ in range(2):
        await joined(both, UUID(me["user"]["id"] if "user" in me else me["id"]))
    (message,) = await sent(both.acme, "member@acme.example")
    assert (message["status"], message["subject"]) == ("sent", "Welcome to Acme")


async def test_request_when_wrong_then_refused_on_that_line(both: TwoTenants) -> None:
    with pytest.raises(LookupError, match=r'plugin "welcome" declares no message template "welcome\.leter"'):
        await ask(both, both.acme, "ada@example.com", "welcome.leter", FACTS)
    with pytest.raises(LookupError, match="return it from register_message_templates"):
        await ask(both, both.acme, "ada@example.com", "invitation", FACTS)
    with pytest.raises(ValueError, match="missing: page; unknown: pge"):
        await ask(both, both.acme, "ada@example.com", LETTER, {"name": "Ada", "pge": ""})
    with pytest.raises(ValueError, match="category"):
        await ask(both, both.acme, "ada@example.com", LETTER, FACTS, category="No Slug")
    with pytest.raises(ValidationFailed) as caught:
        await ask(both, both.acme, "ada", LETTER, FACTS)
    assert list(caught.value.details) == ["to"]
    with both.application.inner.bound(), as_plugin("welcome"), pytest.raises(TenantMissing):
        await request_message("ada@example.com", LETTER, FACTS)
