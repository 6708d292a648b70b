"""Create files and folders that only the login running the deployment may read."""

from __future__ import annotations

import os
from pathlib import Path


def private_folder(path: Path) -> Path:
    """Make a folder, or remove everybody else's permissions on an existing one of this login; returns it.

    Raises:
        OSError: it cannot be made.
    """
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    _take_away(path)
    return path


def private_file(path: Path) -> Path:
    """Make an empty file, or remove everybody else's permissions on an existing one of this login; returns it.

    Raises:
        OSError: it cannot be made.
    """
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    _take_away(path)
    return path


def _take_away(path: Path) -> None:
    status = path.stat()
    if status.st_uid == os.getuid() and status.st_mode & 0o077:
        path.chmod(status.st_mode & 0o700)
