"""The port on which a worker answers Prometheus."""

from __future__ import annotations

import asyncio
import logging
import shutil
import socket
import subprocess

import httpx
import pytest

from host.cache.client import RedisClient
from host.contracts import Metric, Readings
from host.errors import ConfigurationError
from host.instruments import Meter
from host.metrics.exporter import exporting
from host.metrics.metering import Metering

SENT = Metric("tenantry_letters_sent_total", "counter", "Letters sent", ("status",))


async def _of_the_database() -> Readings:
    raise AssertionError("a thread of its own must not ask the database")


KEPT = Metric("tenantry_letters_kept", "gauge", "Letters kept", read=_of_the_database)


@pytest.fixture
def metering(redis_client: RedisClient) -> Metering:
    return Metering(redis_client, Meter((SENT, KEPT)), {})


@pytest.fixture
def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def scrape(port: int) -> str:
    async with httpx.AsyncClient() as client:
        return (await client.get(f"http://127.0.0.1:{port}/metrics")).text


async def test_exporter_when_scraped_then_shows_what_was_counted_until_it_stops(metering: Metering, port: int) -> None:
    with exporting(metering, "127.0.0.1", port):
        for number in range(1, 3):
            metering.meter.count(SENT.name, 1, {"status": "sent"})
            text = await scrape(port)
            assert f'{SENT.name}{{status="sent"}} {number}.0' in text
        if shutil.which("promtool"):
            command = ["promtool", "check", "metrics"]
            checked = await asyncio.to_thread(subprocess.run, command, input=text.encode(), capture_output=True)
            assert (checked.returncode, checked.stdout, checked.stderr) == (0, b"", b"")
    with pytest.raises(httpx.TransportError):
        await scrape(port)


async def test_exporter_when_another_worker_has_the_port_then_leaves_it_to_that_one_and_says_so(
    metering: Metering, port: int, caplog: pytest.LogCaptureFixture
) -> None:
    with exporting(metering, "127.0.0.1", port), caplog.at_level(logging.WARNING):
        with exporting(metering, "127.0.0.1", port):
            assert "another process listens on 127.0.0.1" in caplog.text
        assert await scrape(port)


async def test_exporter_when_the_port_is_0_then_nobody_listens(metering: Metering) -> None:
    with exporting(metering, "127.0.0.1", 0):
        pass


async def test_exporter_when_the_address_is_not_of_this_machine_then_says_which_setting(
    metering: Metering, port: int
) -> None:
    with pytest.raises(ConfigurationError, match="metrics_port"), exporting(metering, "203.0.113.1", port):
        pass
