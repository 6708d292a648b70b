"""The board plugin: a live channel that people write to and follow as server-sent events; it keeps no rows."""

from pydantic import BaseModel

from host import sdk

READ = sdk.Permission("board.lines.read", "Follow boards", roles=("admin", "member", "viewer"))
WRITE = sdk.Permission("board.lines.create", "Write on boards", roles=("admin", "member"))
LINES = "board.lines"

routes = sdk.Routes()


class NewLine(BaseModel, extra="forbid"):
    text: sdk.Title


@routes.post("/board/<name>/lines", permission=WRITE, name="lines.create")
async def write(name: str, body: NewLine) -> sdk.Accepted:
    """Write a line on a board."""
    line = {"text": body.text, "by": sdk.actor().label}
    await sdk.live(LINES).publish(name, "line", line)
    return sdk.Accepted(line)


@routes.get("/board/<name>/events", permission=READ, name="lines.follow")
async def follow(name: str) -> sdk.Events:
    """The lines of a board as they are written; the board that is named by a person's id is theirs alone."""
    return sdk.Events(lambda after: sdk.live(LINES).follow(name, after))


async def may_follow(name: str) -> bool:
    """A board with a plain name is everybody's; any other belongs to the person of that id."""
    return name.isalpha() or name == str(sdk.actor().user_id)


@sdk.hookimpl
def register_routes() -> sdk.Routes:
    return routes


@sdk.hookimpl
def register_live_channels() -> list[sdk.LiveChannel]:
    return [sdk.LiveChannel(LINES, "Lines on boards", may_follow=may_follow)]
