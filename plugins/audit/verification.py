"""Verify a tenant's audit chain and report the first altered, removed, inserted or reordered entry."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from operator import itemgetter
from typing import Literal
from uuid import UUID

from host.sdk import Query, Row

from . import checkpoints
from .checkpoints import Head
from .models import Entry
from .sealing import WHOLE, head_of_chain, was_stored
from .signing import PERSONAL, chain_key, commitment, earlier_proof, link, mac, proof, same

CHUNK = 1000  # entries in memory at a time
_OR_ELSE = "the deployment's secret was changed (set TENANTRY_AUDIT__CHAIN_SECRET to the former one)"
_STORED_SOON = timedelta(minutes=5)  # after sealing, until a missing checkpoint is a finding

Kind = Literal["altered", "removed", "inserted", "reordered", "cut off", "head altered", "checkpoint"]
Progress = Callable[[int], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Finding:
    """The first fault: its position and what it means; `entry_id` is None where the entry no longer exists."""

    kind: Kind
    position: int | None
    entry_id: UUID | None
    message: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """The result of a verification.

    checked: number of entries read. first, last: the range of positions checked. unsealed: signed entries that are not
    sealed yet. go_on_after: the position at which time ran out; None if the end of the chain was reached.
    """

    checked: int = 0
    first: int = 0
    last: int = 0
    unsealed: int = 0
    finding: Finding | None = None
    go_on_after: int | None = None

    @property
    def ok(self) -> bool:
        """Whether no fault was found."""
        return self.finding is None


@dataclass(slots=True)
class _Walk:
    """Progress along the chain: the last verified position and its hash."""

    key: bytes
    position: int
    hash: str
    checked: int = 0
    expected: dict[int, str] = field(default_factory=dict)  # position -> its hash according to a checkpoint

    def step(self, row: Row) -> Finding | None:
        """Check the next entry; returns its fault, or None and advances the position."""
        position, expected = row["position"], self.position + 1
        if position != expected:
            return _removed(expected)
        signed = _is_signed(self.key, row)
        entry_hash = link(self.key, self.hash, position, row["mac"] or "")
        if not signed or entry_hash != row["hash"]:
            return _wrong(row, signed, entry_hash == row["hash"])
        if self.expected.get(position, entry_hash) != entry_hash:
            text = (
                f"the entries before position {position} were cut off and others sealed: a checkpoint has another hash"
            )
            return Finding("cut off", position, row["id"], text)
        self.position, self.hash = position, entry_hash
        self.checked += 1
        return None


def _is_signed(key: bytes, row: Row) -> bool:
    """Whether an entry still matches its signature; for an erased one, whether the host erased it."""
    if row["mac"] is None:
        return False
    erased = row["erased"]
    if erased is None:
        return row["salt"] is not None and mac(key, row, commitment(row)) == row["mac"]
    committed, proved = erased[:64], erased[64:]
    is_empty = not (row["salt"] or any(row[name] for name in PERSONAL))
    if same(proved, proof(key, row, committed)):
        return is_empty
    earlier = same(proved, earlier_proof(key, row["id"], committed))
    return is_empty and earlier and same(mac(key, row, committed), row["mac"])


def _wrong(row: Row, signed: bool, linked: bool) -> Finding:
    label = f"the entry {row['id']} at position {row['position']}"
    if linked:
        return Finding("altered", row["position"], row["id"], f"{label} was altered after it was written")
    if signed:
        return Finding("reordered", row["position"], row["id"], f"{label} was sealed at another position")
    return Finding("inserted", row["position"], row["id"], f"{label} was not written by this deployment")


async def verify(
    *, outside: Sequence[Head] = (), after: int = 0, seconds: float = math.inf, on_progress: Progress | None = None
) -> Verdict:
    """Verify the bound tenant's chain from its first kept entry on, and the unsealed entries.

    outside: further checkpoints, such as copies kept elsewhere. after: begin after this position and trust its hash.
    seconds: stop after this time and return the position. on_progress: called with how many entries were checked.

    Raises:
        Unavailable: database or storage are away.
    """
    key = chain_key()
    (checkpoint, fault), head = await checkpoints.look(), await head_of_chain()
    doubt = _doubt(key, head, checkpoint, outside)
    if fault and head is not None and doubt is None:
        doubt = await _missing(head, fault)
    heads = [each for each in (head, checkpoint, *outside) if each is not None and each.is_genuine(key)]
    begin = heads[0] if heads else None
    verdict = Verdict()
    if begin is not None:
        walk = _Walk(key, begin.pruned_position, begin.pruned_hash)
        walk.expected = {head.position: head.hash for head in heads}
        if after > walk.position:
            start = await WHOLE.find(position=after)
            if start is None:
                return Verdict(first=after, finding=_removed(after))
            walk.position, walk.hash = after, start["hash"]
        verdict = await _along(walk, max(each.position for each in heads), time.monotonic() + seconds, on_progress)
        if not verdict.ok and await _pruned_since(
            begin
        ):  # pruned by the host meanwhile: begin again at the first kept entry
            return await verify(outside=outside, seconds=seconds, on_progress=on_progress)
    if verdict.ok and verdict.go_on_after is None:
        verdict = replace(verdict, finding=doubt)
        verdict = await _waiting(key, verdict) if verdict.ok else verdict
    return verdict


async def _along(walk: _Walk, end: int, deadline: float, on_progress: Progress | None) -> Verdict:
    first = walk.position + 1

    def verdict(finding: Finding | None = None, go_on_after: int | None = None) -> Verdict:
        return Verdict(walk.checked, first, walk.position, finding=finding, go_on_after=go_on_after)

    next_rows = asyncio.ensure_future(_sealed(walk.position, end))
    try:
        while walk.position < end:
            if time.monotonic() > deadline:
                return verdict(go_on_after=walk.position)
            rows = await next_rows
            next_rows = asyncio.ensure_future(_sealed(walk.position + CHUNK, end))  # while these are checked
            await asyncio.sleep(0)
            for row in rows:
                if finding := walk.step(row):
                    return verdict(finding)
            if not rows:
                more = await Entry.filter(position__gt=walk.position).exists()
                return verdict(_removed(walk.position + 1) if more else _cut_off(walk.position + 1, end))
            if on_progress is not None:
                await on_progress(walk.checked)
    finally:
        next_rows.cancel()
        await asyncio.gather(next_rows, return_exceptions=True)
    beyond = await Entry.filter(position__gt=end).order_by("position").first().values_list("id", "position")
    now = await head_of_chain()  # read after `beyond`, so that entries sealed meanwhile are within it
    if beyond is not None and (now is None or beyond[1] > now.position):
        text = f"the entry {beyond[0]} at position {beyond[1]} is after the end of the chain"
        return verdict(Finding("inserted", beyond[1], beyond[0], text))
    return verdict()


async def _sealed(after: int, end: int) -> list[Row]:
    """The entries at the next `CHUNK` positions after this one, in order."""
    query = Query(filters={"after": after, "until": min(end, after + CHUNK)})
    rows = [row async for chunk in WHOLE.chunks(query, CHUNK + 1) for row in chunk]
    return sorted(rows, key=itemgetter("position"))


async def _waiting(key: bytes, verdict: Verdict) -> Verdict:
    """Check the unsealed entries: each must be signed, except those from before the chain was begun."""
    count, chained = 0, verdict.last > 0
    async for rows in WHOLE.chunks(Query(), CHUNK, position=None):
        for row in rows:
            if (row["mac"] is not None or chained) and not _is_signed(key, row):
                text = f"the entry {row['id']}, which waits to be sealed, was altered or not written by this deployment"
                return replace(verdict, unsealed=count, finding=Finding("inserted", None, row["id"], text))
            count += 1
    return replace(verdict, unsealed=count)


async def _pruned_since(begin: Head) -> bool:
    head = await head_of_chain()
    return head is not None and head.pruned_position > begin.pruned_position


def _doubt(key: bytes, head: Head | None, checkpoint: Head | None, outside: Sequence[Head]) -> Finding | None:
    """A fault of the heads themselves; reported if no entry is at fault."""
    if any(not each.is_genuine(key) for each in outside):
        return Finding("checkpoint", None, None, "the checkpoint given was not signed for this log")
    if checkpoint is not None and not checkpoint.is_genuine(key):
        return Finding("checkpoint", None, None, f"the stored checkpoint was altered, or {_OR_ELSE}")
    if head is None:
        gone = checkpoint is not None or outside
        return Finding("head altered", None, None, "the head of the chain is gone from the table") if gone else None
    if not head.is_genuine(key):
        return Finding("head altered", None, None, f"the head of the chain was altered, or {_OR_ELSE}")
    return None


async def _missing(head: Head, fault: str) -> Finding | None:
    """The finding for a missing checkpoint; None while the first one may still be about to be stored."""
    if not await was_stored() and datetime.now(UTC) - head.sealed_at < _STORED_SOON:
        return None
    return Finding("checkpoint", None, None, f"the checkpoint outside the database {fault}")


def _removed(position: int) -> Finding:
    return Finding("removed", position, None, f"the entry at position {position} was removed")


def _cut_off(position: int, end: int) -> Finding:
    text = f"the newest sealed entries, from position {position} to {end}, were cut off"
    return Finding("cut off", position, None, text)
