"""The program of a spawned process: runs one function after the other, each within limits of memory and CPU time.

Only the standard library is imported here: a process starts within a few hundredths of a second, and imports what the
function's own module imports.
"""

from __future__ import annotations

import math
import os
import pickle
import resource
import sys
import time
from collections.abc import Callable
from typing import Any, BinaryIO


def main() -> None:
    """Take jobs from the standard input until it ends: pickled after their length, as 8 bytes."""
    jobs, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # what a function prints must not get between the answers
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    sys.path[:] = pickle.loads(_taken(jobs))  # noqa: S301 - this and the jobs come from the process that spawned us
    while job := _taken(jobs):
        try:
            function, args, seconds, memory = pickle.loads(job)  # noqa: S301
            _send(answers, ("started",))
            _send(answers, _answer(function, args, seconds, memory))
        except Exception as error:
            _send(answers, ("raised", type(error).__name__, str(error)[:2000]))


def _answer(function: Callable[..., Any], args: tuple[Any, ...], seconds: float, memory: int) -> tuple[Any, ...]:
    _, most = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(time.process_time() + seconds), resource.RLIM_INFINITY))
    resource.setrlimit(resource.RLIMIT_AS, (memory, most))
    try:
        return ("done", function(*args))
    except MemoryError:
        return ("memory",)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (most, most))


def _taken(source: BinaryIO) -> bytes:
    length = source.read(8)
    return source.read(int.from_bytes(length, "big")) if len(length) == 8 else b""


def _send(target: BinaryIO, answer: tuple[Any, ...]) -> None:
    content = pickle.dumps(answer)
    message = len(content).to_bytes(8, "big") + content
    while message:
        message = message[target.write(message) :]


if __name__ == "__main__":
    main()
