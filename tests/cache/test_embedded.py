from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from host.cache.client import RedisClient
from host.cache.embedded import EmbeddedRedis, socket_path
from host.errors import ConfigurationError


def killed(embedded: EmbeddedRedis) -> int:
    pid = embedded.pid()
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    return pid


async def test_data_when_server_is_killed_then_still_there_after_next_start(redis_server: EmbeddedRedis) -> None:
    redis_client = RedisClient(redis_server.url)
    for number in range(200):
        await redis_client.call("SET", f"key{number}", number)
    await redis_client.close()
    pid = killed(redis_server)
    await redis_server.start()
    again = RedisClient(redis_server.url)
    assert await again.call("DBSIZE") == 200
    assert redis_server.pid() != pid
    await again.close()


async def test_start_when_server_outlived_its_parent_then_adopts_it(tmp_path: Path) -> None:
    folder = tmp_path / "redis"
    script = (
        "import asyncio, os, sys; from pathlib import Path; from host.cache.embedded import EmbeddedRedis\n"
        "asyncio.run(EmbeddedRedis(Path(sys.argv[1])).start()); os.kill(os.getpid(), 9)"
    )
    root = Path(__file__).parents[2]
    command = [sys.executable, "-c", script, str(folder)]
    ended = await asyncio.to_thread(subprocess.run, command, cwd=root, timeout=30, check=False)
    assert ended.returncode == -signal.SIGKILL
    adopting = EmbeddedRedis(folder)
    survivor = adopting.pid()
    assert survivor is not None
    await adopting.start()
    assert adopting.pid() == survivor
    await adopting.stop()
    assert adopting.pid() is None


async def test_start_when_several_start_at_once_then_one_server_runs(tmp_path: Path) -> None:
    many = [EmbeddedRedis(tmp_path / "redis") for _ in range(5)]
    await asyncio.gather(*(one.start() for one in many))
    assert len({one.pid() for one in many}) == 1
    for one in many[:-1]:
        await one.stop()
    assert many[-1].pid() is not None, "stopped while somebody still used it"
    await many[-1].stop()
    assert many[-1].pid() is None


async def test_start_when_data_path_is_long_then_socket_is_elsewhere_and_works(tmp_path: Path) -> None:
    folder = tmp_path / ("deep folder with spaces " * 6) / "redis"
    assert len(os.fsencode(folder)) > 108
    embedded = EmbeddedRedis(folder)
    redis_client = RedisClient(await embedded.start())
    assert await redis_client.call("SET", "a", "1") == b"OK"
    await redis_client.close()
    assert len(os.fsencode(socket_path(folder))) < 104
    assert socket_path(folder) != socket_path(folder.parent / "other")
    assert list(folder.glob("appendonlydir/*")), "the data has to be in the data folder all the same"
    await embedded.stop()


async def test_start_when_server_is_frozen_then_does_not_start_a_second_on_its_data(
    redis_server: EmbeddedRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("host.cache.embedded._START_WITHIN", 0.5)
    pid = redis_server.pid()
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    try:
        with pytest.raises(ConfigurationError, match="runs but does not answer"):
            await EmbeddedRedis(redis_server._folder).start()
    finally:
        os.kill(pid, signal.SIGCONT)
    assert redis_server.pid() == pid


async def test_start_when_socket_file_is_left_behind_then_starts(tmp_path: Path) -> None:
    folder = tmp_path / "redis"
    folder.mkdir()
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(folder / "redis.sock"))
    embedded = EmbeddedRedis(folder)
    await embedded.start()
    assert embedded.pid() is not None
    await embedded.stop()


async def test_start_when_data_is_broken_then_error_shows_the_log_and_a_remedy(tmp_path: Path) -> None:
    folder = tmp_path / "redis"
    (folder / "appendonlydir").mkdir(parents=True)
    (folder / "appendonlydir" / "appendonly.aof.manifest").write_text("nonsense\n")
    with pytest.raises(ConfigurationError, match=r"(?s)manifest.*REDIS_URL"):
        await EmbeddedRedis(folder).start()


async def test_client_when_embedded_server_dies_then_revives_it(redis_server: EmbeddedRedis) -> None:
    redis_client = RedisClient(redis_server.url, revive=redis_server.start)
    await redis_client.call("SET", "kept", "yes")
    killed(redis_server)
    await asyncio.sleep(0.2)
    assert await redis_client.call("GET", "kept") == b"yes"
    await redis_client.close()
