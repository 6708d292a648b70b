"""List and read the messages that the provider `file` has written."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from email import message_from_binary_file
from email.policy import default
from pathlib import Path

from host.sdk import TenantMissing, tenant

from ..providers.file import FileProvider
from .dispatcher import deployment_dispatcher

ENDING = ".eml"


@dataclass(frozen=True, slots=True)
class Written:
    """A message written to a file; `name` is its path below the outbox."""

    name: str
    at: datetime
    to: str
    subject: str


async def newest(limit: int) -> list[Written]:
    """The newest messages of the bound tenant, or of all tenants where none is bound."""
    found = sorted(await _files(), key=lambda path: path.name, reverse=True)
    return [_written(path) for path in found[:limit]]


async def content(part: str) -> tuple[str, str] | None:
    """(name, content) of the newest message whose name contains `part`; None where there is none."""
    for path in sorted(await _files(), key=lambda path: path.name, reverse=True):
        if part in (name := _name(path)):
            return name, path.read_text("utf-8", "replace")
    return None


def forget(slug: str) -> None:
    """Delete the files written for an organisation."""
    for folder in _folders():
        shutil.rmtree(folder / slug, ignore_errors=True)


async def _files() -> list[Path]:
    try:
        below = (await tenant()).slug
    except TenantMissing:
        below = "*"
    return [path for folder in _folders() for path in folder.glob(f"{below}/*{ENDING}")]


def _folders() -> list[Path]:
    providers = [channel.provider for channel in deployment_dispatcher().channels]
    return [each.folder for each in providers if isinstance(each, FileProvider)]


def _name(path: Path) -> str:
    return f"{path.parent.name}/{path.name}"


def _written(path: Path) -> Written:
    with path.open("rb") as file:
        message = message_from_binary_file(file, policy=default)
    return Written(
        name=_name(path),
        at=datetime.fromtimestamp(path.stat().st_mtime, UTC),
        to=str(message["To"] or ""),
        subject=str(message["Subject"] or ""),
    )
