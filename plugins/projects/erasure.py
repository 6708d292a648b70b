"""Remove a person from projects and task assignments; what they wrote stays, with their id only."""

from __future__ import annotations

from host.sdk import Person, PersonalData

from .models import ProjectMember, Task
from .service import release_person


async def find(person: Person) -> int:
    """How many projects the person is in, and how many tasks are assigned to them."""
    if person.user_id is None:
        return 0
    memberships = await ProjectMember.filter(user_id=person.user_id).count()
    return memberships + await Task.filter(assignee_id=person.user_id).count()


async def erase(person: Person) -> int:
    """Remove the person from all of them; returns how many."""
    if person.user_id is None or not (held := await find(person)):
        return 0
    await release_person(person.user_id)
    await Task.filter(assignee_id=person.user_id).update(assignee_id=None)  # closed tasks, too
    return held


PERSONAL_DATA = (
    PersonalData(
        "places",
        "Places in projects, and tasks assigned to the person",
        find,
        erase,
        retained="Which id created a project or a task.",
    ),
)
