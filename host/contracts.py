"""The frozen dataclasses that host and plugins exchange: routes, tasks, permissions, limits, events, answers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Generic, Literal, TypeVar
from uuid import UUID

import click
from pydantic import BaseModel, Field

T = TypeVar("T")

Row = dict[str, Any]
"""One row as an API answer shows it: column name -> Python value.

Example:
    note: Row = await NOTES.get(note_id)
"""


API_BASE = "/api/v1"
"""Every route's path is below this one."""


# -- who is acting ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Actor:
    """Who is behind a request or a job. `id` is the user's, key's or job's id; None for anonymous.

    Example:
        async def authenticate(headers: Mapping[str, str]) -> Actor | None:
            return Actor("system", label="scraper") if headers.get("x-token") == TOKEN else None
    """

    kind: Literal["user", "api_key", "job", "system", "anonymous"]
    id: UUID | None = None
    label: str = ""  # e-mail address, key name or task name; for people to read
    user_id: UUID | None = None  # the person: the user itself, or who made the key
    session_id: UUID | None = None
    is_operator: bool = False


@dataclass(frozen=True, slots=True)
class Origin:
    """Where an action comes from; carried from the request into every job it starts."""

    request_id: str
    actor: Actor
    address: str = ""
    user_agent: str = ""


@dataclass(frozen=True, slots=True)
class TenantInfo:
    """The tenant as plugins see it.

    Example:
        async def on_activated(tenant: TenantInfo) -> None:
            await NOTES.insert(text=f"Welcome, {tenant.name}!")
    """

    id: UUID
    slug: str
    name: str
    plan: str
    timezone: str = "UTC"  # an IANA name, such as Europe/Berlin


# -- what happened ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Action:
    """What a request or a job did. `before` and `after` hold the changed fields only, secrets left out.

    Example:
        async def on_action(action: Action) -> None:
            await ENTRIES.insert(name=action.name, outcome=action.outcome)
    """

    name: str  # "<area>.<resource>.<verb>", as permissions are named
    resource_type: str
    resource_id: str
    outcome: Literal["succeeded", "denied", "failed"]
    before: Mapping[str, Any]
    after: Mapping[str, Any]
    origin: Origin
    at: datetime
    tenant_id: UUID | None = None  # None: outside any tenant, such as a sign-in
    reason: str = ""  # why it was denied or failed
    public: frozenset[str] = frozenset()  # fields, at any depth, that are no secrets, whatever they are called
    secret: frozenset[str] = frozenset()  # fields that are, whatever they are called


class SecretMark:
    """Marks a field of an event as secret; write `Secret` as the field's type."""


Secret = Annotated[str, Field(repr=False), SecretMark()]
"""Text in an event that nobody but its listeners may read, such as a link with a token: stored encrypted, never shown.

pydantic's `SecretStr` is stored the same way, in events and in arguments of jobs.

Example:
    class NoteShared(Event):
        link: Secret
"""


class PublicMark:
    """Marks a field of an event as no secret: `Annotated[str, PublicMark()]`, or `Public` for text."""


Public = Annotated[str, PublicMark()]
"""Text in an event that is shown as it is, though its name or its looks speak of a secret, such as a page's link.

Example:
    class PagePublished(Event):
        link: Public
"""


class Event(BaseModel, frozen=True, extra="forbid"):
    """Base of what a plugin announces; JSON-able fields only. The class name is past tense: `TaskCreated`.

    Example:
        class NoteWritten(Event):
            note_id: UUID
    """


Listener = Callable[[Any], Awaitable[None]]
"""`async def when_task_created(event: TaskCreated) -> None`; runs as a durable job in the event's tenant."""


@dataclass(frozen=True, slots=True)
class EventType:
    """An event this plugin announces, known to others as `<plugin>.<ClassName>`.

    Example:
        EventType(NoteWritten, "A note was written")
    """

    model: type[Event]
    summary: str


@dataclass(frozen=True, slots=True)
class Subscription:
    """`listener` hears of `event` ("<plugin>.<ClassName>") after commit, at least once, while its plugin is on.

    priority: of the job it hears in; lower runs first.

    Example:
        Subscription("host.MemberLeft", when_member_left)
    """

    event: str
    listener: Listener
    priority: int = 0


