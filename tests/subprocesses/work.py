"""Functions that tests run in spawned processes."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any


def double(content: bytes) -> dict[str, Any]:
    return {"content": content * 2, "sizes": [len(content), 1.5, None, True, ("a", {"b"})]}


def process_id() -> int:
    return os.getpid()


def refuse(what: str) -> None:
    raise ValueError(f"no image: {what}")


def hang() -> None:
    time.sleep(60)


def burn() -> None:
    def loop() -> None:
        while True:
            pass

    for _ in range(2):
        threading.Thread(target=loop, daemon=True).start()
    time.sleep(60)


def grow() -> int:
    return len(bytearray(10**9))


def crash() -> None:
    ctypes.string_at(0)


def leave(code: int) -> None:
    os._exit(code)


def kill_itself() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def chatter() -> str:
    sys.stdout.write("between the answers")
    sys.stdout.flush()
    os.write(1, b"\x00" * 100)
    return "said"


def garbage() -> None:
    import gc
    import io

    for one in gc.get_objects():
        if isinstance(one, io.FileIO) and one.writable() and one.fileno() > 2:
            one.write((3).to_bytes(8, "big") + b"xyz")


def no_plain_value() -> Path:
    return Path("/")


def slow_echo(number: int) -> int:
    time.sleep(0.2)
    return number
