"""Events about accounts and sign-in, such as for plugins that send mail."""

from __future__ import annotations

from uuid import UUID

from host.contracts import Event, EventType, Secret


class AccountEvent(Event, frozen=True):
    """What the events about one person's account share. locale: the person's language (BCP 47), "" if unknown."""

    user_id: UUID
    email: str
    name: str
    locale: str = ""


class UserRegistered(AccountEvent, frozen=True):
    """A person has an account now. `provider` is empty when they chose a password here."""

    provider: str = ""


class EmailVerificationRequested(AccountEvent, frozen=True):
    """Opening `link`, which is valid for `hours` hours, proves that the person owns `email`."""

    link: Secret
    hours: int


class PasswordResetRequested(AccountEvent, frozen=True):
    """Somebody asked for a new password for the account of `email`; `link` is valid for `minutes` minutes."""

    link: Secret
    minutes: int


class RegistrationRepeated(AccountEvent, frozen=True):
    """Somebody tried to register with the address of an account that exists: only its owner is told so."""


class PasswordChanged(AccountEvent, frozen=True):
    """The password of an account was replaced; its owner is told, in case somebody else did it."""


class EmailChanged(AccountEvent, frozen=True):
    """The address of an account was replaced: `email` is the old one, whose owner is told."""

    new_email: str


class SignInLinked(AccountEvent, frozen=True):
    """A sign-in with another provider was linked to an existing account."""

    provider: str


class SignInUnlinked(AccountEvent, frozen=True):
    """A sign-in with another provider was unlinked from the account."""

    provider: str


class ApiKeyCreated(AccountEvent, frozen=True):
    """An API key was made in somebody's name, in the tenant this was announced in; `email` is that person's."""

    key_id: UUID
    key_name: str


class SessionEnded(Event, frozen=True):
    """A session has ended for any reason, and its tokens stopped working. Announced with no tenant bound."""

    session_id: UUID
    user_id: UUID
    reason: str


class InvitationCreated(Event, frozen=True):
    """`email` is asked to join the tenant this was announced in; whoever holds `token` and the address may."""

    invitation_id: UUID
    email: str
    token: Secret


EVENTS = (
    EventType(UserRegistered, "A person has an account now"),
    EventType(EmailVerificationRequested, "An address is to be proved by a link"),
    EventType(PasswordResetRequested, "A new password was asked for"),
    EventType(RegistrationRepeated, "A registered address was used to register again"),
    EventType(PasswordChanged, "A password was replaced"),
    EventType(EmailChanged, "The address of an account was replaced"),
    EventType(SignInLinked, "A sign-in with another provider was linked"),
    EventType(SignInUnlinked, "A sign-in with another provider was unlinked"),
    EventType(ApiKeyCreated, "An API key was made"),
    EventType(SessionEnded, "A session is over"),
    EventType(InvitationCreated, "Somebody is asked to join the organisation"),
)
