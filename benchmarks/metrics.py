"""Measure what counting costs and what a scrape costs: `python -m benchmarks.metrics`.

Counting: CPU time of one call, in a process of its own (in memory) and in one of several (multiprocess files).
Scrape: four processes with 200 operations, 500 tenants of which the 20 most active have series of their own, and 100
hooks.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from time import process_time
from uuid import uuid4

from prometheus_client.exposition import generate_latest

from host.core_metrics import METRICS
from host.instruments import Meter, count, measuring, observe, tally
from host.metrics import process_files
from host.metrics.metering import Measured

REQUESTS, REQUEST_TIME = "tenantry_http_requests_total", "tenantry_http_request_duration_seconds"
HOOK_TIME = "tenantry_hook_duration_seconds"
PROCESSES, OPERATIONS, TENANTS, HOOKS, CALLS = 4, 200, 500, 100, 50_000


def counting(where: str) -> None:
    """Print the CPU time of each way to count."""
    bound = Meter(METRICS)
    calls: dict[str, Callable[[], None]] = {
        "tally": lambda: tally("tenantry_http_errors_total", "NOT_FOUND", "projects"),
        "count": lambda: count("tenantry_http_errors_total", code="NOT_FOUND", plugin="projects"),
        "observe": lambda: observe("tenantry_hook_duration_seconds", 0.003, plugin="audit", hook="on_action"),
        "series.observe": lambda: bound.histograms["tenantry_database_duration_seconds"]["audit",].observe(0.003),
    }
    with measuring(bound):
        for name, call in calls.items():
            print(f"{where:20} {name:16} {min(_nanoseconds(call) for _ in range(5)):6.0f} ns")


def _nanoseconds(call: Callable[[], None]) -> float:
    began = process_time()
    for _ in range(CALLS):
        call()
    return (process_time() - began) / CALLS * 1e9


def fill(folder: Path) -> None:
    """Count in this process as a busy one does, and stay until nobody reads."""
    with process_files.shared(folder):
        bound = Meter(METRICS)
        bound.top_tenants = {f"tenant-{number}" for number in range(20)}
        requests, hooks = bound.counters[REQUESTS], bound.histograms[HOOK_TIME]
        for number in range(OPERATIONS):
            for status in ("200", "404", "422"):
                requests[f"plugin.resource.{number}", "GET", status, "plugin"].inc()
            bound.histograms[REQUEST_TIME][f"plugin.resource.{number}",].observe(0.003)
        for number in range(HOOKS):
            hooks[f"plugin-{number // 10}", f"hook-{number % 10}"].observe(1)
        for number in range(TENANTS):
            bound.served(uuid4(), f"tenant-{number}", 200, 0.003)
        print("filled", flush=True)
        sys.stdin.read()


def scraping(folder: Path) -> None:
    """Print what one scrape of several processes costs."""
    command = [sys.executable, "-m", "benchmarks.metrics", str(folder)]
    busy = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) for _ in range(PROCESSES)]
    for process in busy:
        assert process.stdout is not None
        process.stdout.readline()
    bound, best, body = Meter(METRICS), float("inf"), b""
    bound.top_tenants = {f"tenant-{number}" for number in range(20)}
    for _ in range(5):
        began = process_time()
        body = generate_latest(Measured(bound, folder / "prometheus", ()))
        best = min(best, process_time() - began)
    used = [int.from_bytes(file.read_bytes()[:4], sys.byteorder) for file in (folder / "prometheus").glob("*.db")]
    print(f"scrape of {PROCESSES} processes: {best * 1000:.0f} ms CPU, {len(body.splitlines())} lines")
    print(f"used of each process's files: {sum(used) / PROCESSES / 1e6:.1f} MB")
    for process in busy:
        process.communicate()


def main() -> None:
    """Measure everything, or be one of the processes that are scraped."""
    os.environ.pop(process_files.VARIABLE, None)
    if sys.argv[1:]:
        fill(Path(sys.argv[1]))
        return
    counting("in memory")
    with TemporaryDirectory() as folder:
        with process_files.shared(Path(folder)):
            counting("multiprocess files")
        scraping(Path(folder))


if __name__ == "__main__":
    main()
