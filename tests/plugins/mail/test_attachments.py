"""Attachments: uploaded, sent along, too large, of the other tenant, and swept when nobody needs them."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from host.sdk import storage
from host.testing import Client, TwoTenants
from plugins.mail.models import Attachment
from plugins.mail.service import attachments
from tests.plugins.mail.conftest import Outbound, Within
from tests.plugins.mail.test_batches import submit
from tests.plugins.mail.test_messages import limited, send, soon

PDF = {"Content-Type": "application/pdf"}


async def upload(client: Client, content: bytes = b"%PDF", status: int = 201, name: str = "a.pdf") -> dict[str, Any]:
    row: dict[str, Any] = await client.ask(
        "POST", f"/mail/attachments?filename={name}", status, content=content, headers=PDF
    )
    return row


def enclosed(content: bytes = b"hello", **facts: Any) -> dict[str, Any]:
    text = base64.b64encode(content).decode()
    return {"filename": "note.txt", "content_type": "text/plain", "content": text, **facts}


async def test_attachments_when_uploaded_or_sent_along_then_they_arrive(
    two_tenants: TwoTenants, outbound: Outbound
) -> None:
    row = await upload(two_tenants.acme)
    assert (row["filename"], row["content_type"], row["size"]) == ("a.pdf", "application/pdf", 4)
    message = await send(two_tenants.acme, attachments=[enclosed(), {"id": row["id"]}])
    assert [each["filename"] for each in message["attachments"]] == ["note.txt", "a.pdf"]
    await two_tenants.application.run_jobs()
    [outgoing] = outbound.taken
    assert [(each.filename, each.content_type, each.content) for each in outgoing.attachments] == [
        ("note.txt", "text/plain", b"hello"),
        ("a.pdf", "application/pdf", b"%PDF"),
    ]


async def test_attachments_when_too_large_then_413_and_nothing_is_kept(
    two_tenants: TwoTenants, outbound: Outbound, within: Within
) -> None:
    megabyte, read = b"x" * 1_000_000, 0

    async def endless() -> Any:
        nonlocal read
        for _ in range(200):
            read += 1
            yield megabyte

    await two_tenants.acme.ask("POST", "/mail/attachments?filename=big", 413, content=endless(), headers=PDF)
    assert read < 40  # of 200 megabytes
    await send(two_tenants.acme, 413, attachments=[enclosed(megabyte * 6), enclosed(megabyte * 5)])
    row = await upload(two_tenants.acme, megabyte * 6)
    await send(two_tenants.acme, 413, attachments=[{"id": row["id"]}, {"id": row["id"]}])
    answer = await two_tenants.acme.post(
        "/api/v1/mail/messages", content=b"x" * 50_000_000, headers={"Content-Type": "application/json"}
    )
    assert answer.status_code == 413
    with within(two_tenants.acme):
        assert await Attachment.all().values_list("id", flat=True) == [attachment_id(row)]


def attachment_id(row: dict[str, Any]) -> Any:
    return type(uuid4())(row["id"])


async def test_attachments_when_something_is_wrong_then_the_field_is_named(two_tenants: TwoTenants) -> None:
    foreign = await upload(two_tenants.globex)
    for given, field in (
        ({"id": foreign["id"]}, "attachments.0.id"),
        ({"id": str(uuid4())}, "attachments.0.id"),
        ({**enclosed(), "content": "not base64!"}, "attachments.0.content"),
    ):
        error = await send(two_tenants.acme, 422, attachments=[given])
        assert list(error["details"]) == [field]
    for given in (
        enclosed(filename="a\r\nb"),
        enclosed(filename="../../etc/passwd"),
        enclosed(content_type="text/plain\r\nX: y"),
        enclosed(content_type="text"),
    ):
        await send(two_tenants.acme, 422, attachments=[given])
    await upload(two_tenants.acme, name="a%0d%0ab", status=422)
    await upload(two_tenants.acme, b"", status=422)


async def test_attachments_when_asked_for_by_others_then_there_are_none(two_tenants: TwoTenants) -> None:
    row = await upload(two_tenants.acme)
    path = f"/mail/attachments/{row['id']}"
    for method in ("GET", "DELETE"):
        await two_tenants.globex.ask(method, path, 404)
    assert await two_tenants.globex.ask("GET", "/mail/attachments") == []
    await upload(two_tenants.acme_viewer, status=403)
    await two_tenants.acme_viewer.ask("DELETE", path, 403)
    await two_tenants.acme.ask("DELETE", path, 204)
    await two_tenants.acme.ask("GET", path, 404)


async def test_attachment_when_a_message_waits_with_it_then_409_names_the_message_until_it_is_cancelled(
    two_tenants: TwoTenants, outbound: Outbound
) -> None:
    acme, row = two_tenants.acme, await upload(two_tenants.acme)
    path, files = f"/mail/attachments/{row['id']}", [{"id": row["id"]}]
    message = await send(acme, attachments=files, send_at=soon())
    error = await acme.ask("DELETE", path, 409)
    assert error["details"] == {"message_id": message["id"]}
    assert message["id"] in error["message"]
    await acme.ask("POST", f"/mail/messages/{message['id']}/cancel")
    batch = await submit(acme, 1, attachments=files, send_at=soon())
    assert (await acme.ask("DELETE", path, 409))["details"] == {"batch_id": batch["id"]}
    await acme.ask("POST", f"/mail/batches/{batch['id']}/cancel")
    await send(acme, attachments=files)
    await two_tenants.application.run_jobs()
    assert len(outbound.taken) == 1
    await acme.ask("DELETE", path, 204)
    error = await acme.ask("POST", f"/mail/messages/{message['id']}/retry", 409)
    assert "attachments was deleted" in error["message"]


async def test_attachment_when_gone_from_storage_then_the_message_fails_saying_so(
    two_tenants: TwoTenants, outbound: Outbound, within: Within
) -> None:
    row = await upload(two_tenants.acme)
    message = await send(two_tenants.acme, attachments=[{"id": row["id"]}])
    with within(two_tenants.acme):
        await storage().delete(f"attachments/{row['id']}")
    await two_tenants.application.run_jobs()
    found = await two_tenants.acme.ask("GET", f"/mail/messages/{message['id']}")
    assert found["status"] == "failed"
    assert "attachments was deleted" in found["error"]


async def test_attachments_when_nobody_needs_them_then_swept_and_the_others_stay(
    two_tenants: TwoTenants, outbound: Outbound, within: Within
) -> None:
    unused, named = await upload(two_tenants.acme), await upload(two_tenants.acme)
    await send(two_tenants.acme, attachments=[{"id": named["id"]}])
    with within(two_tenants.acme):
        assert await attachments.sweep() == 0
        await Attachment.filter(id=unused["id"]).update(needed_until=datetime.now(UTC) - timedelta(seconds=1))
        assert await attachments.sweep() == 1
        keys = [stored.key async for stored in storage().list()]
    assert keys == [f"attachments/{named['id']}"]


async def test_attachments_when_the_plan_allows_no_more_then_402_until_some_are_deleted(
    two_tenants: TwoTenants, outbound: Outbound
) -> None:
    await limited(two_tenants, "mail.attachments", "10 KB")
    acme = two_tenants.acme
    first = await upload(acme, b"x" * 6_000)
    for error in (await upload(acme, b"x" * 5_000, 402), await send(acme, 402, attachments=[enclosed(b"x" * 5_000)])):
        assert (error["code"], error["details"]["name"]) == ("QUOTA_EXCEEDED", "mail.attachments")
    assert [row["id"] for row in await acme.ask("GET", "/mail/attachments")] == [first["id"]]
    message = await send(acme, attachments=[{"id": first["id"]}, enclosed(b"x" * 3_000)])
    used = {row["name"]: row["used"] for row in await acme.ask("GET", "/usage")}
    assert used["mail.attachments"] == 9_000
    await acme.ask("POST", f"/mail/messages/{message['id']}/cancel")
    await acme.ask("DELETE", f"/mail/attachments/{first['id']}", 204)
    await upload(acme, b"x" * 5_000)
    await upload(two_tenants.globex, b"x" * 20_000)


async def test_attachments_when_a_message_may_carry_less_by_plan_then_413(two_tenants: TwoTenants) -> None:
    await limited(two_tenants, "mail.attachment_size", "2 KB")
    await upload(two_tenants.acme, b"x" * 3_000, 413)
    await send(two_tenants.acme, 413, attachments=[enclosed(b"x" * 1_500), enclosed(b"x" * 1_500)])
    await send(two_tenants.acme, attachments=[enclosed(b"x" * 1_500)])
