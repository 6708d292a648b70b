"""The links plugin: rows that are everybody's or shared with principals (people, roles, teams) at a level."""

from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, Field
from tortoise import fields

from host import sdk

READ = sdk.Permission("links.links.read", "See links", roles=("admin", "member", "viewer"))
WRITE = sdk.Permission("links.links.create", "Keep and share links", roles=("admin", "member"))
routes = sdk.Routes()


class Link(sdk.TenantModel):
    url = fields.CharField(max_length=500)
    visibility = fields.CharField(max_length=20, default="shared")  # "shared" or "organisation"
    created_at = fields.DatetimeField(auto_now_add=True)

    class Meta:
        table = "links_links"


class Share(sdk.TenantModel):
    link: fields.ForeignKeyRelation[Link] = fields.ForeignKeyField("links.Link", related_name=False)
    principal = fields.CharField(max_length=100)  # "user:<id>", "role:<id>", "team:<id>" or "org"
    level = fields.CharField(max_length=10)  # one of `sdk.LEVELS`

    class Meta:
        table = "links_shares"
        unique_together = (("tenant_id", "link_id", "principal"),)


AUDIENCE = sdk.Audience(Link, ("visibility", "organisation"), Share, "link_id")
LINKS = sdk.Records(Link, audience=AUDIENCE)


class NewLink(BaseModel, extra="forbid"):
    url: Annotated[str, Field(min_length=1, max_length=500), sdk.OneLine]


class NewShare(BaseModel, extra="forbid"):
    principal: str
    level: Literal["read", "write", "manage"] = "read"


class Sharer(BaseModel):
    """Somebody a link is shared with: a name for people, and how many people that is (100 at most)."""

    principal: str
    name: str
    people: int


@routes.get("/links", permission=READ, name="links.list", listing=LINKS)
async def list_links(query: sdk.Query) -> sdk.Page:
    """List the links that are shared with you, the newest first."""
    return await LINKS.page(query)


@routes.post("/links", permission=WRITE, name="links.create", returns=LINKS)
async def create_link(body: NewLink) -> sdk.Created:
    """Keep a link, which is yours alone until you share it."""
    async with sdk.unit_of_work() as work:
        link = await LINKS.insert(url=body.url)
        mine = f"user:{sdk.actor().user_id}"
        await Share.create(link_id=link["id"], principal=mine, level=sdk.LEVELS[-1])
        work.record("links.links.create", "link", str(link["id"]), after=link)
    return sdk.Created(link, f"/links?id={link['id']}")


@routes.post("/links/<uuid:link_id>/shares", permission=WRITE, name="shares.create")
async def share_link(link_id: UUID, body: NewShare) -> None:
    """Share a link that you manage."""
    await _managed(link_id)
    if body.principal not in await sdk.principal_names([body.principal]):
        raise sdk.ValidationFailed(details={"principal": "there is nobody of that name here"})
    async with sdk.unit_of_work() as work:
        await Share.update_or_create({"level": body.level}, link_id=link_id, principal=body.principal)
        work.record("links.shares.create", "link", str(link_id), after={"with": body.principal, "level": body.level})


@routes.get("/links/<uuid:link_id>/shares", permission=READ, name="shares.list")
async def list_shares(link_id: UUID) -> list[Sharer]:
    """Whom a link that you manage is shared with."""
    principals = [share.principal for share in await _managed(link_id)]
    names = await sdk.principal_names(principals)
    counted: dict[str, list[sdk.Member]] = {each: await sdk.members(principals=[each]) for each in principals}
    return [Sharer(principal=each, name=names.get(each, ""), people=len(counted[each])) for each in principals]


async def _managed(link_id: UUID) -> list[Share]:
    """The shares of a link that the actor manages."""
    await LINKS.get(link_id)
    shares = await Share.filter(link_id=link_id).order_by("principal")
    if sdk.level([(share.principal, share.level) for share in shares]) != "manage":
        raise sdk.PermissionDenied("Only who manages this link may see and change whom it is shared with.")
    return shares


@sdk.hookimpl
def register_routes() -> sdk.Routes:
    return routes


@sdk.hookimpl
def register_models() -> list[type[sdk.TenantModel]]:
    return [Link, Share]
