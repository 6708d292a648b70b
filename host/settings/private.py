"""Create files and folders that only the login running the deployment may read."""

from __future__ import annotations

import os
from pathlib import Path


def private_folder(path: Path) -> Path:
    """Make a folder, or take an existing one of this login away from everybody else; returns it.

    Raises:
        OSError: it cannot be made.
    """
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    _take_away(path)
    return path


def private_file(path: Path) -> Path:
    """Make a file empty, or take an existing one of this login away from everybody else; returns it.

    Raises:
        OSError: it cannot be made.
    """
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    _take_away(path)
    return path


def _take_away(path: Path) -> None:
    found = path.stat()
    if found.st_uid == os.getuid() and found.st_mode & 0o077:
        path.chmod(found.st_mode & 0o700)
