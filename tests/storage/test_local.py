from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from host.errors import Unavailable
from host.storage.local import LocalStorage


async def test_put_when_a_key_is_also_a_folder_of_another_then_both_are_kept(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path)
    for key in ("a", "a/b", "a#f", "a#f/c"):
        await storage.put(key, key.encode())
    assert {stored.key async for stored in storage.list("")} == {"a", "a/b", "a#f", "a#f/c"}


async def test_purge_when_a_crash_left_half_a_file_then_it_goes_too(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path)
    await storage.put("t/1/x", b"1")
    (tmp_path / "t" / "1" / "y#f#1").write_bytes(b"half")
    assert await storage.purge_prefix("t/1/") == 1
    assert not (tmp_path / "t" / "1").exists()


async def test_ping_when_folder_is_gone_then_unavailable(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path / "files")
    shutil.rmtree(tmp_path / "files")
    with pytest.raises(Unavailable):
        await storage.ping()
