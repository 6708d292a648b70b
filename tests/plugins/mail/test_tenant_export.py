"""Mail of a tenant that is exported, and of one that is purged."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

from host.cli.tenant_export import export_tenant
from host.testing import Client, TwoTenants
from plugins.mail.models import MODELS
from tenants.context import bind
from tenants.models import Tenant
from tests.plugins.mail.conftest import Within
from tests.plugins.mail.test_attachments import enclosed
from tests.plugins.mail.test_messages import send

KEY = "SG.a-key-that-nobody-else-may-see"


async def settled(client: Client) -> None:
    """Something of everything there is."""
    await client.ask("PUT", "/mail/provider", 201, json={"sendgrid": {"api_key": KEY}})
    await client.ask("POST", "/mail/senders", 201, json={"address": "news@acme.example"})
    await client.ask("POST", "/mail/suppressions", 201, json={"address": "gone@example.com"})
    await client.ask("DELETE", "/mail/provider", 204)
    await send(client, subject="Your invoice", text="9 EUR", attachments=[enclosed()])


async def test_archive_when_an_organisation_leaves_then_holds_its_mail_with_files_and_no_secret(
    two_tenants: TwoTenants, tmp_path: Path
) -> None:
    application = two_tenants.application
    await settled(two_tenants.acme)
    await two_tenants.acme.ask("PUT", "/mail/provider", 201, json={"sendgrid": {"api_key": KEY}})
    await send(two_tenants.globex, subject="None of your business")
    with application.inner.bound():
        acme = await Tenant.get(id=two_tenants.acme.tenant_id)
        await export_tenant(application.inner, acme, tmp_path / "acme.zip", files=True, advance=lambda done: None)
    with zipfile.ZipFile(tmp_path / "acme.zip") as archive:
        names = archive.namelist()
        tables = {name: archive.read(name).decode() for name in names if name.startswith("tables/mail_")}
        files = [archive.read(name) for name in names if name.startswith("files/mail/")]
    assert tables.keys() == {f"tables/{model._meta.db_table}.jsonl" for model in MODELS}
    [message] = map(json.loads, tables["tables/mail_messages.jsonl"].splitlines())
    assert (message["subject"], message["text"]) == ("Your invoice", "9 EUR")
    [account] = map(json.loads, tables["tables/mail_provider_accounts.jsonl"].splitlines())
    assert account["provider"] == "sendgrid"
    assert "secrets" not in account
    assert "gone@example.com" in tables["tables/mail_suppressions.jsonl"]
    assert files == [b"hello"]
    assert not [text for text in tables.values() if "None of your business" in text or "hash" in text]


async def test_organisation_when_purged_then_nothing_of_its_mail_is_left_and_the_other_tenants_stays(
    two_tenants: TwoTenants, within: Within
) -> None:
    application, acme, globex = two_tenants.application, two_tenants.acme, two_tenants.globex
    await settled(acme)
    await send(globex, subject="Stays")
    await application.run_jobs()
    with application.inner.bound():
        outbox = application.inner.settings.data.dir / "plugins" / "mail" / "outbox"
        assert {folder.name for folder in outbox.iterdir()} >= {"acme", "globex"}
        assert acme.tenant_id is not None
        await application.inner.provisioning.delete(acme.tenant_id)
        await application.inner.provisioning.purge(acme.tenant_id)
        left = {folder.name for folder in outbox.iterdir()}
        assert "acme" not in left
        assert "globex" in left
        with bind(acme.tenant_id):
            assert [await model.all().count() for model in MODELS] == [0] * len(MODELS)
    with within(globex):
        assert [row.subject for row in await MODELS[0].all()] == ["Stays"]