@dataclass(frozen=True, slots=True)
class MessageTemplate:
    """A text that a plugin wants sent to people, known as `<plugin>.<folder's name>`; `request_message` asks for it.

    folder: has `template.toml` (summary; a subject per locale; the variables, each with summary, example and whether it
    is optional; the category that readers may unsubscribe from) and the content per locale: `<locale>.mjml` or
    `<locale>.html`, and `<locale>.txt` beside it where the plain text is not to be made from it.

    Example:
        @hookimpl
        def register_message_templates() -> Sequence[MessageTemplate]:
            return [MessageTemplate(Path(__file__).parent / "templates" / "reminder")]
    """

    folder: Path

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.folder.name


# -- what a plugin declares ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Permission:
    """`<area>.<resource>.<action>`; the area is the plugin's id. `roles` names built-in roles that start with it.

    Example:
        READ = Permission("notes.notes.read", "Read notes", roles=("admin", "member", "viewer"))
    """

    name: str
    summary: str
    roles: tuple[str, ...] = ("admin",)


@dataclass(frozen=True, slots=True)
class Limit:
    """Something a plan limits, named `<plugin>.<what>`.

    kind: `rate` ("5/minute"; Redis), `quota` ("500/month" renews, "20" is a total; database) or `value`
    ("50 MB", "365"; only read). `unit` is what is counted, for people: "projects", "bytes".

    count: how many there are now in the bound tenant, for a quota without a period whose things are rows: `spend`
    counts them itself, one spender of a tenant at a time, so that the number cannot drift; call it before the row is
    written, in the same unit of work. There is nothing to give back.

    per: whether the whole tenant has it, or each person one of their own. parts: how many units are counted to one unit
    of the plan, where that is too coarse: 10,000 counts a limit of "25 USD/24 hours" in millionths of a dollar.

    Example:
        Limit("notes.notes", "quota", "How many notes there may be", "notes", default="20", count=NOTES.count)
    """

    name: str
    kind: Literal["rate", "quota", "value"]
    summary: str
    unit: str = ""
    default: str = "unlimited"
    count: Callable[[], Awaitable[int]] | None = None
    per: Literal["tenant", "person"] = "tenant"
    parts: int = 1


@dataclass(frozen=True, slots=True)
class PlanSource:
    """Says that this plugin chooses organisations' plans, with `assign_plan`; one plugin of a deployment may.

    summary: where plans come from, for people to read.

    Example:
        @hookimpl
        def register_plan_source() -> Sequence[PlanSource]:
            return [PlanSource("The organisation's subscription")]
    """

    summary: str


@dataclass(frozen=True, slots=True)
class Channel:
    """A bottleneck that jobs of a plugin go through, such as a provider that takes only so many at a time.

    name: "" for the channel that all tenants share, else the owner's name. concurrency: jobs at once, per process.
    interval: seconds between two jobs, per process; 0 without a rate. rest: how long it takes no jobs from now on.
    seconds: how long a job took lately, on average; 0 when that is not known.

    Example:
        async def channel() -> Channel:
            return Channel(concurrency=2, interval=0.5)
    """

    name: str = ""
    concurrency: int = 10
    interval: float = 0.0
    rest: timedelta = timedelta(0)
    seconds: float = 0.0


DAILY_CLEAN_UP = "0 2 * * *"
"""The cron line of clean-ups, so that a deployment's upkeep happens together.

Example:
    Task("forget", forget, "Forgets what is old", at=DAILY_CLEAN_UP)
"""

WEEKLY_REPORT = "0 9 * * 1"
"""The cron line of weekly reports.

Example:
    Task("report", report, "Reports the week", at=WEEKLY_REPORT)
"""

MONTHLY_ANALYTICS = "0 3 1 * *"
"""The cron line of monthly figures.

Example:
    Task("sum_up", sum_up, "Sums up the month", at=MONTHLY_ANALYTICS)
"""


