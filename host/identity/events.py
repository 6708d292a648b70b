"""What the house announces about people: whoever sends mail listens to these."""

from __future__ import annotations

from uuid import UUID

from host.contracts import Event, EventType


class UserRegistered(Event, frozen=True):
    """A person has an account now. `provider` is empty when they chose a password here."""

    user_id: UUID
    email: str
    name: str
    provider: str = ""


class EmailVerificationRequested(Event, frozen=True):
    """`email` is to be proved by opening `link`, good for `hours`."""

    user_id: UUID
    email: str
    name: str
    link: str
    hours: int


class PasswordResetRequested(Event, frozen=True):
    """Somebody asked for a new password for the account of `email`; `link` is good for `minutes`."""

    user_id: UUID
    email: str
    name: str
    link: str
    minutes: int


class RegistrationRepeated(Event, frozen=True):
    """Somebody tried to register with the address of an account that exists: only its owner is told so."""

    user_id: UUID
    email: str
    name: str


class PasswordChanged(Event, frozen=True):
    """The password of an account was replaced; its owner should hear of it, in case it was somebody else."""

    user_id: UUID
    email: str
    name: str


class InvitationCreated(Event, frozen=True):
    """`email` is asked to join the tenant this was announced in; whoever holds `token` and the address may."""

    invitation_id: UUID
    email: str
    token: str


EVENTS = (
    EventType(UserRegistered, "A person has an account now"),
    EventType(EmailVerificationRequested, "An address is to be proved by a link"),
    EventType(PasswordResetRequested, "A new password was asked for"),
    EventType(RegistrationRepeated, "A registered address was used to register again"),
    EventType(PasswordChanged, "A password was replaced"),
    EventType(InvitationCreated, "Somebody is asked to join the organisation"),
)
