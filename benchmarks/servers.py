"""Start server processes for benchmarks: pin them to a core, wait for an answer, read their memory, stop them."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

SERVING_CORE, LOADING_CORE = 0, 1


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


COMPILED = {
    "PYTHONDONTWRITEBYTECODE": "",
    "PYTHONPYCACHEPREFIX": str(Path(tempfile.gettempdir()) / "tenantry-bytecode"),
}
"""Modules are compiled once and not at each start, as they are where a wheel is installed: that halves the start."""


@dataclass
class Server:
    """One web process, pinned to the serving core. `first_answer` is in seconds from its start."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    folder: Path
    health: str
    working: Path
    port: int = field(default_factory=free_port)
    first_answer: float = 0.0

    def __enter__(self) -> Server:
        self._log = (self.folder / f"{self.name}.log").open("w")
        begun = time.perf_counter()
        self._process = subprocess.Popen(
            ["taskset", "--cpu-list", str(SERVING_CORE)]
            + [part.replace("{port}", str(self.port)) for part in self.command],
            cwd=self.working,
            env={**os.environ, **self.environment, **COMPILED, "PORT": str(self.port)},
            stdout=self._log,
            stderr=self._log,
            start_new_session=True,
        )
        while not self._answers():
            if self._process.poll() is not None or time.perf_counter() - begun > 120:
                self.__exit__()
                raise RuntimeError(f"{self.name} did not start:\n{Path(self._log.name).read_text()[-3000:]}")
            time.sleep(0.005)
        self.first_answer = time.perf_counter() - begun
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGTERM)
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(self._process.pid, signal.SIGKILL)
                self._process.wait()
        self._log.close()

    def megabytes(self) -> float:
        """What the process and its children hold in memory, shared pages split among those who share them."""
        return sum(proportional(pid) for pid in _family(self._process.pid)) / 1024

    def cpu_seconds(self) -> float:
        """Processor time that the process and its children have used so far."""
        return sum(_processor_time(pid) for pid in _family(self._process.pid))

    def _answers(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", self.health)
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()


def _family(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(member for child in children for member in _family(int(child)))]


def proportional(pid: int) -> int:
    """Kilobytes a process holds, shared pages split among those who share them."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))


def _processor_time(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