@dataclass(frozen=True, slots=True)
class Task:
    """Background work, known as `<plugin>.<name>`; takes ids and plain values, never objects.

    timeout: seconds one try may take. tries: how often it is tried in all. backoff: seconds before the second
    try, doubled each time, with jitter.

    every: run it in each tenant where the plugin is on, this often. at: run it there at the times of a cron line, such
    as "0 9 * * 1" (Mondays at 9:00) or `DAILY_CLEAN_UP`, by the clock of `zone`: the tenant's time zone, or UTC. Each
    time comes once through clock changes and restarts; the last one missed is made up for within three days. Many
    tenants are spread over five minutes.

    batch_size: so many due jobs of one tenant may run as one call, where single calls would cost too much: `run` then
    takes one positional argument, a sequence with each job's arguments as stored (a dict of JSON values), and returns
    one outcome per job in that order: None for done, else the exception that job alone would have raised, `GiveUp` and
    `Postpone` included. What it raises itself counts for every one of them.

    channel: places of their own for work that waits on others: a `Channel`, or a function that is asked for it in the
    job's tenant before a run. Jobs then wait in the job store, tenants taking turns, until their channel has capacity,
    and do not count against the worker's concurrency: a slow channel delays nothing else.

    on_retry, on_cancel: what running a job again, or calling it off, means to the thing that it is about; given the
    job's arguments as stored, in the job's tenant and in the same transaction. What they raise refuses it: a `Conflict`
    whose message says why, or where else to do it.

    public: names of arguments, at any depth, that are shown as they are, though they look like secrets.

    any_tenant_state: it also runs where the tenant is suspended, leaving or has the plugin switched off: for what is
    owed to people all the same, such as keeping data no longer than promised.

    Example:
        Task("sweep", sweep, "Delete old notes", every=timedelta(days=1))
    """

    name: str
    run: Callable[..., Awaitable[Any]]
    summary: str
    timeout: float = 60.0
    tries: int = 3
    backoff: float = 5.0
    every: timedelta | None = None
    at: str = ""
    zone: Literal["tenant", "UTC"] = "tenant"
    batch_size: int = 1
    channel: Channel | Callable[[], Awaitable[Channel]] | None = None
    on_retry: Callable[[Mapping[str, Any]], Awaitable[object]] | None = None
    on_cancel: Callable[[Mapping[str, Any]], Awaitable[object]] | None = None
    public: tuple[str, ...] = ()
    any_tenant_state: bool = False


@dataclass(frozen=True, slots=True)
class HealthCheck:
    """`check` returns None when all is well, else a sentence saying what is wrong; 2 seconds at most.

    thorough: what `tenantry doctor` asks instead, where a real look takes longer or asks another system; 10 seconds.

    Example:
        HealthCheck("server", check_server)  # async def check_server() -> str | None
    """

    name: str
    check: Callable[[], Awaitable[str | None]]
    thorough: Callable[[], Awaitable[str | None]] | None = None


Readings = Sequence[tuple[tuple[str, ...], float]]
"""What a gauge is read as: (label values in the order declared, number) for each series.

Example:
    async def waiting() -> Readings:
        return [(("letters",), 3.0)]
"""

DURATIONS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds in seconds, for what people or requests wait for.

Example:
    Metric("tenantry_notes_export_seconds", "histogram", "How long exports take", buckets=DURATIONS)
