"""What tests of mail share: acting in a tenant as the plugin, and messages that were handed to a provider."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from host.execution_context import as_plugin
from host.jobs.models import Job, JobState
from host.sdk import Channel, app_singleton, sign_token
from host.testing import Client, TestApplication
from plugins.mail.models import Message, Status
from plugins.mail.outgoing import Outgoing, mime
from plugins.mail.providers.contract import Receipt
from plugins.mail.service.dispatcher import Dispatchers
from tenants.context import bind

Within = Callable[[Client], AbstractContextManager[None]]


@dataclass(frozen=True)
class Sent:
    """A message that was handed over; `reference` is what providers bring back."""

    id: UUID
    reference: str
    client: Client

    async def look(self) -> dict[str, Any]:
        """The message as the API shows it."""
        found: dict[str, Any] = await self.client.ask("GET", f"/mail/messages/{self.id}")
        return found


SendTo = Callable[..., Awaitable[Sent]]


@pytest.fixture
def within(application: TestApplication) -> Within:
    """Stands in a client's tenant as the plugin's own code does."""

    @contextmanager
    def stand(client: Client) -> Iterator[None]:
        with application.inner.bound(), bind(client.tenant_id), as_plugin("mail"):
            yield

    return stand


@pytest.fixture
def sent(within: Within) -> SendTo:
    """Makes messages that were handed over: `await sent(client, "ada@example.com")`, with columns at will."""

    async def make(client: Client, to: str = "ada@example.com", **columns: Any) -> Sent:
        now = datetime.now(UTC)
        values = {
            "status": Status.SENT,
            "category": "transactional",
            "sent_at": now,
            "subject": "Hello",
            "text": "Hello",
        }
        with within(client):
            row = await Message.create(
                sender="news@acme.example",
                to=[to],
                recipients=to,
                message_id=f"<{uuid4()}@acme.example>",
                **(values | columns),
            )
            return Sent(row.id, sign_token("feedback", message=str(row.id)), client)

    return make


Answer = Callable[[Outgoing], Receipt | Exception | None]


class Outbound:
    """The deployment's relay, played: writes down what it is handed, and answers as told.

    Every message is put on the network form, so what could not be sent is found out here too.
    """

    channels: tuple[Any, ...] = ()

    def __init__(self) -> None:
        self.handed: list[Outgoing] = []
        self.taken: list[Outgoing] = []
        self.answers: list[Answer] = []
        self.always: Answer = lambda outgoing: None
        self.before: Callable[[Outgoing], Awaitable[object]] | None = None

    def once(self, *answers: Exception) -> None:
        """The next messages are answered so, one after the other."""
        self.answers += [lambda outgoing, each=answer: each for answer in answers]  # type: ignore[misc]

    async def deliver(self, outgoing: Outgoing) -> Receipt:
        assert mime(outgoing)
        self.handed.append(outgoing)
        if self.before is not None:
            await self.before(outgoing)
        answer = (self.answers.pop(0) if self.answers else self.always)(outgoing)
        if isinstance(answer, Exception):
            raise answer
        self.taken.append(outgoing)
        return answer or Receipt("played", f"id-{len(self.taken)}")

    def channel(self, name: str = "") -> Channel:
        return Channel(name)

    async def check(self) -> str | None:
        return None

    async def close(self) -> None:
        pass

    @property
    def recipients(self) -> list[str]:
        """Everybody who got something, in order of the alphabet; twice who got it twice."""
        return sorted(email for outgoing in self.taken for email in outgoing.recipients)


@pytest.fixture
async def outbound(application: TestApplication) -> AsyncIterator[Outbound]:
    """What leaves the host, instead of the provider `file`."""
    played = Outbound()
    with application.inner.bound(), as_plugin("mail"):
        app_singleton(Dispatchers).application = played  # type: ignore[assignment]
        yield played


MakeDue = Callable[[], Awaitable[int]]


@pytest.fixture
def make_due(application: TestApplication) -> MakeDue:
    """Lets the time come that waiting jobs and messages wait for, and runs the jobs; how many there were."""

    async def make() -> int:
        with application.inner.bound():
            await Job.filter(state=JobState.SCHEDULED).update(run_at=datetime.now(UTC) - timedelta(seconds=1))
        return await application.run_jobs()

    return make
