"""Benchmark the mail plugin against SAQ alone, sending to one mail server: `python -m benchmarks.mail`.

The same 10,000 messages are accepted first and then delivered by 1 and by 4 worker processes, in turns; a delivery is
counted when the mail server has taken it. Then a password reset of another tenant is sent again and again while a
batch runs. Needs PostgreSQL and Redis as `benchmarks.bench` does; about five minutes.

`python -m benchmarks.mail accept` only has batches accepted, and says what that costs of processor time.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import raw_saq
from benchmarks.bench import ROOT, TENANTRY, Bench
from benchmarks.servers import Server, free_port, proportional

MESSAGES, ROUNDS, RESETS = int(os.environ.get("BENCH_MESSAGES", "10000")), 2, 150


@dataclass(frozen=True)
class Arrival:
    """One message at the mail server."""

    at: float
    message_id: str
    to: str


class Sink:
    """The mail server, in a process of its own."""

    def __init__(self, folder: Path, seconds: float = 0.0) -> None:
        """seconds: how long it takes for each message."""
        self.port, self.file, self._seconds = free_port(), folder / "sink.txt", seconds

    def __enter__(self) -> Sink:
        self.file.touch()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.sink", str(self.port), str(self.file), str(self._seconds)], cwd=ROOT
        )
        time.sleep(1)
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()

    @property
    def settings(self) -> dict[str, str]:
        """What makes it the deployment's provider."""
        where = {"HOST": "127.0.0.1", "PORT": str(self.port), "TLS": "none"}
        smtp = {f"TENANTRY_MAIL__SMTP__{name}": value for name, value in where.items()}
        return {"TENANTRY_MAIL__PROVIDERS": "smtp", **smtp}

    def arrivals(self) -> list[Arrival]:
        """What came since the last `empty`."""
        lines = self.file.read_text().splitlines()
        return [Arrival(float(at), message_id, to) for at, message_id, to in (line.split(" ") for line in lines)]

    def wait_for(self, count: int, seconds: float = 180) -> list[Arrival]:
        """All arrivals, once there are so many."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if self.file.read_bytes().count(b"\n") >= count:
                return self.arrivals()
            time.sleep(0.05)
        raise RuntimeError(f"only {len(self.arrivals())} of {count} messages came within {seconds:g} seconds")

    def empty(self) -> None:
        """Forget what came."""
        os.truncate(self.file, 0)


@contextlib.contextmanager
def workers(command: list[str], count: int, environment: dict[str, str], log: Path) -> Iterator[list[int]]:
    """So many worker processes; their ids."""
    with log.open("a") as out:
        running = [
            subprocess.Popen(command, cwd=ROOT, env={**os.environ, **environment}, stdout=out, stderr=out)
            for _ in range(count)
        ]
    try:
        yield [each.pid for each in running]
    except RuntimeError as error:
        raise RuntimeError(f"{error}; the workers say:\n{log.read_text()[-3000:]}") from error
    finally:
        for each in running:
            each.send_signal(signal.SIGTERM)
        for each in running:
            with contextlib.suppress(subprocess.TimeoutExpired):
                each.wait(20)
            each.kill()


class Post:
    """The host's web process, asked as an owner of a tenant would."""

    def __init__(self, bench: Bench, application: Server, slug: str) -> None:
        self._token, self._asked = "", 0.0
        self._connection = http.client.HTTPConnection("127.0.0.1", application.port, timeout=120)
        person = self.ask("/auth/register", {
            "email": f"{slug}@example.com", "password": "a long enough passphrase", "name": slug, "tenant_name": slug,
        })  # fmt: skip
        self._token = person["access_token"]
        for limit in ("mail.monthly", "mail.rate"):
            bench.tenantry("limits", "set", slug, limit, "unlimited")
        jinja = {"name": "{{ name }}", "number": "{{ number }}"}
        text, html = raw_saq.TEXT.format(**jinja), raw_saq.HTML.format(**jinja)
        template = {"subject": "Newsletter {{ number }}", "text": text, "html": html}
        self.ask("/mail/templates/bench", template, "PUT")

    def ask(self, path: str, body: dict[str, Any], method: str = "POST") -> Any:
        """The data of the answer."""
        headers = {"Content-Type": "application/json"}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        if time.monotonic() - self._asked > 2:  # the server ends a connection that is silent for longer
            self._connection.close()
        self._connection.request(method, f"/api/v1{path}", json.dumps(body), headers)
        answer = json.load(self._connection.getresponse())
        self._asked = time.monotonic()
        if not answer["success"]:
            raise RuntimeError(f"{method} {path}: {answer}"[:1000])
        return answer["data"]

    def batch(self) -> float:
        """Have a batch accepted; seconds it took."""
        recipients = [
            {"to": f"person{number}@example.com", "variables": {"name": f"Person {number}", "number": number}}
            for number in range(MESSAGES)
        ]
        begun = time.perf_counter()
        self.ask("/mail/batches", {"category": "newsletter", "template": "bench", "recipients": recipients})
        return time.perf_counter() - begun

    def single(self, number: int) -> str:
        """Have one message accepted; its Message-ID."""
        body = {"to": [f"reset{number}@example.com"], "subject": "Your new password", "text": "Follow the link."}
        accepted: str = self.ask("/mail/messages", body)["message_id"]
        return accepted


