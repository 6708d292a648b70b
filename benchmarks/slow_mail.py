"""Benchmark how long tenants wait behind a slow mail server: `python -m benchmarks.slow_mail`.

Two workers, a server that takes a second for each message (SLOW_SECONDS), one tenant's batch of thousands
(BENCH_MESSAGES). Meanwhile another tenant sends one message and somebody forgets a password, every two seconds for 90
(SLOW_FOR); then the batch is cancelled. Needs PostgreSQL and Redis as `benchmarks.bench` does.
"""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

from benchmarks.bench import NO_LIMIT, TENANTRY, Bench
from benchmarks.mail import Post, Sink, workers

SECONDS = float(os.environ.get("SLOW_SECONDS", "1"))
LONG = float(os.environ.get("SLOW_FOR", "90"))


def _waits(begun: dict[str, float], arrived: dict[str, float], what: str) -> None:
    took = sorted(arrived[name] - at for name, at in begun.items() if name in arrived)
    if took:
        print(
            f"{what:<24} {len(took)} of {len(begun)} arrived, p50 {took[len(took) // 2]:.2f} s, "
            f"p99 {took[int(len(took) * 0.99)]:.2f} s"
        )


def main() -> None:
    with (
        tempfile.TemporaryDirectory(prefix="tb") as name,
        Bench(Path(name)).running() as bench,
        Sink(bench.folder, SECONDS) as sink,
    ):
        bench.environment |= sink.settings | {"TENANTRY_RATES__SIGN_IN": NO_LIMIT}
        bench.tenantry("migrate")
        log = bench.folder / "workers.log"
        with bench.application("tenantry") as application:
            busy, other = Post(bench, application, "busy"), Post(bench, application, "other")
            people = [f"person{number}@reset.example" for number in range(int(LONG / 2))]
            for email in people:
                body = {"email": email, "password": "a long enough passphrase", "name": "P"}
                busy.ask("/auth/register", body)
            with workers([TENANTRY, "worker"], 2, bench.environment, log):
                sink.wait_for(4 + 2 * len(people))
                sink.empty()
                busy.batch()
                sink.wait_for(20)
                singles, resets = dict[str, float](), dict[str, float]()
                for number, email in enumerate(people):
                    began = time.time()
                    singles[other.single(number)] = began
                    resets[email] = time.time()
                    other.ask("/auth/password/forgot", {"email": email})
                    time.sleep(max(0.0, began + 2 - time.time()))
                [batch] = batches_of(busy)
                called_off = time.time()
                busy.ask(f"/mail/batches/{batch}/cancel", {})
                time.sleep(15 + 2 * SECONDS)
                arrivals = sink.arrivals()
                _waits(singles, {each.message_id: each.at for each in arrivals}, "another tenant's message")
                _waits(resets, {each.to: each.at for each in arrivals}, "a password reset")
                late = [each.at - called_off for each in arrivals if each.at > called_off and each.to not in resets]
                print(f"{'batch called off':<24} {len(late)} more left, the last after {max(late, default=0.0):.2f} s")
                print(f"{'taken':<24} {len(arrivals)} in {arrivals[-1].at - arrivals[0].at:.0f} s")
                states = (each.ask("/mail/stats", {}, "GET")["rows"] for each in (busy, other))
                print(f"{'failed':<24} {[sum(row['failed'] for row in each) for each in states]}")


def batches_of(post: Post) -> list[str]:
    """The ids of a tenant's batches."""
    return [row["id"] for row in post.ask("/mail/batches", {}, "GET")]


if __name__ == "__main__":
    main()
