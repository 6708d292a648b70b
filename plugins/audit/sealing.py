"""Append audit entries to the tenant's hash chain in batches, one process at a time."""

from __future__ import annotations

import logging
import secrets
from collections import OrderedDict
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from operator import itemgetter
from uuid import UUID

from host.sdk import GiveUp, Metric, Records, count, record_failure, settings, unit_of_work

from . import checkpoints
from .checkpoints import Head
from .models import Chain, Entry
from .settings import Settings
from .signing import LASTING, PERSONAL, chain_key, commitment, genesis, link, mac
from .words import words_of

SEAL = "audit.seal"
BATCH = 1000  # entries per transaction: keeps each short

_log = logging.getLogger("plugins.audit")
WHOLE = Records(
    Entry,
    fields=("id", *LASTING[1:], *PERSONAL, "salt", "erased", "mac", "position", "hash"),
    filters={"after": "position:gt", "until": "position:lte", "ids": "id:in"},
    sorts=("at",),
    default_sort="at",
    full_text=True,
)
"""Entries with all stored columns except the search words, which are derived from them."""

FAULTS = Metric(
    "tenantry_audit_checkpoint_faults_total",
    "counter",
    "Checkpoints of audit logs that were gone, unreadable or altered",
)

_ASKED_FOR: OrderedDict[UUID | None, int] = OrderedDict()
"""Per tenant, the last time slot for which this process enqueued sealing; only saves repeated work."""
_MOST_REMEMBERED = 100_000
_IN_FLIGHT = timedelta(seconds=1)  # between the insert of an entry and its commit


async def seal_soon(tenant_id: UUID | None, at: datetime) -> None:
    """Enqueue sealing of the tenant's entries for the end of the current time slot, once per slot and process."""
    every = settings(Settings).seal_seconds
    slot = int(at.timestamp() // every)
    if _ASKED_FOR.get(tenant_id) == slot:
        return
    end = datetime.fromtimestamp((slot + 1) * every, UTC) + _IN_FLIGHT
    async with unit_of_work() as work:
        await work.enqueue(SEAL, run_at=end, key=str(slot))

        async def remember() -> None:  # not before the commit: a rollback discards the job too
            _ASKED_FOR[tenant_id] = slot
            _ASKED_FOR.move_to_end(tenant_id)
            if len(_ASKED_FOR) > _MOST_REMEMBERED:
                _ASKED_FOR.popitem(last=False)

        work.after_commit(remember)


async def seal() -> int:
    """Seal the bound tenant's unsealed entries, then store the chain's head as checkpoint; returns how many.

    Raises:
        GiveUp: the deployment's secret is not the one the chain was signed with.
        Unavailable: database or storage are away.
    """
    key = chain_key()
    outside, fault = await checkpoints.look()
    if outside is not None and not outside.is_genuine(key):
        outside, fault = None, "is not genuine: it was altered, or the secret was changed"
    if fault and await was_stored():
        await _report_fault(f"the checkpoint of the audit log {fault}")
    while await _adopt_batch(key, outside):
        pass
    entries = 0
    while sealed := await _seal_batch(key, outside):
        entries += sealed
        if sealed < BATCH:
            break
    await keep_outside(key, outside)
    return entries


async def was_stored() -> bool:
    """Whether a checkpoint of the bound tenant's chain was ever stored, so that a missing one was removed."""
    return await Chain.filter(stored_position__gt=0).exists()


async def _report_fault(message: str) -> None:
    """Report it in the audit log, a metric and the log lines before a new checkpoint replaces the faulty one."""
    _log.error("%s; look with `tenantry audit verify`, against a copy kept elsewhere", message)
    count(FAULTS.name)
    await record_failure("audit.checkpoint.check", message, resource_type="audit_log")


async def keep_outside(key: bytes, outside: Head | None) -> None:
    """Store the chain's head as checkpoint; repeats if another process has moved the head meanwhile."""
    while (head := await head_of_chain()) is not None and head != outside:
        if not head.is_genuine(key):
            _log.error("the head of the audit log's chain was altered: the checkpoint outside stays as it is")
            return
        if outside is not None and head.position < outside.position:
            return  # the table lost entries: the stored checkpoint is the evidence
        await checkpoints.store(head)
        await Chain.all().update(stored_position=head.position)
        outside = head


async def head_of_chain() -> Head | None:
    """The head of the bound tenant's chain as the database has it; None before anything was sealed."""
    row = await Chain.get_or_none()
    return None if row is None else _head(row)


async def hold(key: bytes, outside: Head | None) -> tuple[Chain, Head]:
    """Lock the chain's row for the unit of work; returns it with the head to continue from.

    If the stored checkpoint is ahead of the table, entries were cut off: the chain continues after the checkpoint's
    position, so that the gap stays visible.

    Raises:
        GiveUp: the head's signature is not valid.
    """
    row = await Chain.select_for_update().get_or_none()
    if row is None:
        begin = Head(0, genesis(key), 0, genesis(key), datetime.now(UTC)).signed(key)
        await Chain.bulk_create([Chain(**asdict(begin))], ignore_conflicts=True)  # another sealer may be first
        row = await Chain.select_for_update().get()
    head = _head(row)
    if not head.is_genuine(key):
        raise GiveUp(
            "the head of the audit log's chain is not signed with this deployment's secret: set "
            "TENANTRY_AUDIT__CHAIN_SECRET to the former secret, or check for alterations with `tenantry audit verify`"
        )
    if outside is not None and outside.position > head.position:
        _log.error("entries of the audit log after position %s are gone", head.position)
        head = outside
    return row, head


async def move(row: Chain, head: Head, key: bytes) -> None:
    """Write the chain's new head into the locked row."""
    row.update_from_dict(asdict(head.signed(key)))
    await row.save()


def _head(row: Chain) -> Head:
    return Head(
        row.position, row.hash, row.pruned_position, row.pruned_hash, row.sealed_at.astimezone(UTC), row.signature
    )


async def _seal_batch(key: bytes, outside: Head | None) -> int:
    if not await Entry.filter(position__isnull=True).exists():
        return 0
    async with unit_of_work():
        row, head = await hold(key, outside)
        waiting = await WHOLE.some(BATCH, position=None)
        position, before, sealed = head.position, head.hash, []
        for entry in sorted(waiting, key=itemgetter("at", "id")):
            position += 1
            before = link(key, before, position, entry["mac"] or "")
            sealed.append((entry["id"], position, before, words_of(entry, row.tenant_id)))
        if sealed:
            await WHOLE.change_each(("position", "hash", "words"), sealed)
            now = datetime.now(UTC)
            await move(row, Head(position, before, head.pruned_position, head.pruned_hash, now), key)
    return len(sealed)


async def _adopt_batch(key: bytes, outside: Head | None) -> int:
    """Sign entries from before signatures were introduced; only while the tenant has no chain."""
    current = await head_of_chain()
    if (current is not None and current.position) or not await Entry.filter(mac__isnull=True).exists():
        return 0
    async with unit_of_work():
        _, head = await hold(key, outside)
        if head.position:
            return 0
        unsigned = await WHOLE.some(BATCH, mac=None)
        for row in unsigned:
            row["salt"] = secrets.token_hex(16)
        signed = [(row["id"], row["salt"], mac(key, row, commitment(row))) for row in unsigned]
        await WHOLE.change_each(("salt", "mac"), signed)
    return len(signed)