def rate_of(arrivals: list[Arrival]) -> float:
    """Messages per second from the first to the last."""
    times = sorted(each.at for each in arrivals)
    return (len(times) - 1) / (times[-1] - times[0])


def saq_round(bench: Bench, sink: Sink, count: int, log: Path) -> tuple[float, float]:
    """Messages accepted and delivered a second by SAQ alone."""
    sink.empty()
    begun = time.perf_counter()
    asyncio.run(raw_saq.accept(bench.redis, MESSAGES))
    accepted = MESSAGES / (time.perf_counter() - begun)
    command = [sys.executable, "-m", "benchmarks.raw_saq", "work", bench.redis, str(sink.port)]
    with workers(command, count, {}, log):
        return accepted, rate_of(sink.wait_for(MESSAGES))


def host_round(bench: Bench, sink: Sink, post: Post, count: int, log: Path) -> tuple[float, float, list[float]]:
    """The same by the host, and what each worker holds in memory at the start and the end, in MB."""
    sink.empty()
    accepted = MESSAGES / post.batch()
    with workers([TENANTRY, "worker"], count, bench.environment, log) as pids:
        sink.wait_for(min(1000, MESSAGES))
        early = max(proportional(pid) for pid in pids) / 1024
        arrivals = sink.wait_for(MESSAGES)
        late = max(proportional(pid) for pid in pids) / 1024
    ids, people = {each.message_id for each in arrivals}, {each.to for each in arrivals}
    if len(arrivals) != MESSAGES or len(ids) != MESSAGES or len(people) != MESSAGES:
        raise RuntimeError(f"{len(arrivals)} messages came, with {len(ids)} Message-IDs for {len(people)} people")
    return accepted, rate_of(arrivals), [early, late]


def resets(bench: Bench, sink: Sink, busy: Post, other: Post, log: Path) -> list[float]:
    """Seconds from accepting one tenant's single message to its hand-over, while another's batch is sent."""
    sink.empty()
    busy.batch()
    accepted: dict[str, float] = {}
    with workers([TENANTRY, "worker"], 1, bench.environment, log):
        sink.wait_for(100)
        for number in range(RESETS):
            begun = time.time()
            accepted[other.single(number)] = begun
            time.sleep(0.05)
        behind = MESSAGES + RESETS - len(sink.arrivals())
        if behind < MESSAGES // 10:
            print(f"(the batch was nearly through: {behind} messages were left when the last reset was accepted)")
        arrived = {each.message_id: each.at for each in sink.wait_for(MESSAGES + RESETS)}
    return sorted(arrived[message_id] - begun for message_id, begun in accepted.items())


def singles(post: Post, count: int = 1000) -> float:
    """Messages a second accepted one by one over one connection."""
    begun = time.perf_counter()
    for number in range(count):
        post.single(number)
    return count / (time.perf_counter() - begun)


def acceptance(application: Server, post: Post) -> None:
    """Print how many messages of a batch are accepted a second, and how many a second of processor time."""
    for _ in range(3):
        used = application.cpu_seconds()
        took = post.batch()
        used = application.cpu_seconds() - used
        print(f"accepted in one batch: {MESSAGES / took:.0f}/s, {MESSAGES / used:.0f} per second of processor time")


def main() -> None:
    with (
        tempfile.TemporaryDirectory(prefix="tb") as name,
        Bench(Path(name)).running() as bench,
        Sink(bench.folder) as sink,
    ):
        bench.environment |= sink.settings
        bench.tenantry("migrate")
        log = bench.folder / "workers.log"
        with bench.application("tenantry") as application:
            if sys.argv[1:] == ["accept"]:
                acceptance(application, Post(bench, application, "busy"))
                return
            busy, other = Post(bench, application, "busy"), Post(bench, application, "other")
            with workers([TENANTRY, "worker"], 1, bench.environment, log):
                sink.wait_for(4)  # a welcome and a verification for each of the two owners
            web_before = application.megabytes()
            print(f"{'':<34} {'ratio':>6} {'SAQ':>9} {'tenantry':>9}")
            for count in (1, 4):
                raw, ours = [], []
                for _ in range(ROUNDS):
                    raw.append(saq_round(bench, sink, count, log))
                    ours.append(host_round(bench, sink, busy, count, log))
                _line(f"delivered, {count} worker(s)", [each[1] for each in raw], [each[1] for each in ours])
                if count == 1:
                    _line("accepted in one batch", [each[0] for each in raw], [each[0] for each in ours])
                early, late = ours[-1][2]
                print(f"  memory of a worker: {early:.0f} MB after 1,000 messages, {late:.0f} MB after {MESSAGES:,}")
            took = resets(bench, sink, busy, other, log)
            median, worst = took[len(took) // 2], took[int(len(took) * 0.99)]
            print(f"reset to hand-over while a batch runs: p50 {median:.2f} s, p99 {worst:.2f} s")
            print(f"accepted one by one, one connection: {singles(other):.0f}/s")
            print(f"memory of the web process: {web_before:.0f} MB, after all that {application.megabytes():.0f} MB")


def _line(what: str, raw: list[float], ours: list[float]) -> None:
    ratio = statistics.median(mine / theirs for theirs, mine in zip(raw, ours, strict=True))
    print(f"{what:<34} {ratio:6.2f} {statistics.median(raw):7.0f}/s {statistics.median(ours):7.0f}/s")


if __name__ == "__main__":
    main()
