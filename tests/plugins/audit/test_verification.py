"""Verification: whoever tampers with the table is found out, and the first entry that is wrong is named."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Awaitable, Callable
from random import Random
from typing import Any
from unittest.mock import AsyncMock
from uuid import uuid4

import pytest

from host.errors import Unavailable
from host.testing import TwoTenants
from plugins.audit import checkpoints, verification
from plugins.audit.sealing import WHOLE
from plugins.audit.signing import commitment
from plugins.audit.verification import Finding
from tests.plugins.audit.conftest import Log

Rows = list[dict[str, Any]]
Attack = Callable[[Log, Random, Rows, Rows], Awaitable[tuple[str, int]]]
"""Tampers with a sealed log, of which some entries and the last ones are given; what verification has to name."""

ALTERED = (
    ("actor_label", "somebody@else.example"),
    ("action", "projects.tasks.read"),
    ("outcome", "denied"),
    ("address", "127.0.0.99"),
    ("resource_id", "another"),
    ("after", '{"title": "changed"}'),
    ("before", "{}"),
    ("user_id", str(uuid4())),
    ("reason", "because"),
    ("salt", "0" * 32),
    ("mac", "0" * 64),
)


async def alter(log: Log, chance: Random, rows: Rows, tail: Rows) -> tuple[str, int]:
    (column, value), row = chance.choice(ALTERED), chance.choice(rows)
    await log.attack(f"UPDATE audit_entries SET {column} = $1 WHERE id = $2", value, row["id"])
    # whose signature is not there any more cannot be told from an entry that never had one
    return "inserted" if column == "mac" else "altered", row["position"]


async def remove(log: Log, chance: Random, rows: Rows, tail: Rows) -> tuple[str, int]:
    row = chance.choice([row for row in rows if row["position"] < tail[-1]["position"]])
    await log.attack("DELETE FROM audit_entries WHERE id = $1", row["id"])
    return "removed", row["position"]


async def insert(log: Log, chance: Random, rows: Rows, tail: Rows) -> tuple[str, int]:
    """A copy of an entry with another id, before one of the last (all behind it move up) or behind the last."""
    row, end = chance.choice(rows), tail[-1]["position"] + 1
    place = chance.choice([*(row["position"] for row in tail), end])
    await log.attack("UPDATE audit_entries SET position = -position - 1 WHERE position >= $1", place)
    await log.attack("UPDATE audit_entries SET position = -position WHERE position < 0")
    forged = row | {"id": str(uuid4()), "position": place, "resource_id": "forged"}
    forged.pop("words", None)
    names, marks = ", ".join(f'"{name}"' for name in forged), ", ".join(f"${n}" for n in range(1, len(forged) + 1))
    await log.attack(f"INSERT INTO audit_entries ({names}) VALUES ({marks})", *forged.values())
    # in the very place of its original it carries the right hash: then it looks like that one, altered
    return "altered" if place == row["position"] else "inserted", place


async def swap(log: Log, chance: Random, rows: Rows, tail: Rows) -> tuple[str, int]:
    first, second = sorted(chance.sample(rows, 2), key=lambda row: row["position"])
    move = "UPDATE audit_entries SET position = $1 WHERE id = $2"
    await log.attack(move, -1, first["id"])
    await log.attack(move, first["position"], second["id"])
    await log.attack(move, second["position"], first["id"])
    return "reordered", first["position"]


async def cut(log: Log, chance: Random, rows: Rows, tail: Rows) -> tuple[str, int]:
    place = chance.choice(tail)["position"]
    await log.attack("DELETE FROM audit_entries WHERE position >= $1", place)
    return "cut off", place


async def wipe(log: Log, chance: Random, rows: Rows, tail: Rows) -> tuple[str, int]:
    """What an erasure looks like, made by somebody who can compute the commitment but is not the host."""
    row = chance.choice(rows)
    with log.bound():
        known = await WHOLE.get(row["id"])
    await log.attack(
        "UPDATE audit_entries SET actor_label = '', address = '', user_agent = '', reason = '', "
        "before = '{}', after = '{}', salt = '', erased = $1 WHERE id = $2",
        commitment(known) + "0" * 64,
        row["id"],
    )
    return "altered", row["position"]


EACH = int(os.environ.get("TORTURE_ENTRIES", "10000"))
ATTACKS: list[Attack] = [alter, remove, insert, swap, cut, wipe]


async def tamper(log: Log, attack: Attack, times: int) -> None:
    """Tamper so many times, each time from a log that is whole; the right entry must be named every time."""
    end = max(row["position"] or 0 for row in await log.rows("position > 0"))
    tail = [dict(row) for row in await log.rows(f"position > {max(0, end - 50)}")]
    step = max(1, end // 200)
    rows = [dict(row) for row in await log.rows(f"position % {step} = 0 AND position > 0")]
    for number in range(times):
        kind, position = await attack(log, Random(f"{attack.__name__} {number}"), rows, tail)
        finding = (await log.verify()).finding
        assert finding is not None, f"{attack.__name__} {number} went unnoticed"
        assert (finding.kind, finding.position) == (kind, position), f"{attack.__name__} {number}: {finding.message}"
        await log.put_back(list({row["id"]: row for row in (*rows, *tail)}.values()))
        if number % 10 == 0 or number == times - 1:
            assert (await log.verify()).ok, "a false alarm"


@pytest.mark.parametrize("attack", ATTACKS)
async def test_log_when_tampered_with_then_the_first_wrong_entry_is_named(log: Log, attack: Attack) -> None:
    await log.write(12)
    await log.seal()
    assert (await log.verify()).ok
    await tamper(log, attack, 6)


@pytest.mark.torture
@pytest.mark.timeout(7200)
async def test_log_when_eight_wrote_at_once_and_it_is_tampered_with_then_all_is_found(log: Log) -> None:
    """8 writers × 10,000 entries while 2 seal; then 6 kinds of tampering × 100."""
    writing = [asyncio.create_task(log.write(EACH)) for _ in range(8)]
    sealing = [asyncio.create_task(_seal_until(log, writing)) for _ in range(2)]
    await asyncio.gather(*writing, *sealing)
    await log.seal()
    began = time.perf_counter()
    verdict = await log.verify()
    rate = verdict.checked / (time.perf_counter() - began)
    sys.stderr.write(f"\n{verdict.checked:,} entries verified, {rate:,.0f}/s\n")
    assert (verdict.ok, verdict.unsealed) == (True, 0)
    assert verdict.checked >= 8 * EACH
    for attack in ATTACKS:
        await tamper(log, attack, 100)


async def _seal_until(log: Log, writing: list[asyncio.Task[None]]) -> None:
    while not all(task.done() for task in writing):
        await log.seal()
        await asyncio.sleep(0.1)


async def test_entry_when_forged_before_it_is_sealed_then_is_named(log: Log) -> None:
    await log.write(2)
    await log.seal()
    await log.write(2)
    rows = await log.rows()
    waiting = next(row for row in rows if row["position"] is None)
    await log.attack("UPDATE audit_entries SET outcome = 'denied' WHERE id = $1", waiting["id"])
    finding = (await log.verify()).finding
    assert finding is not None
    assert (finding.kind, str(finding.entry_id)) == ("inserted", str(waiting["id"]))
    await log.seal()
    assert (await log.verify()).finding is not None


async def test_many_entries_when_removed_in_a_row_then_the_first_is_named(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verification, "CHUNK", 5)
    await log.write(30)
    await log.seal()
    assert (await log.verify()).ok
    await log.attack("DELETE FROM audit_entries WHERE position > 8 AND position < 25")
    finding = (await log.verify()).finding
    assert finding == Finding("removed", 9, None, "the entry at position 9 was removed")


async def test_chain_when_its_row_or_checkpoint_is_gone_then_is_told(log: Log) -> None:
    await log.write(3)
    await log.seal()
    kept = await log.attack("SELECT * FROM audit_chains")
    await log.attack("DELETE FROM audit_chains")
    finding = (await log.verify()).finding
    assert finding is not None
    assert finding.kind == "head altered"
    await log.attack("DELETE FROM audit_entries WHERE position > 2")
    finding = (await log.verify()).finding
    assert finding is not None
    assert (finding.kind, finding.position) == ("cut off", 3)
    assert kept


async def test_checkpoint_when_altered_or_gone_then_is_told(log: Log) -> None:
    await log.write(3)
    await log.seal()
    storage = log.application.inner.services.storage
    key = f"t/{log.tenant_id}/audit/{checkpoints.KEY}"
    good = b"".join([piece async for piece in await storage.get(key)])
    await storage.put(key, good.replace(b'"position":', b'"position":1'))
    finding = (await log.verify()).finding
    assert finding is not None
    assert finding.kind == "checkpoint"
    for broken in (None, b"{", good.replace(b'"position":', b'"position":1')):
        await (storage.delete(key) if broken is None else storage.put(key, broken))
        finding = (await log.verify()).finding
        assert finding is not None, "at once, not when a while has passed"
        assert finding.kind == "checkpoint"
        await log.seal()
        assert (await log.verify()).ok
    told = [row["reason"] for row in await log.rows("action = 'audit.checkpoint.check'")]
    assert [each.removeprefix("the checkpoint of the audit log ") for each in told] == [
        "is gone",
        "cannot be read",
        "is not genuine: it was altered, or the secret was changed",
    ]


async def test_checkpoint_when_the_first_is_still_on_its_way_then_nothing_is_told(log: Log) -> None:
    await log.write(3)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoints, "store", AsyncMock(side_effect=Unavailable))
        with pytest.raises(Unavailable):
            await log.seal()
    assert (await log.verify()).ok
    await log.attack("UPDATE audit_chains SET stored_position = 1")
    finding = (await log.verify()).finding
    assert finding is not None
    assert finding.message == "the checkpoint outside the database is gone"


async def test_verify_over_http_when_asked_then_tells_the_same(two_tenants: TwoTenants, log: Log) -> None:
    await log.write(5)
    await log.seal()
    answer = await two_tenants.acme.ask("GET", "/audit/verify")
    assert (answer["ok"], answer["complete"], answer["finding"]) == (True, True, None)
    kept = await two_tenants.acme.ask("GET", "/audit/checkpoint")
    assert (await two_tenants.acme.ask("POST", "/audit/verify", json=kept))["ok"]
    assert not (await two_tenants.acme.ask("POST", "/audit/verify", json=kept | {"position": 2}))["ok"]
    assert (await two_tenants.acme.ask("GET", "/audit/verify?after=3"))["first"] == 4
    [row, *_] = [row for row in await log.rows() if row["position"] == 3]
    await log.attack("UPDATE audit_entries SET action = 'x' WHERE id = $1", row["id"])
    answer = await two_tenants.acme.ask("GET", "/audit/verify")
    assert not answer["ok"]
    assert answer["finding"]["entry_id"] == str(row["id"])
    assert answer["finding"]["kind"] == "altered"
    for path in ("verify", "checkpoint"):
        await two_tenants.acme_member.ask("GET", f"/audit/{path}", 403)
    await two_tenants.globex.ask("GET", "/audit/checkpoint", 404)
    for wrong in ("after=-1", "after=x", "until=3", f"after={2**63}"):
        await two_tenants.acme.ask("GET", f"/audit/verify?{wrong}", 422)
