"""The notes plugin in one file: a table, two endpoints, two permissions and a limit."""

from pydantic import BaseModel
from tortoise import fields

from host import sdk

READ = sdk.Permission("notes.notes.read", "Read notes", roles=("admin", "member", "viewer"))
WRITE = sdk.Permission("notes.notes.create", "Write notes", roles=("admin", "member"))


class Note(sdk.TenantModel):
    text = fields.CharField(max_length=200)
    created_at = fields.DatetimeField(auto_now_add=True)

    class Meta:
        table = "notes_notes"


class NewNote(BaseModel, extra="forbid"):
    text: sdk.Name


NOTES = sdk.Records(Note, filters=("id",))
LIMIT = sdk.Limit("notes.notes", "quota", "How many notes there may be", "notes", default="20", count=NOTES.count)
routes = sdk.Routes()


@routes.get("/notes", permission=READ, name="notes.list", listing=NOTES)
async def list_notes(query: sdk.Query) -> sdk.Page:
    """List the notes, the newest first."""
    return await NOTES.page(query)


@routes.post("/notes", permission=WRITE, name="notes.create", returns=NOTES, limits=(LIMIT,))
async def create_note(body: NewNote) -> sdk.Created:
    """Write a note."""
    async with sdk.unit_of_work() as work:
        await sdk.spend(LIMIT.name)
        note = await NOTES.insert(text=body.text)
        work.record("notes.notes.create", "note", str(note["id"]), after=note)
    return sdk.Created(note, f"/notes?id={note['id']}")


@sdk.hookimpl
def register_routes() -> sdk.Routes:
    return routes


@sdk.hookimpl
def register_models() -> list[type[Note]]:
    return [Note]
