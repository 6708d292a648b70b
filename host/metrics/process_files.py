"""Put prometheus_client in multiprocess mode: each process of a machine counts in files of its own in one folder.

The library names a process's files after its pid, never deletes them and asks for an empty folder at the start
(https://prometheus.github.io/client_python/multiprocess/). Here a process takes the lowest free number instead and goes
on counting in the files of whoever had it before: counters stay monotone over restarts and there are never more files
than processes. A number is free if nobody holds the lock on `<number>.lock`, which the kernel releases with its holder,
however that ends.

For entry points, which run one application: two in one process would write the same series.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fcntl import LOCK_EX, LOCK_NB, flock
from itertools import count
from pathlib import Path
from typing import Final

from prometheus_client import values
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.values import MultiProcessValue, MutexValue

from host.errors import ConfigurationError
from host.settings.private import private_folder

VARIABLE: Final = "PROMETHEUS_MULTIPROC_DIR"
"""The library's variable for the folder; unless it is set before the start, that is `prometheus` in the data folder."""

values.ValueClass = MutexValue  # in memory, until an entry point enters `shared`: commands leave no files behind

_MB: Final = 1024**2
_RESERVED: Final = {"counter": 4 * _MB, "histogram": 8 * _MB, "gauge_livesum": _MB // 4}
"""Bytes of each of a process's files: several times what 200 operations need (`python -m benchmarks.metrics`)."""


@contextmanager
def shared(data_folder: Path) -> Iterator[None]:
    """Count in files that every process of this machine reads; enter it before the application is built.

    Raises:
        ConfigurationError: the folder cannot be made or written.
    """
    previous, value_class = os.environ.get(VARIABLE), values.ValueClass
    with _writable(Path(previous) if previous else data_folder / "prometheus") as folder, _changing(folder):
        if not any(_is_taken(lock) for lock in folder.glob("*.lock")):  # the first process: figures begin at 0
            for file in folder.glob("*.db"):
                file.unlink()
        number, lock = _lowest_free(folder)
        _forget_gauges(number, folder)
        _reserve(number, folder)
    os.environ[VARIABLE] = str(folder)
    values.ValueClass = MultiProcessValue(process_identifier=lambda: number)  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        values.ValueClass = value_class
        if previous is None:
            del os.environ[VARIABLE]
        _forget_gauges(number, folder)
        os.close(lock)


def shared_folder() -> Path | None:
    """The folder in whose files this process counts; None where it counts in memory."""
    return None if values.ValueClass is MutexValue else Path(os.environ[VARIABLE])


def merged(folder: Path) -> Sequence[Family]:
    """What every process that counts in the folder has measured; gauges of the running ones only."""
    with _changing(folder):
        for lock in folder.glob("*.lock"):
            if not _is_taken(lock):
                _forget_gauges(lock.stem, folder)
        return list(MultiProcessCollector(None, str(folder)).collect())  # type: ignore[no-untyped-call]


def _forget_gauges(number: int | str, folder: Path) -> None:
    mark_process_dead(number, str(folder))  # type: ignore[no-untyped-call]


@contextmanager
def _writable(folder: Path) -> Iterator[Path]:
    try:
        yield private_folder(folder)
    except OSError as error:
        raise ConfigurationError(
            f"metrics are counted in files in {folder}, which cannot be written ({error.strerror}): "
            f"let {VARIABLE} name a folder that has space"
        ) from error


def _reserve(number: int, folder: Path) -> None:
    """Take the space on the disk now: a disk that is full when a mapped file is written kills the process (SIGBUS)."""
    for name, size in _RESERVED.items():
        file = _open(folder / f"{name}_{number}.db")
        try:
            os.posix_fallocate(file, 0, size)
        finally:
            os.close(file)


@contextmanager
def _changing(folder: Path) -> Iterator[None]:
    """Nobody else takes a number, empties the folder or reads it in the block."""
    file = _open(folder / "folder")
    try:
        flock(file, LOCK_EX)
        yield
    finally:
        os.close(file)


def _lowest_free(folder: Path) -> tuple[int, int]:
    for number in count():
        file = _open(folder / f"{number}.lock")
        try:
            flock(file, LOCK_EX | LOCK_NB)
        except BlockingIOError:
            os.close(file)
        else:
            return number, file
    raise AssertionError("numbers do not end")


def _is_taken(lock: Path) -> bool:
    file = _open(lock)
    try:
        flock(file, LOCK_EX | LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(file)
    return False


def _open(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
