"""Mail through a server that refuses, stalls, drops and greylists, while workers are killed and Redis is emptied.

A long run, `make torture`: MAIL_MESSAGES (10,000), MAIL_KILLS (200) and TORTURE_SEED say how much and which.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from email import message_from_bytes
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

from host.cache.embedded import _binary
from tests.journeys.conftest import OPERATOR, ROOT, Person, Server, free_port

MESSAGES = int(os.environ.get("MAIL_MESSAGES", "10000"))
KILLS = int(os.environ.get("MAIL_KILLS", "200"))
SEED = int(os.environ.get("TORTURE_SEED", "1"))
MOODS = (("refuse", 60), ("never", 80), ("greylist", 200), ("stall", 203), ("drop", 240), ("late", 280))  # of 1,000
WORKERS, SINGLES, BATCHES = 2, 10, 5  # one message in ten is sent alone, the others in batches while workers die
IN_FLIGHT = 5.0  # seconds before a kill in which a message may have arrived that nobody had written down


class Trouble:
    """A mail server in a bad way. What it does to a recipient is decided by the seed, so a run can be repeated."""

    def __init__(self) -> None:
        # recipient -> (Message-ID, time), one for each time it arrived
        self.taken: dict[str, list[tuple[str, float]]] = defaultdict(list)
        self.asked: Counter[str] = Counter()

    @staticmethod
    def mood(recipient: str) -> str:
        number = int.from_bytes(hashlib.sha256(f"{SEED} {recipient}".encode()).digest()[:2], "big") % 1000
        for mood, until in MOODS:
            if number < until:
                return mood
        return "good"

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        self.asked[address] += 1
        match self.mood(address):
            case "refuse":
                return "550 5.1.1 there is nobody of that name"
            case "never":
                return "451 4.3.0 not today"
            case "greylist" if self.asked[address] == 1:
                return "451 4.7.1 come again"
        envelope.rcpt_tos.append(address)
        return "250 fine"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        [recipient] = envelope.rcpt_tos
        mood, first = self.mood(recipient), self.asked[recipient] == 1
        if mood == "stall" and first:
            await asyncio.sleep(6)
            return "451 4.4.2 too slow"
        if mood == "drop" and first:
            server.transport.close()
            return ""
        assert isinstance(envelope.content, bytes)
        message_id = str(message_from_bytes(envelope.content)["Message-ID"])
        self.taken[recipient].append((message_id, time.monotonic()))
        if mood == "late" and first:  # it has the message, and the sender never hears so
            server.transport.close()
        return "250 taken"


@pytest.fixture
def trouble() -> Iterator[tuple[Trouble, int]]:
    handler, port = Trouble(), free_port()
    controller = Controller(handler, hostname="127.0.0.1", port=port)
    controller.start()
    yield handler, port
    controller.stop()


class OwnRedis:
    """A Redis of the test's own, with nothing on disk."""

    def __init__(self, folder: Path) -> None:
        self.port, self.folder = free_port(), folder
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        command = [_binary(), "--port", str(self.port), "--save", "", "--appendonly", "no", "--dir", str(self.folder)]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        until = time.monotonic() + 20
        while time.monotonic() < until:
            with contextlib.suppress(redis.RedisError):
                if redis.Redis(port=self.port).ping():
                    return
            time.sleep(0.05)
        raise AssertionError("Redis did not start")

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()


class Workers:
    """Worker processes that are killed and come again."""

    def __init__(self, environment: dict[str, str], log: Path) -> None:
        self.environment, self.log = environment, log
        self.running: list[subprocess.Popen[bytes]] = []
        self.kills: list[float] = []

    def start(self) -> None:
        command = [str(Path(sys.executable).with_name("tenantry")), "worker"]
        with self.log.open("ab") as log:
            self.running.append(subprocess.Popen(command, cwd=ROOT, env=self.environment, stdout=log, stderr=log))

    def kill(self, number: int) -> None:
        worker = self.running.pop(number)
        worker.send_signal(signal.SIGKILL)
        worker.wait()
        self.kills.append(time.monotonic())

    def stop(self) -> None:
        for worker in self.running:
            worker.terminate()
        for worker in self.running:
            worker.wait(30)


class Sender(threading.Thread):
    """Sends messages one by one, again where no answer came, and remembers those it was told are accepted."""

    def __init__(self, person: Person, recipients: list[str]) -> None:
        super().__init__(daemon=True)
        self.person, self.recipients, self.accepted = person, recipients, 0

    def run(self) -> None:
        for recipient in self.recipients:
            body = {"to": [recipient], "subject": "One", "text": "Alone."}
            while True:
                with contextlib.suppress(httpx.TransportError):
                    headers = {"Idempotency-Key": recipient}
                    answer = self.person.client.post("/mail/messages", json=body, headers=headers)
                    if answer.status_code == 202:
                        self.accepted += 1
                        break
                    assert answer.status_code in (409, 503), answer.text
                time.sleep(0.2)


