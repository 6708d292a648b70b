"""The welcome plugin: an event with a secret, a listener, a message, a veto, a gauge and a cached answer."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from uuid import UUID

from host import sdk

READ = sdk.Permission("welcome.letters.read", "Read the letter of welcome", roles=("admin", "member", "viewer"))
JOINED = "tenantry_welcome_joined_total"
routes = sdk.Routes()


class LetterPrepared(sdk.Event):
    """A letter of welcome is ready. `link` lets its holder in and is stored encrypted; `page` may be shown."""

    user_id: UUID
    link: sdk.Secret
    page: sdk.Public


async def when_member_joined(event: sdk.MemberJoined) -> None:
    """Prepare a letter for whoever joined, and ask for a message that says so; without `mail`, nobody sends it."""
    token = sdk.sign_token("letter", user_id=str(event.user_id))
    sdk.count(JOINED)
    async with sdk.unit_of_work() as work:
        page, link = sdk.absolute_url("/welcome"), sdk.absolute_url(f"/welcome?token={token}")
        await sdk.drop_tags("letter")
        work.announce(LetterPrepared(user_id=event.user_id, link=link, page=page))
        if member := (await sdk.people([event.user_id])).get(event.user_id):
            facts = {"name": member.name, "page": page}
            await sdk.request_message(
                member.email, "welcome.letter", facts, key=f"joined-{event.user_id}", locale=member.locale
            )


async def letters_in_all() -> sdk.Readings:
    """How many letters this version of the plugin knows."""
    return [((), 1.0)]


async def _write_letter() -> str:
    return f"Welcome to {(await sdk.tenant()).name}!"


@routes.get("/welcome/about", public=True, needs_tenant=False, name="about.read", cache=sdk.PublicCache(300))
async def read_about() -> sdk.Row:
    """Say what this plugin does, which anybody may keep for five minutes."""
    return {"about": "It welcomes the people who join an organisation."}


@routes.get("/welcome", permission=READ, name="letters.read")
async def read_letter() -> sdk.Answer:
    """Read the letter of welcome, which is written once in a minute, and anew when somebody joins."""
    letter = await sdk.cached("letter", _write_letter, ttl=60, tags=("letter",), everyone=True)
    return sdk.Answer({"letter": letter}, headers={"Cache-Control": "private, max-age=60"})


@sdk.hookimpl
async def authorize(actor: sdk.Actor, permission: str, resource: Mapping[str, str]) -> sdk.Decision | None:
    """Letters are for people: keys and jobs may not read them."""
    if permission == READ.name and actor.kind != "user":
        return sdk.Decision(False, "letters are for people")
    return None


@sdk.hookimpl
def register_routes() -> Sequence[sdk.Route]:
    return routes


@sdk.hookimpl
def register_events() -> Sequence[sdk.EventType]:
    return [sdk.EventType(LetterPrepared, "A letter of welcome is ready")]


@sdk.hookimpl
def register_message_templates() -> Sequence[sdk.MessageTemplate]:
    return [sdk.MessageTemplate(Path(__file__).parent / "templates" / "letter")]


@sdk.hookimpl
def register_listeners() -> Sequence[sdk.Subscription]:
    return [sdk.Subscription("host.MemberJoined", when_member_joined)]


@sdk.hookimpl
def register_metrics() -> Sequence[sdk.Metric]:
    letters = sdk.Metric("tenantry_welcome_letters", "gauge", "Letters that there are", read=letters_in_all)
    return [letters, sdk.Metric(JOINED, "counter", "People who joined and were sent a letter")]