"""


@dataclass(frozen=True, slots=True)
class Metric:
    """Something measured, named `tenantry_<plugin>_<what>_<unit>` (https://prometheus.io/docs/practices/naming/).

    kind: `counter` only rises and its name ends in `_total`; `histogram` sorts what is observed into `buckets` (upper
    bounds, rising); `gauge` goes up and down and is what `read` says. labels: every one there may be; never one that
    holds ids or what anonymous callers write. The label `tenant` is filled in with the bound tenant's slug, and is
    `other` for all but the most active tenants.
    read: asked when metrics are shown, with no tenant bound; 2 seconds at most, and its answer is kept for `keep`
    seconds. Every machine shows it, so dashboards take the maximum over machines. each_process: asked in every process
    every 5 seconds instead, and each machine shows the sum of its processes.
    most: how many series a process may have; what would be one more is counted as `other`.

    Example:
        Metric("tenantry_notes_written_total", "counter", "Notes that were written", labels=("kind",))
    """

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    summary: str
    labels: tuple[str, ...] = ()
    read: Callable[[], Awaitable[Readings]] | None = None
    buckets: tuple[float, ...] = DURATIONS
    each_process: bool = False
    keep: float = 10.0
    most: int = 500


@dataclass(frozen=True, slots=True)
class DayOfUse:
    """What a tenant's requests of one day (UTC) came to.

    Answered with 2xx or 3xx, 4xx, 5xx. seconds: how long all of them took together. counts: how many took how long,
    by the bounds in `DURATIONS`, the last one longer than any.

    Example:
        def requests(day: DayOfUse) -> int:
            return day.succeeded + day.refused + day.failed
    """

    day: date
    succeeded: int
    refused: int
    failed: int
    seconds: float
    counts: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class TakenUse:
    """Use by day, as one batch; the same `batch` comes again after an interruption and must not be counted twice.

    Example:
        async with taken_use() as use:
            await _store(use)  # async def _store(use: TakenUse) -> None
    """

    batch: str
    days: tuple[DayOfUse, ...]


@dataclass(frozen=True, slots=True)
class LiveChannel:
    """Messages about what happens now, named `<plugin>.<what>`; each key of it is a stream of its own in each tenant.

    history: so many messages are kept for followers who come back. seconds: how long they are kept after the last
    message or the last follower. may_follow: asked in the tenant, with the follower bound, before a key is followed and
    whenever the follower's rights may have changed; no ends it.

    Example:
        @hookimpl
        def register_live_channels() -> Sequence[LiveChannel]:
            return [LiveChannel("notes.changes", "Notes that are written, changed or removed")]
    """

    name: str
    summary: str
    history: int = 1000
    seconds: float = 600.0
    may_follow: Callable[[str], Awaitable[bool]] | None = None


@dataclass(frozen=True, slots=True)
class LiveMessage:
    """One message of a live channel or of a stream of server-sent events.

    event: its name. data: JSON-able; text is sent as it is. id: its position, from which a follower can go on; "" where
    there is none.

    Example:
        async def titles(messages: AsyncIterator[LiveMessage]) -> AsyncIterator[LiveMessage]:
            async for message in messages:
                note = await Note.get(id=message.data["id"])
                yield LiveMessage("note", {"text": note.text}, message.id)
    """

    event: str
    data: Any
    id: str = ""


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody whose data is asked for: with an account, or known by an e-mail address only.

    addresses: in the form in which addresses are stored. ids: of the account and of what belongs to it alone (sessions,
    API keys, jobs), by which records name the person without an address.

    Example:
        async def find(person: Person) -> int:
            return len(await rows_mentioning(Note, person))
    """

    addresses: tuple[str, ...]
    user_id: UUID | None = None
    ids: frozenset[UUID] = frozenset()


@dataclass(frozen=True, slots=True)
class PersonalData:
    """One kind of what a plugin holds of people.

    find: how many rows there are of a person; must change nothing. erase: erases them, however often it is called;
    how many rows it changed. Both are asked with each tenant bound in turn, and with `SYSTEM_TENANT`, for what
    belongs to no tenant; `of_account` instead: once, with none bound, and only when the account itself is erased. What
    mentions the person's address elsewhere in the plugin's tables is found and replaced by the host, except in
    `tables`, which `erase` alone changes. retained: what stays of it and why, for whoever asks.

    Example:
        PersonalData("notes", "Notes that name somebody", find, erase)
    """

    name: str
    summary: str
    find: Callable[[Person], Awaitable[int]]
    erase: Callable[[Person], Awaitable[int]]
    tables: tuple[str, ...] = ()
    of_account: bool = False
    retained: str = ""


@dataclass(frozen=True, slots=True)
class ExtensionPoint(Generic[T]):
    """Where other plugins may add to this one, named `<plugin>.<what>`; `contributions` reads what they have added.

    model: a pydantic model or frozen dataclass that everything added must fit; its docstring says what the point is
    for. Functions in it are `async def`, and run as their own plugin's code: in its name, within `timeout` seconds a
    call, with failures counted against it.

    Example:
        CARDS = ExtensionPoint("dashboard.cards", Card)

        @hookimpl
        def register_extension_points() -> Sequence[ExtensionPoint[Card]]:
            return [CARDS]
    """

    name: str
    model: type[T]
    timeout: float = 5.0


@dataclass(frozen=True, slots=True)
class Contribution:
    """What this plugin adds to another one's extension point: `content` has the fields of that point's model.

    Neither imports the other. It is ignored where the plugin that offers the point is not loaded, and hidden from
    tenants in which one of the two is off.

    Example:
        @hookimpl
        def register_contributions() -> Sequence[Contribution]:
            return [Contribution("dashboard.cards", {"title": "Local time", "read": local_time})]
    """

    point: str
    content: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Contributed(Generic[T]):
    """One contribution as the plugin that offers the point reads it: whose it is, and its content as the model.

    Example:
        titles = [card.content.title for card in await contributions(CARDS) if isinstance(card, Contributed)]
    """

    plugin: str
    content: T


Command = click.Command
"""A click command, mounted as `tenantry <plugin> <name>`; async bodies run with the host started.

Example:
    @click.command()
    async def recount() -> None: ...

    COMMANDS: tuple[Command, ...] = (recount,)
"""


# -- routes ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PublicCache:
    """How long anybody between here and the reader may keep an answer of a public route: `seconds`.

    tags: sent as Cache-Tag, by which content delivery networks forget it early.

    Example:
        @routes.get("/about", name="about.read", public=True, needs_tenant=False, cache=PublicCache(300))
        async def read_about() -> Row:
            return {"name": "Notes"}
    """

    seconds: int
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Route:
    """One endpoint. Exactly one of `permission`, `signed_in`, `operator`, `public` says who may call it.

    path: below `/api/v1`, with typed parameters: `/tasks/<uuid:task_id>`. body, query: pydantic models that
    refuse unknown fields. listing: a Records whose filters, sorts and cursors the query string may use.
    returns: the model or Records that shapes `data` in the OpenAPI document. declares: the permission and the limits
    that are declared with this route. needs_tenant: False for routes outside any organisation, such as `/me`.
    any_tenant_state: it also serves organisations that are suspended, leaving or have the plugin switched off, since
    people outside are owed it (to unsubscribe, to follow a link in a message). effects: a GET that does something
    besides answering, such as counting a click: HEAD and browsers that load ahead of time do not run it. limits: plan
    limits shown as `x-limits`. refusals: statuses that it answers with besides those of every route of its kind.
    request_headers, response_headers: names of headers that clients may send or read, besides those that every route of
    its kind has: scripts of other origins may then use them, too.
    socket: a WebSocket: GET opens it, the handler takes a `Socket`, and `max_body` bounds a message.

    Example:
        @hookimpl
        def register_routes() -> Sequence[Route]:
            return routes
    """

    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
    path: str
    handler: Callable[..., Awaitable[Any]]
    name: str  # "<resource>.<action>"; the operation id is "<plugin>.<name>"
    summary: str
    permission: str | None = None
    declares: tuple[Permission | Limit, ...] = ()
    signed_in: bool = False
    operator: bool = False
    public: bool = False
    needs_tenant: bool = True
    any_tenant_state: bool = False
    effects: bool = False
    body: type[BaseModel] | None = None
    query: type[BaseModel] | None = None
    listing: Any = None
    returns: Any = None
    status: int = 200
    limit_class: Literal["public", "authenticated", "signed"] | None = None  # None: by who is calling
    limits: tuple[str, ...] = ()
    refusals: tuple[int, ...] = ()
    max_body: int | None = None  # bytes; None: the deployment's limit
    request_headers: tuple[str, ...] = ()
    response_headers: tuple[str, ...] = ()
    cache: PublicCache | None = None  # only on public GET routes; every other answer is nobody's to keep
    socket: bool = False


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a list: `next_cursor` is None on the last one.

    Example:
        async def list_notes(query: Query) -> Page:
            return await NOTES.page(query)
    """

    items: Sequence[Any]
    limit: int
    next_cursor: str | None = None


@dataclass(frozen=True, slots=True)
class Query:
    """What a list request asks for: already checked against the Records it goes to.

    Example:
        await NOTES.page(Query(limit=10, sort="-created_at", filters={"author_id": author_id}))
    """

    limit: int = 20
    cursor: str | None = None
    sort: str = ""  # field name, "-" before it for descending
    filters: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Created:
    """A 201 answer: `data` and the path (below `/api/v1`) of the new resource.

    Example:
        return Created(note, f"/notes/{note['id']}")
    """

    data: Any
    location: str


@dataclass(frozen=True, slots=True)
class Accepted:
    """A 202 answer: the work goes on after it.

    Example:
        return Accepted({"job_id": job_id}, f"/jobs/{job_id}")
    """

    data: Any
    location: str | None = None


@dataclass(frozen=True, slots=True)
class Stream:
    """A raw answer, streamed with the tenant still bound to its last byte.

    Example:
        return Stream(lines(), "text/csv; charset=utf-8", headers={"Content-Disposition": "attachment"})
    """

    body: AsyncIterator[bytes] | bytes
    content_type: str
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Events:
    """An answer of server-sent events, for as long as the client stays and may: GET only.

    source: gives the messages after a position, which is the last id that the client has (`Last-Event-ID`, or
    `?last_event_id=` where it can send no header), "" at first. retry: seconds after which a client that lost the
    connection connects again.

    The stream ends when the source does, within a second after the right is gone (session, role, permission, tenant,
    plugin), within half a minute after the access token or key it began with has expired, and when the process stops; a
    client then connects again and goes on after its position. A comment keeps a quiet connection open. How many streams
    a person may have open is `[rates] open_streams`.

    Example:
        @routes.get("/notes/events", name="notes.follow", permission="notes.notes.read")
        async def follow() -> Events:
            \"\"\"What changes in notes, as it happens.\"\"\"
            return Events(lambda after: live("notes.changes").follow("all", after))
    """

    source: Callable[[str], AsyncIterator[LiveMessage]]
    retry: float = 2.0


@dataclass(frozen=True, slots=True)
class Download:
    """A file as an answer: GET and HEAD, conditional requests and ranges are answered from what is said here.

    size: bytes. open: `await open(start, stop)` gives the bytes from `start` up to, without, `stop` as an iterator,
    which is read at the client's pace and closed when the client leaves; it is not called where no byte is sent. Asked
    for several ranges at once, the whole is the answer. etag: changes whenever the bytes do, such as a digest or the id
    of a version: ASCII without quotation marks; "" without one. modified: when they last changed.

    filename: any text; it is made safe. inline: shown instead of saved, where its media type is one that cannot run as
    a page: images but SVG, sound, video, plain text, PDF. cache_control: who may keep it, and how long.

    Example:
        stored = await storage().stat(key)
        content = partial(storage().get, key)
        return Download(stored.size, stored.etag, stored.modified_at, content, "report.pdf")
    """

    size: int
    etag: str
    modified: datetime | None
    open: Callable[[int, int], Awaitable[AsyncIterator[bytes]]]
    filename: str
    media_type: str = "application/octet-stream"
    inline: bool = False
    cache_control: str = "private, no-store"


@dataclass(frozen=True, slots=True)
class Answer:
    """A JSON answer that also sets headers or cookies (`Set-Cookie` values as in RFC 6265).

    Example:
        return Answer({"text": text}, headers={"Cache-Control": "private, max-age=60"})
    """

    data: Any
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    cookies: tuple[str, ...] = ()


# -- decisions -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Decision:
    """A yes or no with the steps that led to it, in order, as sentences for people.

    Example:
        return Decision(False, "Notes are read-only on Sundays.")
    """

    allowed: bool
    reason: str
    steps: tuple[str, ...] = ()
    code: str = ""  # the error code a refusal is answered with
