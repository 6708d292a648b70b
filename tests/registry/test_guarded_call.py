from __future__ import annotations

import sys
import threading

from host.execution_context import as_plugin, plugin
from host.registry.guarded_call import guarded_call


def test_attempt_when_call_returns_then_value():
    assert guarded_call(lambda: 7, 5).value == 7


def test_attempt_when_call_raises_then_reason_and_error():
    outcome = guarded_call(lambda: {}["x"], 5)
    assert (outcome.reason, type(outcome.error)) == ("it raised KeyError: 'x'", KeyError)


def test_attempt_when_call_exits_then_reason():
    assert guarded_call(lambda: sys.exit(3), 5).reason == "it called sys.exit(3)"


def test_attempt_when_call_hangs_then_given_up_after_the_time():
    release = threading.Event()
    try:
        assert guarded_call(release.wait, 0.05).reason == "it did not return within 0.05 seconds"
    finally:
        release.set()


def test_attempt_when_context_is_bound_then_call_sees_it():
    with as_plugin("notes"):
        assert guarded_call(plugin, 5).value == "notes"
