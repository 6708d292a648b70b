"""The background job that erases a person's data; its arguments are stored encrypted."""

from __future__ import annotations

from collections import Counter
from uuid import UUID

import orjson

from host.contracts import Person, Task
from host.data.mentions import without
from host.data.transactions import UnitOfWork
from host.errors import Conflict
from host.jobs.outcomes import GiveUp
from host.personal_data.erasure import Holding, erase_and_prove, refuse_last_owner
from host.services import services, unit_of_work
from tenants.context import SYSTEM_TENANT, current_or_none

ERASE = "host.erase_person"


async def begin(person: Person, reason: str) -> UUID:
    """Start the job that erases a person's data, in the bound tenant or, with none bound, everywhere; the job's id.

    Raises:
        Conflict: this is the last owner of an organisation.
    """
    await refuse_last_owner(person)
    plain = orjson.dumps([person.addresses, person.user_id, sorted(person.ids)], default=str).decode()
    encrypted = services().encryption.encrypt(plain, current_or_none() or SYSTEM_TENANT, "host")
    async with unit_of_work() as work:
        await record_begin(person, reason)
        return await work.enqueue(ERASE, person=encrypted)


async def record_begin(person: Person, reason: str) -> None:
    """Record in the audit log that, and why, a person's data is erased."""
    async with unit_of_work() as work:
        _record(work, "create", person, {"reason": without(person, reason)})


async def erase_person(person: str) -> None:
    """Erase the data of the person whom `begin` encrypted, and record how many rows of each kind were erased."""
    plain = services().encryption.decrypt(person, current_or_none() or SYSTEM_TENANT, "host")
    addresses, user_id, ids = orjson.loads(plain)
    subject = Person(tuple(addresses), UUID(user_id) if user_id else None, frozenset(map(UUID, ids)))
    try:
        holdings = await erase_and_prove(subject)
    except Conflict as error:
        raise GiveUp(str(error)) from error
    await record_finish(subject, holdings)


async def record_finish(person: Person, erased: list[Holding]) -> None:
    """Record in the audit log how many rows were erased by kind and table, with no more of the person than the id."""
    rows = Counter[str]()
    for holding in erased:
        rows[holding.kind] += holding.rows
    async with unit_of_work() as work:
        _record(work, "finish", person, {"erased": dict(rows)})


def _record(work: UnitOfWork, verb: str, person: Person, after: dict[str, object]) -> None:
    area = "operator" if current_or_none() is None else "tenant"
    work.record(f"{area}.erasures.{verb}", "user", person.user_id or "", after=after)


TASKS = (Task("erase_person", erase_person, "Erase a person's data", timeout=3600, tries=10, backoff=30),)
