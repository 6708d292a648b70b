"""The documents plugin: files in storage, space that is reserved and settled, downloads, and a weekly recount."""

from functools import partial
from uuid import UUID, uuid4

from pydantic import BaseModel

from host import sdk

from .counting import count_words

READ = sdk.Permission("documents.documents.read", "Read documents", roles=("admin", "member", "viewer"))
WRITE = sdk.Permission("documents.documents.create", "Store documents", roles=("admin", "member"))
SPACE = sdk.Limit("documents.space", "quota", "Space for documents", "bytes", default="1 KB")
routes = sdk.Routes()


class NewDocument(BaseModel, extra="forbid"):
    text: str


@routes.post("/documents", permission=WRITE, name="documents.create", limits=(SPACE,))
async def store(body: NewDocument) -> sdk.Created:
    """Store a document, if there is space for it and it can be read."""
    content, document_id = body.text.encode(), uuid4()
    async with sdk.unit_of_work():
        reservation = await sdk.reserve(SPACE.name, len(content))
    stored_bytes = 0
    try:
        words = await sdk.in_subprocess(count_words, content, seconds=20, memory=1024**3)
        await sdk.storage().put(str(document_id), content)
        stored_bytes = len(content)
    except sdk.SubprocessError as error:
        raise sdk.ValidationFailed(details={"text": f"The words cannot be counted: {error}"}) from error
    finally:
        async with sdk.unit_of_work():
            await sdk.settle(reservation, stored_bytes)
    return sdk.Created({"id": document_id, "words": words}, f"/documents/{document_id}")


@routes.get("/documents/<uuid:document_id>", permission=READ, name="documents.read")
async def read(document_id: UUID) -> sdk.Download:
    """Download a document, or a range of it."""
    key = str(document_id)
    stored: sdk.Stored = await sdk.storage().stat(key)
    content = partial(sdk.storage().get, key)
    return sdk.Download(stored.size, stored.etag, stored.modified_at, content, f"{key}.txt", "text/plain")


async def recount() -> None:
    """Set the space in use to what storage really holds."""
    used = sum([stored.size async for stored in sdk.storage().list()])
    async with sdk.unit_of_work():
        await sdk.set_used(SPACE.name, used)


@sdk.hookimpl
def register_routes() -> sdk.Routes:
    return routes


@sdk.hookimpl
def register_tasks() -> list[sdk.Task]:
    return [sdk.Task("recount", recount, "Count the space that documents take", at=sdk.WEEKLY_REPORT)]
