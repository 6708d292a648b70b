from __future__ import annotations

import pytest

from host.registry.quarantine import Quarantine


def test_put_when_plugin_is_in_already_then_first_reason_stays():
    quarantine = Quarantine()
    quarantine.put("notes", "first")
    quarantine.put("notes", "second")
    assert quarantine.reason("notes") == "first"
    assert [held.plugin for held in quarantine] == ["notes"]
    assert quarantine.changes == 1


def test_lift_when_plugin_is_in_then_it_is_out_and_changes_count():
    quarantine = Quarantine()
    quarantine.put("notes", "why")
    assert quarantine.lift("notes") is True
    assert ("notes" in quarantine, quarantine.reason("notes"), len(quarantine), quarantine.changes) == (
        False,
        None,
        0,
        2,
    )
    assert quarantine.lift("notes") is False


def test_lift_when_plugin_never_loaded_then_says_restart():
    quarantine = Quarantine()
    quarantine.put("notes", "ImportError", until_restart=True)
    with pytest.raises(RuntimeError, match=r"ImportError.*restart"):
        quarantine.lift("notes")
    assert "notes" in quarantine
