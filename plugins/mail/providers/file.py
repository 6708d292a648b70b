"""Mail provider `file`: write each message to an .eml file, for development without a mail server."""

from __future__ import annotations

import asyncio
import os
import re
from datetime import UTC, datetime
from pathlib import Path

from pydantic import Field

from host.sdk import TenantMissing, data_folder, tenant

from ..outgoing import Outgoing
from .contract import ProviderUnavailable, Receipt, written
from .spec import MailProvider, Pacing

HOST = "_host"
"""The folder of mail that is sent for no organisation; no slug begins with an underscore."""

ENVELOPE = "X-Envelope-To"
"""Header that names every recipient, Bcc included."""


class FileSettings(Pacing):
    folder: str = Field(default="", description="Folder for .eml files; empty: `outbox` in the host's data folder.")


class FileProvider:
    """Writes `<folder>/<organisation's slug, or _host>/<date>-<id>.eml`, readable by this user only.

    `provider_id` is the path below the folder.
    """

    name = "file"

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    async def deliver(self, outgoing: Outgoing) -> Receipt:
        """Write the message to a file, which is there as a whole or not at all."""
        envelope = ",\r\n ".join(outgoing.recipients)
        content = f"{ENVELOPE}: {envelope}\r\n".encode() + written(outgoing)
        path = Path(await _owner(), _filename(outgoing.message_id))
        try:
            await asyncio.to_thread(_write, self.folder / path, content)
        except OSError as error:
            raise ProviderUnavailable(f"{self.folder} cannot be written to: {error.strerror}") from None
        return Receipt(self.name, path.as_posix())

    async def check(self) -> str | None:
        """Whether the folder can be written to."""
        try:
            await asyncio.to_thread(_probe, self.folder)
        except OSError as error:
            return f"{self.folder} cannot be written to: {error.strerror}"
        return None

    async def close(self) -> None:
        """Nothing is open."""


async def _owner() -> str:
    try:
        return (await tenant()).slug
    except TenantMissing:
        return HOST


def _filename(message_id: str) -> str:
    """A file name that sorts by time, of characters that every file system takes."""
    plain = re.sub(r"[^A-Za-z0-9_-]+", "-", message_id.strip("<>").partition("@")[0])[:80]
    return f"{datetime.now(UTC):%Y%m%dT%H%M%S%f}-{plain}.eml"


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    unfinished = path.with_suffix(".part")
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with open(descriptor, "wb") as file:
        file.write(content)
    unfinished.replace(path)


def _probe(folder: Path) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    probe = folder / f".probe-{os.getpid()}"
    probe.touch()
    probe.unlink()


PROVIDER = MailProvider(
    name="file",
    title="The provider `file`",
    settings=FileSettings,
    create=lambda settings, _: FileProvider(Path(settings.folder) if settings.folder else data_folder() / "outbox"),
    delivers=False,
)
