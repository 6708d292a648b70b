"""A pool of spawned processes that run functions within limits: decoding untrusted files, such as images."""

from __future__ import annotations

import asyncio
import io
import os
import pickle
import signal
import sys
from asyncio.subprocess import Process
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal, NoReturn, TypeVar

T = TypeVar("T")

JOBS_EACH = 100
"""How many functions a process runs before another takes its place, so that what libraries leak is given back."""

_START_SECONDS = 60.0
_WORKER = Path(__file__).with_name("worker.py")


class SubprocessError(Exception):
    """A function in a spawned process did not give a result.

    Attributes:
        reason: it "raised" an exception, reached its limit of "memory" or "time", or its process "crashed".

    Example:
        try:
            size = await in_subprocess(measure, content, seconds=5, memory=512 * 1024**2)
        except SubprocessError as error:
            raise ValidationFailed(details={"file": f"The image cannot be read: {error}"}) from error
    """

    def __init__(self, message: str, reason: Literal["raised", "memory", "time", "crashed"]) -> None:
        super().__init__(message)
        self.reason = reason


class SubprocessPool:
    """Keeps at most this many processes, spawned when they are needed, and gives each one function at a time."""

    def __init__(self, size: int = max(1, min(4, os.cpu_count() or 1))) -> None:
        self._places = asyncio.Semaphore(size)
        self._idle: list[_Worker] = []

    async def run(self, function: Callable[..., T], args: tuple[object, ...], seconds: float, memory: int) -> T:
        """See `host.services.in_subprocess`."""
        job = pickle.dumps((function, args, seconds, memory))
        async with self._places:
            worker = await self._worker()
            try:
                result: T = await worker.run(job, _Limits(function.__qualname__, seconds, memory))
            except SubprocessError as error:
                if error.reason in {"raised", "memory"} and worker.alive:
                    self._idle.append(worker)
                else:
                    await asyncio.shield(worker.kill())
                raise
            except BaseException:
                await asyncio.shield(worker.kill())
                raise
            if worker.jobs < JOBS_EACH:
                self._idle.append(worker)
            else:
                await worker.kill()
            return result

    async def _worker(self) -> _Worker:
        while self._idle:
            worker = self._idle.pop()
            if worker.alive:
                return worker
        return await _Worker.spawn()

    async def close(self) -> None:
        """End the processes that wait for work."""
        idle, self._idle = self._idle, []
        for worker in idle:
            await worker.kill()


class _Limits:
    """What a function may use, in the words of its errors."""

    def __init__(self, name: str, seconds: float, memory: int) -> None:
        self.name, self.seconds, self.memory = name, seconds, memory

    def too_long(self) -> SubprocessError:
        return SubprocessError(f"{self.name} took longer than {self.seconds:g} seconds and was ended", "time")

    def too_much(self) -> SubprocessError:
        return SubprocessError(f"{self.name} needed more than {self.memory // 1024**2} MB of memory", "memory")

    def broken(self) -> SubprocessError:
        return SubprocessError(f"the process of {self.name} gave an answer that cannot be read", "crashed")

    def crashed(self, code: int) -> SubprocessError:
        if code == -signal.SIGXCPU:
            return self.too_long()
        how = f"exited with {code}"
        if code < 0:
            with suppress(ValueError):
                how = f"was ended by {signal.Signals(-code).name}"
        return SubprocessError(f"the process of {self.name} {how}", "crashed")


class _Worker:
    """One spawned process, see `host.subprocesses.worker`."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self.jobs = 0

    @classmethod
    async def spawn(cls) -> _Worker:
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            sys.executable, str(_WORKER), stdin=pipe, stdout=pipe, start_new_session=True
        )
        worker = cls(process)
        await worker._send(pickle.dumps(sys.path))
        return worker

    @property
    def alive(self) -> bool:
        return self._process.returncode is None

    async def run(self, job: bytes, limits: _Limits) -> Any:
        self.jobs += 1
        try:
            async with asyncio.timeout(_START_SECONDS):
                await self._send(job)
                answer = await self._answer(limits)  # what the function's module imports takes no time of its own
            if answer[0] == "started":
                async with asyncio.timeout(limits.seconds):
                    answer = await self._answer(limits)
        except TimeoutError:
            raise limits.too_long() from None
        except (asyncio.IncompleteReadError, ConnectionError):
            raise limits.crashed(await self._process.wait()) from None
        if answer[0] == "done":
            return answer[1]
        if answer[0] == "memory":
            raise limits.too_much()
        raise SubprocessError(f"{limits.name} raised {answer[1]}: {answer[2]}", "raised")

    async def kill(self) -> None:
        with suppress(ProcessLookupError):
            self._process.kill()
        assert self._process.stdin is not None
        self._process.stdin.close()
        await self._process.wait()

    async def _send(self, message: bytes) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(len(message).to_bytes(8, "big") + message)
        await self._process.stdin.drain()

    async def _answer(self, limits: _Limits) -> tuple[Any, ...]:
        assert self._process.stdout is not None
        length = int.from_bytes(await self._process.stdout.readexactly(8), "big")
        if length > limits.memory:  # nothing that it could have made
            raise limits.broken()
        content = await self._process.stdout.readexactly(length)
        try:
            answer: tuple[Any, ...] = _PlainValues(io.BytesIO(content)).load()
        except (pickle.UnpicklingError, EOFError, ValueError, LookupError) as error:
            raise limits.broken() from error
        return answer


class _PlainValues(pickle.Unpickler):
    """Reads numbers, text, bytes and containers of them: a process that a file took over must not reach into ours."""

    def find_class(self, module: str, name: str) -> NoReturn:
        raise SubprocessError(f"the result holds a {module}.{name}; give back plain values", "raised")
