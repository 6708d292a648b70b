"""`/tenant/personal-data` and `/operator/personal-data` endpoints: find and erase a person's data."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, ConfigDict, EmailStr, Field, StringConstraints

from host.contracts import Accepted, Person
from host.membership.people import refuse_beyond_own
from host.personal_data import tasks
from host.personal_data.erasure import Holding, find, person_of
from host.web.routes import Routes
from tenants.models import Membership

routes = Routes()


class Asked(BaseModel):
    """The person: an e-mail address, which need not have an account, or an account's id."""

    model_config = ConfigDict(extra="forbid")
    email: EmailStr | None = None
    user_id: Annotated[UUID | None, Field(strict=False)] = None

    async def person(self) -> Person:
        """The person described; raises what `person_of` raises."""
        return await person_of(email=self.email, user_id=self.user_id)


class Erasure(Asked):
    """The person whose data to erase, and the reason, which stays on record."""

    reason: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=500)]


@routes.post(
    "/tenant/personal-data/search", permission="tenant.personal_data.read", name="personal_data.search", status=200
)
async def search_in_tenant(body: Asked) -> list[Holding]:
    """List what an erasure would find now; changes nothing."""
    return await find(await body.person())


@routes.post(
    "/tenant/personal-data/erase", permission="tenant.personal_data.delete", name="personal_data.erase", refusals=(409,)
)
async def erase_in_tenant(body: Erasure) -> Accepted:
    """Erase what the organisation holds of a person, who need not have an account; cannot be undone.

    Start a job that erases the data in this organisation; the account stays, as it belongs to the person.
    """
    person = await body.person()
    if person.user_id is not None:
        roles = await Membership.filter(user_id=person.user_id).values("role__permissions", "role__all_permission")
        for role in roles:
            refuse_beyond_own(role["role__permissions"], all_permission=role["role__all_permission"])
    return Accepted({"job_id": await tasks.begin(person, body.reason)})


@routes.post(
    "/operator/personal-data/search",
    operator=True,
    needs_tenant=False,
    name="operator.personal_data.search",
    status=200,
)
async def search_everywhere(body: Asked) -> list[Holding]:
    """List what an erasure everywhere would find now; changes nothing."""
    return await find(await body.person())


@routes.post(
    "/operator/personal-data/erase",
    operator=True,
    needs_tenant=False,
    name="operator.personal_data.erase",
    refusals=(409,),
)
async def erase_everywhere(body: Erasure) -> Accepted:
    """Erase a person everywhere, the account too; cannot be undone.

    Start a job that erases every organisation's data and the account; refused for an organisation's last owner.
    """
    return Accepted({"job_id": await tasks.begin(await body.person(), body.reason)})
