"""`/me` endpoints: a person's own profile, settings, organisations and sessions."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, JsonValue, RootModel

from host.api.auth import Address, person, session_behind
from host.api.tenant import list_tenants, owned_by
from host.contracts import Actor, Row
from host.errors import ValidationFailed
from host.identity import accounts, sessions
from host.identity.locales import locale
from host.identity.models import Session
from host.input_types import Name
from host.web.routes import Routes

routes = Routes()

LARGEST_SETTINGS = 64 * 1024
"""Largest size of a person's settings in bytes; they are read whole, never searched or listed."""


class ProfileChanges(BaseModel):
    """Changes to my profile; a field left out stays. Another e-mail address needs my password.

    locale: the language of messages to me, a tag such as "de-AT" (BCP 47); "": the deployment's.
    """

    model_config = ConfigDict(extra="forbid")
    name: Name | None = None
    locale: Annotated[str | None, Field(max_length=35)] = None
    email: Address | None = None
    current_password: Annotated[str | None, Field(max_length=1024, repr=False)] = None


class PersonalSettings(RootModel[dict[str, JsonValue]]):
    """Preferences that client programs keep for me: any JSON object."""


def device(session: Session, current: UUID | None) -> Row:
    """A session as the API shows it to its owner."""
    fields = ("id", "user_agent", "address", "created_at", "last_used_at", "expires_at")
    return {field: getattr(session, field) for field in fields} | {"current": session.id == current}


@routes.get("/me", name="me.read", signed_in=True, needs_tenant=False)
async def read_me(actor: Actor) -> Row:
    """My profile."""
    return person(await owned_by(actor))


@routes.patch("/me", name="me.update", signed_in=True, needs_tenant=False)
async def update_me(body: ProfileChanges, actor: Actor, if_match: int | None) -> Row:
    """Change my profile.

    Change my name or language, or ask for another e-mail address: it counts once the link sent there is opened.
    """
    user = await owned_by(actor)
    for field in ("name", "locale"):
        if field in body.model_fields_set and getattr(body, field) is None:
            raise ValidationFailed(details={field: "cannot be null"})
    changed = await accounts.update_profile(
        user.id,
        name=body.name,
        locale=locale(body.locale) if body.locale else body.locale,
        email=body.email,
        current_password=body.current_password,
        version=if_match,
    )
    return person(changed)


@routes.get("/me/settings", name="my_settings.read", signed_in=True, needs_tenant=False)
async def read_settings(actor: Actor) -> dict[str, JsonValue]:
    """My settings, as they were last stored."""
    return (await owned_by(actor)).settings


@routes.put("/me/settings", name="my_settings.update", signed_in=True, needs_tenant=False, max_body=LARGEST_SETTINGS)
async def replace_settings(body: PersonalSettings, actor: Actor) -> dict[str, JsonValue]:
    """Replace all my settings with these."""
    return await accounts.replace_settings((await owned_by(actor)).id, body.root)


@routes.get("/me/tenants", name="my_tenants.list", signed_in=True, needs_tenant=False)
async def list_my_tenants(actor: Actor) -> list[Row]:
    """Every organisation I belong to, with my role there."""
    return await list_tenants(actor)


@routes.get("/me/sessions", name="my_sessions.list", signed_in=True, needs_tenant=False)
async def list_sessions(actor: Actor) -> list[Row]:
    """My open sessions, the last used one first; `current` marks the one of this request."""
    user_id, current = session_behind(actor)
    return [device(each, current) for each in await sessions.sessions_of(user_id)]


@routes.delete("/me/sessions", name="my_sessions.delete_all", signed_in=True, needs_tenant=False)
async def end_other_sessions(actor: Actor) -> None:
    """End all my sessions but the one of this request."""
    user_id, current = session_behind(actor)
    await sessions.end_all(user_id, reason="ended from another session", but=current)


@routes.delete("/me/sessions/<uuid:session_id>", name="my_sessions.delete", signed_in=True, needs_tenant=False)
async def end_session(session_id: UUID, actor: Actor) -> None:
    """End one of my sessions; its tokens stop working at once."""
    user_id, current = session_behind(actor)
    reason = "signed out" if session_id == current else "ended from another session"
    await sessions.end(session_id, user_id=user_id, reason=reason)