def _everything(ada: Person, **filters: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    cursor: str | None = ""
    while cursor is not None:
        page = ada.client.get("/mail/messages", params={"limit": "100", "cursor": cursor, **filters}).json()
        found += page["data"]
        cursor = page["meta"]["next_cursor"]
    return found


@pytest.mark.torture
@pytest.mark.timeout(3600)
async def test_mail_when_everything_breaks_then_each_message_arrives_or_fails_with_its_reason(
    new_place: Any, backend: str, tmp_path: Path, trouble: tuple[Trouble, int]
) -> None:
    if backend == "sqlite":
        pytest.skip("several worker processes share a database server")
    chance, (peer, smtp_port), own_redis = random.Random(SEED), trouble, OwnRedis(tmp_path)
    own_redis.start()
    environment = {
        "DATABASE_URL": (await new_place())["url"],
        "REDIS_URL": own_redis.url,
        "TENANTRY_SERVER__RUN_JOBS": "false",
        "TENANTRY_JOBS__LEASE": "5",
        "TENANTRY_IDENTITY__ACCESS_TOKEN_MINUTES": "600",
        "TENANTRY_RATES__AUTHENTICATED": "1000000/minute",
        "TENANTRY_MAIL__PROVIDERS": "smtp",
        "TENANTRY_MAIL__SMTP__HOST": "127.0.0.1",
        "TENANTRY_MAIL__SMTP__PORT": str(smtp_port),
        "TENANTRY_MAIL__SMTP__TLS": "none",
        "TENANTRY_MAIL__SMTP__TIMEOUT": "3",
        "TENANTRY_MAIL__FIRST_RETRY": "2",
        "TENANTRY_MAIL__RETRY_HOURS": "0.002",
    }
    server = Server(tmp_path, environment)
    workers = Workers(server.environment, tmp_path / "workers.log")
    try:
        server.start()
        with Person(server, "ada@example.com") as ada:
            await asyncio.to_thread(_storm, ada, workers, own_redis, chance)
            await asyncio.to_thread(_judge, ada, peer, workers.kills)
    finally:
        workers.stop()
        server.stop()
        own_redis.kill()


def _storm(ada: Person, workers: Workers, own_redis: OwnRedis, chance: random.Random) -> None:
    ada.register("Ada", "Acme")
    with Person(ada.server, *OPERATOR) as boss:
        boss.login()
        for limit in ("mail.monthly", "mail.rate"):
            boss.ask("PUT", f"/operator/tenants/acme/limits/{limit}", json={"value": "unlimited"})
    recipients = [f"person{number}@example.com" for number in range(MESSAGES)]
    alone, together = recipients[::SINGLES], [each for n, each in enumerate(recipients) if n % SINGLES]
    said = "Hello {{ name }}, all is well."
    ada.ask("PUT", "/mail/templates/storm", 201, json={"subject": said, "html": f"<p>{said}</p>"})
    sender = Sender(ada, alone)
    sender.start()
    for _ in range(WORKERS):
        workers.start()
    begun = {KILLS * part // BATCHES: together[part::BATCHES] for part in range(BATCHES)}
    emptied = {KILLS // 3, 2 * KILLS // 3}
    for number in range(KILLS):
        if number in begun:
            _send(ada, begun[number])
        time.sleep(chance.uniform(0.6, 2.2))
        if number in emptied:
            own_redis.kill()
            own_redis.start()
        workers.kill(chance.randrange(WORKERS))
        workers.start()
    sender.join(300)
    assert sender.accepted == len(alone)
    until = time.monotonic() + 900
    while time.monotonic() < until:
        counts = {status: len(_some(ada, status)) for status in ("queued", "scheduled", "sending", "deferred")}
        batches = ada.client.get("/mail/batches").json()["data"]
        if not any(counts.values()) and {batch["status"] for batch in batches} == {"done"}:
            return
        time.sleep(3)
    raise AssertionError(f"not everything came to its end: {counts}")


def _send(ada: Person, recipients: list[str]) -> None:
    named = [{"to": each, "variables": {"name": each.partition("@")[0]}} for each in recipients]
    body = {"category": "transactional", "template": "storm", "recipients": named}
    headers = {"Idempotency-Key": recipients[0]}
    while (answer := ada.client.post("/mail/batches", json=body, headers=headers)).status_code != 202:
        assert answer.status_code in (409, 503), answer.text
        time.sleep(0.2)


def _some(ada: Person, status: str) -> list[Any]:
    found: list[Any] = ada.client.get("/mail/messages", params={"status": status, "limit": "1"}).json()["data"]
    return found


def _judge(ada: Person, peer: Trouble, kills: list[float]) -> None:
    rows = {row["to"][0]: row for row in _everything(ada)}
    assert len(rows) == MESSAGES
    by_end = Counter(row["status"] for row in rows.values())
    doubles = {to: [at for _, at in each] for to, each in peer.taken.items() if to in rows and len(each) > 1}
    summary = f"{MESSAGES} messages, {KILLS} kills, Redis emptied twice: {dict(by_end)}; {len(doubles)} arrived again"
    print(f"\n{summary}")  # noqa: T201 - what a long run is for
    assert set(by_end) <= {"sent", "bounced", "failed"}
    for to, row in rows.items():
        arrived = {message_id for message_id, _ in peer.taken.get(to, [])}
        assert arrived <= {row["message_id"]}, f"{to} got a message of another Message-ID"
        if row["status"] == "sent":
            assert arrived, f"{to}: said to be sent, never arrived"
        else:
            assert row["error"], f"{to}: {row['status']} without a reason"
            assert Trouble.mood(to) in ("refuse", "never") or not arrived or row["status"] == "failed", to
        if Trouble.mood(to) == "refuse":
            assert row["status"] == "bounced"
    assert len({row["message_id"] for row in rows.values()}) == MESSAGES
    for to, times in doubles.items():
        ended = [earlier for earlier in times[:-1] if not any(0 < kill - earlier < IN_FLIGHT for kill in kills)]
        assert not ended or (Trouble.mood(to) == "late" and ended == times[:1]), f"{to} was sent again without need"
