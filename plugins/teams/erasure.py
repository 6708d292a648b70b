"""Remove a person from teams; what they made stays, with their id only."""

from __future__ import annotations

from host.sdk import Person, PersonalData, lock_tenant, unit_of_work

from .models import TeamMember
from .people import release_person


async def find(person: Person) -> int:
    """How many teams the person is in."""
    return 0 if person.user_id is None else await TeamMember.filter(user_id=person.user_id).count()


async def erase(person: Person) -> int:
    """Take the person out of all of them; returns how many."""
    if person.user_id is None or not await find(person):
        return 0
    async with unit_of_work():
        await lock_tenant()
        return await release_person(person.user_id)


PERSONAL_DATA = (
    PersonalData(
        "memberships",
        "Memberships in teams",
        find,
        erase,
        retained="Which id created a team, or added somebody to it.",
    ),
)
