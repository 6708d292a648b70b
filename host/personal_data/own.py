"""Find and erase the host's own data about a person: account, sign-ins, memberships, API keys and jobs."""

from __future__ import annotations

from dataclasses import replace

from host.contracts import Person, PersonalData
from host.data.mentions import is_mentioned, rows_mentioning
from host.identity.api_keys import end_keys_of
from host.identity.models import ApiKey, OAuthAccount, OneTimeToken, Session
from host.jobs.models import Job, JobState
from host.limits.models import QuotaUse, Reservation
from host.membership.members import member_of, remove_member
from host.services import unit_of_work
from tenants.context import SYSTEM_TENANT, current
from tenants.models import Invitation, Membership, User

_OF_ACCOUNTS = (Session, OAuthAccount, OneTimeToken)
_USE = (QuotaUse, Reservation)
_OVER = (JobState.DONE, JobState.FAILED, JobState.CANCELLED)
_JOBS = "Background work started by the person or about them"
_WHO = ("by", "address", "user_agent")  # keys of a job's origin that identify a person, apart from the id
AT_ONCE = 500


async def find_memberships(person: Person) -> int:
    """How many memberships in the bound tenant the person has: one or none."""
    return 0 if current() == SYSTEM_TENANT else await Membership.filter(user_id=person.user_id).count()


async def erase_memberships(person: Person) -> int:
    """Remove the person from the bound tenant."""
    if person.user_id is None or not (memberships := await find_memberships(person)):
        return 0
    await remove_member(await member_of(person.user_id))
    return memberships


async def find_invitations(person: Person) -> int:
    """How many invitations to the person's addresses there are, accepted ones too."""
    return await Invitation.filter(email__in=person.addresses).count()


async def erase_invitations(person: Person) -> int:
    """Delete the invitations to the person's addresses."""
    return await Invitation.filter(email__in=person.addresses).delete()


async def find_api_keys(person: Person) -> int:
    """How many keys of the person still work."""
    return await ApiKey.filter(made_by=person.user_id, revoked_at=None).count() if person.user_id else 0


async def erase_api_keys(person: Person) -> int:
    """Revoke the person's keys: whoever uses one acts in the person's name."""
    count = await find_api_keys(person)
    if person.user_id is not None and count:
        await end_keys_of(person.user_id)
    return count


async def find_jobs(person: Person) -> int:
    """How many jobs were started by the person or are about them."""
    return len(await _jobs_of(person))


async def erase_jobs(person: Person) -> int:
    """Delete jobs that are over or about to use the address; remove the person from the origin of others."""
    changed = 0
    for job in await _jobs_of(person):
        unchanged = Job.filter(id=job.id, state=job.state)
        if job.state in _OVER or (job.state != JobState.RUNNING and is_mentioned(person, job.arguments)):
            changed += await unchanged.delete()
        elif any(job.origin.get(name) for name in _WHO):
            changed += await unchanged.update(origin={**job.origin, **dict.fromkeys(_WHO, "")})
    return changed


async def _jobs_of(person: Person) -> list[Job]:
    named = replace(person, addresses=(*person.addresses, *map(str, person.ids)))
    ids, jobs = await rows_mentioning(Job, named), list[Job]()
    for start in range(0, len(ids), AT_ONCE):
        jobs += await Job.filter(id__in=ids[start : start + AT_ONCE])
    return jobs


async def find_use(person: Person) -> int:
    """How many counters there are of what the person used of limits that each person has."""
    if person.user_id is None:
        return 0
    return sum([await model.filter(limit_name__endswith=f"@{person.user_id}").count() for model in _USE])


async def erase_use(person: Person) -> int:
    """Delete these counters."""
    if person.user_id is None:
        return 0
    return sum([await model.filter(limit_name__endswith=f"@{person.user_id}").delete() for model in _USE])


async def find_account(person: Person) -> int:
    """How many rows an account has of its own: itself, its sign-ins, its links and its one-time tokens."""
    if person.user_id is None:
        return 0
    own = [await model.filter(user_id=person.user_id).count() for model in _OF_ACCOUNTS]
    return await User.filter(id=person.user_id).count() + sum(own)


async def erase_account(person: Person) -> int:
    """Delete the account with all of these rows; its address may be registered anew."""
    if person.user_id is None or not (rows := await find_account(person)):
        return 0
    async with unit_of_work() as work:
        await User.filter(id=person.user_id).delete()
        work.record("auth.user.delete", "user", person.user_id)
        work.touch(user=person.user_id)
    return rows


PERSONAL_DATA = (
    PersonalData("memberships", "The place in the organisation", find_memberships, erase_memberships),
    PersonalData("invitations", "Invitations to the address", find_invitations, erase_invitations),
    PersonalData("api_keys", "API keys the person made, which end", find_api_keys, erase_api_keys),
    PersonalData("jobs", _JOBS, find_jobs, erase_jobs),
    PersonalData("own_jobs", _JOBS, find_jobs, erase_jobs, of_account=True),
    PersonalData("use", "How much the person used of limits that each person has", find_use, erase_use),
    PersonalData("account", "Account, sign-ins and linked accounts", find_account, erase_account, of_account=True),
)
"""The host's declarations, except stored responses to requests, which are declared where they are kept."""
