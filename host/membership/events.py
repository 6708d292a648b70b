"""Events about members of a tenant: joined, left, role changed; they carry ids only."""

from __future__ import annotations

from uuid import UUID

from host.contracts import Event, EventType


class MemberJoined(Event, frozen=True):
    """A person belongs to the organisation now. `role` is the role's name; `invited_by` None: nobody's invitation.

    `invitation_id`: the invitation that they accepted, which is gone now.

    Example:
        async def when_member_joined(event: MemberJoined) -> None:
            await NOTES.insert(text="Say hello!", reader_id=event.user_id)
    """

    user_id: UUID
    role: str
    invited_by: UUID | None = None
    invitation_id: UUID | None = None


class MemberLeft(Event, frozen=True):
    """A person does not belong to the organisation any more, whether removed, gone or without an account.

    `removed_by` is the person themselves when they left; None: a command or a job.

    Example:
        async def when_member_left(event: MemberLeft) -> None:
            await Note.filter(reader_id=event.user_id).delete()
    """

    user_id: UUID
    role: str
    removed_by: UUID | None = None


class MemberRoleChanged(Event, frozen=True):
    """A member has another role now: names of roles. `changed_by` None: a command or a job."""

    user_id: UUID
    before: str
    after: str
    changed_by: UUID | None = None


EVENTS = (
    EventType(MemberJoined, "A person belongs to the organisation now"),
    EventType(MemberLeft, "A person left the organisation or was removed"),
    EventType(MemberRoleChanged, "A member has another role now"),
)
