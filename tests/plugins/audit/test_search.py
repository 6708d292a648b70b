"""Finding entries: by words, by filters, a page at a time, and by nobody else."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import pytest

from host.contracts import Actor, Origin
from host.testing import Client, TwoTenants
from tests.plugins.audit.conftest import Log


async def found(client: Client, query: str) -> list[str]:
    return [entry["resource_id"] for entry in await client.ask("GET", f"/audit/entries?{query}&resource_type=thing")]


async def write(log: Log, thing: str, **given: Any) -> None:
    await log.write(resource_type="thing", resource_id=thing, **given)


async def test_words_when_looked_for_then_every_one_must_be_there(two_tenants: TwoTenants, log: Log) -> None:
    acme = two_tenants.acme
    await write(log, "moon", after={"title": "Land on the Moon, Grüße!", "tags": ["far-away"]}, before={})
    await write(log, "mars", after={"title": "Land on Mars"}, before={"title": "Stay at home"})
    await write(log, "denied", name="tenant.roles.update", outcome="denied", reason="because: of_something")
    assert await found(acme, "q=land") == ["mars", "moon"]
    assert await found(acme, "q=LAND+moon") == ["moon"]
    assert await found(acme, "q=moon+mars") == []
    assert await found(acme, "q=stay") == ["mars"]
    assert await found(acme, "q=gr%C3%BC%C3%9Fe") == ["moon"]
    assert await found(acme, "q=away") == ["moon"]
    assert await found(acme, "q=roles") == ["denied"]
    assert await found(acme, "q=something") == ["denied"]
    assert await found(acme, "q=%22%27%3B--+land+%29%28*") == ["mars", "moon"]
    assert await found(acme, "q=land&action=projects.*&outcome=succeeded") == ["mars", "moon"]
    assert await found(acme, "q=land&outcome=denied,failed") == []
    assert await found(acme, "q=lan") == []
    assert await found(two_tenants.globex, "q=land") == []


@pytest.mark.parametrize(
    "wrong",
    [
        "q=",
        "q=%21%21",
        "q=" + "+".join(f"w{number}" for number in range(21)),
        "q=" + "x" * 1001,
        "q=a&q=b",
        "q=%00",
        "outcome=maybe",
        "actor_kind=ghost",
        "from=yesterday",
        "to=2026-13-01",
        "user_id=me",
        "cursor=" + "A" * 50,
        "limit=0",
        "limit=101",
        "sort=action",
        "words=x",
        "position=1",
        "tenant_id=00000000-0000-0000-0000-000000000000",
    ],
)
async def test_filters_when_wrong_then_the_documented_error(acme: Client, wrong: str) -> None:
    answer = await acme.get(f"/api/v1/audit/entries?{wrong}")
    assert (answer.status_code, answer.json()["error"]["code"]) in {(422, "VALIDATION_ERROR"), (400, "BAD_REQUEST")}


async def test_giant_word_when_looked_for_then_nothing_is_found(acme: Client) -> None:
    assert await acme.ask("GET", f"/audit/entries?q={'x' * 999}") == []


async def test_entries_when_filtered_by_who_then_labels_and_people_count(two_tenants: TwoTenants, log: Log) -> None:
    acme, person = two_tenants.acme, uuid4()
    key = Origin("r1", Actor("api_key", uuid4(), "CI – deploys", person), "10.1.1.1", "ci")
    job = Origin("r2", Actor("job", uuid4(), "projects.sweep", person), "10.1.1.1", "ci")
    await write(log, "key", origin=key)
    await write(log, "job", origin=job)
    await write(log, "ada")
    assert await found(acme, f"user_id={person}") == ["job", "key"]
    assert await found(acme, f"actor={quote('CI – deploys')}") == ["key"]
    assert await found(acme, "actor=projects.sweep") == ["job"]
    assert await found(acme, "actor=ada@acme.example") == ["ada"]
    assert await found(acme, "actor=ada") == []
    assert await found(acme, "actor_kind=job,api_key&sort=at") == []  # one kind at a time
    assert await found(acme, "actor_kind=job") == ["job"]
    assert await found(acme, "request_id=r1") == ["key"]


async def test_words_when_paged_either_way_then_every_entry_comes_once(two_tenants: TwoTenants, log: Log) -> None:
    start = datetime.now(UTC) - timedelta(days=10)
    for number in range(25):
        note = f"needle {('even', 'odd')[number % 2]}"
        await write(log, f"{number}", after={"note": note}, at=start + timedelta(hours=number))
    for sort, expected in (("at", list(range(25))), ("-at", list(range(24, -1, -1)))):
        seen: list[str] = []
        cursor = ""
        while True:
            path = f"/api/v1/audit/entries?q=needle&action=projects.*&sort={sort}&limit=4"
            answer = (await two_tenants.acme.get(path + cursor)).json()
            seen += [entry["resource_id"] for entry in answer["data"]]
            if answer["meta"]["next_cursor"] is None:
                break
            cursor = f"&cursor={answer['meta']['next_cursor']}"
            assert (await two_tenants.globex.get(path + cursor)).status_code == 400
        assert seen == [str(number) for number in expected]
    late = quote((start + timedelta(hours=20)).isoformat())
    assert await found(two_tenants.acme, f"q=needle+odd&from={late}") == ["23", "21"]


async def test_words_when_rare_among_many_then_found_beyond_the_window(
    two_tenants: TwoTenants, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    from host.data import sql_builder
    from plugins.audit.service import ENTRIES

    monkeypatch.setattr(sql_builder, "WINDOW", 3)
    monkeypatch.setattr(ENTRIES, "_builders", {})  # its statements are built once
    await write(log, "old", after={"note": "needle"})
    for number in range(5):
        await write(log, f"{number}", after={"note": "hay"})
    await log.seal()
    assert await found(two_tenants.acme, "q=needle") == ["old"]
    assert await found(two_tenants.acme, "q=hay") == ["4", "3", "2", "1", "0"]


@pytest.mark.parametrize("sealed", [False, True])
async def test_words_when_written_in_any_script_then_found_sealed_or_not(
    two_tenants: TwoTenants, log: Log, sealed: bool
) -> None:
    for name, text in {
        "japanese": "今月の売上計画",
        "thai": "รายงานประเทศไทยประจำเดือน",
        "hindi": "हिन्दी में लिखना",
        "german": "An der langen Straße",
        "address": "for bob@example.com and ada@other.example",
    }.items():
        await write(log, name, after={"title": text})
    if sealed:
        await log.seal()
    for asked, names in {
        "売上": ["japanese"],
        "売": ["japanese"],
        "売計": [],
        "ไทย": ["thai"],
        "हिन्दी": ["hindi"],
        "STRASSE": ["german"],
        "Bob@Example.COM": ["address"],
    }.items():
        assert await found(two_tenants.acme, f"q={quote(asked)}") == names, asked
    if sealed:
        assert await found(two_tenants.acme, f"q={quote('ada@example.com')}") == []
