from __future__ import annotations

import asyncio
from contextvars import ContextVar

import pytest

from host.contracts import Decision
from host.errors import QuotaExceeded
from host.execution_context import plugin
from host.hookspecs import hookimpl
from host.registry.guarded_hook import HookFailed
from host.registry.hook_calls import FAILURES_ALLOWED, HANGS_ALLOWED, Calling
from host.registry.loading import implementations, new_plugin_manager, register
from host.registry.quarantine import Quarantine

seen: ContextVar[list[str]] = ContextVar("seen")


@pytest.fixture(autouse=True)
def told():
    seen.set([])
    return seen.get()


def starter(work):
    """A plugin whose on_start notes the plugin it runs in, then works."""

    class Plugin:
        @hookimpl
        async def on_start(self):
            seen.get().append(plugin())
            await work()

        @hookimpl
        async def on_action(self, action):
            seen.get().append(f"{plugin()}:{action}")
            await work()

    return Plugin()


def vetoer(answer):
    class Plugin:
        @hookimpl
        async def authorize(self, permission):
            seen.get().append(f"{plugin()}:{permission}")
            return await answer()

        @hookimpl
        async def authenticate(self, headers):
            return await answer()

    return Plugin()


def hook_calls(*, closed=None, **plugins) -> tuple[Calling, Quarantine]:
    manager = new_plugin_manager()
    for name, one in plugins.items():
        assert register(manager, name, one) == []
    quarantine = Quarantine()
    return Calling(implementations(manager, plugins), quarantine, closed), quarantine


async def fine() -> None: ...


async def boom() -> None:
    raise ValueError("boom")


async def leave() -> None:
    raise SystemExit(3)


async def hang() -> None:
    await asyncio.sleep(30)


async def cancel_self() -> None:
    raise asyncio.CancelledError


async def refuse() -> None:
    raise QuotaExceeded("no more")


async def refuse_to_die() -> None:
    for _ in range(40):
        try:
            await asyncio.sleep(0.05)
        except asyncio.CancelledError:
            continue


@pytest.mark.parametrize(
    ("work", "said"),
    [
        (boom, "it raised ValueError: boom"),
        (leave, "it called sys.exit(3)"),
        (hang, "it did not answer within 0.05 seconds"),
        (refuse_to_die, "it did not answer within 0.05 seconds"),
        (cancel_self, "it cancelled itself"),
    ],
)
async def test_tell_when_one_plugin_fails_then_the_others_are_told_and_it_is_named(told, work, said):
    calls, quarantine = hook_calls(aa=starter(fine), bad=starter(work), cc=starter(fine))
    (failure,) = await calls.tell("on_start", timeout=0.05)
    assert (failure.plugin, failure.hook, failure.reason) == ("bad", "on_start", said)
    assert str(failure) == f'plugin "bad": on_start: {said}'
    assert told == ["aa", "bad", "cc"]
    assert quarantine.reason("bad") == f"on_start: {said}"
    assert len(quarantine) == 1


async def test_tell_when_reverse_then_last_loaded_first(told):
    calls, _ = hook_calls(aa=starter(fine), bb=starter(fine))
    await calls.tell("on_start", reverse=True)
    assert told == ["bb", "aa"]


async def test_tell_when_ids_are_given_then_only_those_and_the_host(told):
    calls, _ = hook_calls(host=starter(fine), aa=starter(fine), bb=starter(fine))
    await calls.tell("on_start", plugins={"bb"})
    assert told == ["host", "bb"]


async def test_tell_when_plugin_is_in_quarantine_then_left_out(told):
    calls, quarantine = hook_calls(aa=starter(fine), bb=starter(fine))
    quarantine.put("aa", "why")
    assert await calls.tell("on_start") == ()
    assert told == ["bb"]


async def test_tell_when_hook_takes_fewer_arguments_then_called_with_those(told):
    calls, _ = hook_calls(aa=vetoer(fine))
    await calls.ask_veto("authorize", "an actor", "notes.read", {})
    assert told == ["aa:notes.read"]


async def test_tell_when_a_hook_other_than_on_start_raises_then_no_quarantine():
    calls, quarantine = hook_calls(aa=starter(boom))
    (failure,) = await calls.tell("on_action", "x")
    assert failure.plugin == "aa"
    assert len(quarantine) == 0


async def test_tell_when_hook_exits_then_quarantine_whatever_the_hook():
    calls, quarantine = hook_calls(aa=starter(leave))
    await calls.tell("on_action", "x")
    assert quarantine.reason("aa") == "on_action: it called sys.exit(3)"


async def test_tell_when_plugin_hangs_again_and_again_then_quarantine():
    calls, quarantine = hook_calls(aa=starter(hang))
    for count in range(HANGS_ALLOWED):
        assert len(quarantine) == 0, count
        await calls.tell("on_action", "x", timeout=0.01)
    assert "3 times in a row" in quarantine.reason("aa")


async def test_tell_when_plugin_answers_between_hangs_then_no_quarantine():
    working = [hang, hang, fine] * 2

    async def moody() -> None:
        await working.pop(0)()

    calls, quarantine = hook_calls(aa=starter(moody))
    for _ in range(6):
        await calls.tell("on_action", "x", timeout=0.01)
    assert len(quarantine) == 0


async def test_tell_when_caller_is_cancelled_then_cancelled_and_so_is_the_hook():
    ended = asyncio.Event()

    async def wait() -> None:
        try:
            await asyncio.sleep(30)
        finally:
            ended.set()

    calls, quarantine = hook_calls(aa=starter(wait))
    task = asyncio.create_task(calls.tell("on_action", "x"))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.wait_for(ended.wait(), 1)
    assert len(quarantine) == 0


async def test_tell_when_raising_and_hook_raises_then_its_error_comes_out_with_a_note(told):
    async def spend() -> None:
        raise QuotaExceeded("no more")

    calls, _ = hook_calls(aa=starter(fine), bad=starter(spend), cc=starter(fine))
    with pytest.raises(QuotaExceeded, match="no more") as caught:
        await calls.tell("on_action", "x", raising=True)
    assert caught.value.__notes__ == ['raised by plugin "bad" in on_action']
    assert told == ["aa:x", "bad:x"]


@pytest.mark.parametrize("work", [leave, hang, cancel_self])
async def test_tell_when_raising_and_hook_exits_or_hangs_then_hook_failed(work):
    calls, _ = hook_calls(bad=starter(work))
    with pytest.raises(HookFailed, match='plugin "bad": on_action'):
        await calls.tell("on_action", "x", raising=True, timeout=0.05)


async def test_tell_when_raising_then_runs_in_the_callers_task():
    tasks = []

    async def note() -> None:
        tasks.append(asyncio.current_task())

    calls, _ = hook_calls(aa=starter(note))
    await calls.tell("on_action", "x", raising=True)
    assert tasks == [asyncio.current_task()]


async def test_tell_when_raising_and_caller_is_cancelled_then_cancelled():
    calls, _ = hook_calls(aa=starter(hang))
    task = asyncio.create_task(calls.tell("on_action", "x", raising=True))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def no() -> Decision:
    return Decision(False, "not on Sundays", ("looked at the calendar",))


async def agree() -> Decision:
    return Decision(True, "fine by me")


async def wrong() -> bool:
    return True


async def test_veto_when_nobody_objects_then_allowed(told):
    calls, _ = hook_calls(aa=vetoer(fine), bb=vetoer(agree))
    decision = await calls.ask_veto("authorize", None, "p", {})
    assert (decision.allowed, decision.steps) == (True, ('plugin "bb" agrees: fine by me',))


async def test_veto_when_one_says_no_then_final_and_the_rest_not_asked(told):
    calls, _ = hook_calls(aa=vetoer(agree), bb=vetoer(no), cc=vetoer(agree))
    decision = await calls.ask_veto("authorize", None, "p", {})
    assert (decision.allowed, decision.reason, decision.code) == (False, "not on Sundays", "PERMISSION_DENIED")
    assert decision.steps[-2:] == ('plugin "bb" says no: not on Sundays', "looked at the calendar")
    assert told == ["aa:p", "bb:p"]


@pytest.mark.parametrize("answer", [boom, leave, hang, wrong, cancel_self])
async def test_veto_when_plugin_cannot_decide_then_no(answer):
    calls, _ = hook_calls(aa=vetoer(answer))
    decision = await calls.ask_veto("authorize", None, "p", {}, timeout=0.05)
    assert not decision.allowed
    assert 'plugin "aa"' in decision.reason
    assert decision.code == "PERMISSION_DENIED"


async def test_veto_when_plugin_that_may_refuse_is_in_quarantine_then_no_where_it_is_on():
    calls, quarantine = hook_calls(aa=vetoer(agree), bb=starter(fine))
    quarantine.put("aa", "it broke")
    quarantine.put("bb", "it broke too")
    assert not (await calls.ask_veto("authorize", None, "p", {}, plugins={"aa", "bb"})).allowed
    assert (await calls.ask_veto("authorize", None, "p", {}, plugins={"bb"})).allowed
    quarantine.lift("aa")
    assert (await calls.ask_veto("authorize", None, "p", {}, plugins={"aa", "bb"})).allowed


async def test_veto_when_plugin_that_may_refuse_could_not_be_imported_then_no():
    calls, quarantine = hook_calls(closed={"bad": {"authorize"}})
    quarantine.put("bad", "ImportError", until_restart=True)
    assert not (await calls.ask_veto("authorize", None, "p", {}, plugins={"bad"})).allowed
    assert calls.implementers("authorize") == ("bad",)


async def test_ask_first_when_one_answers_then_the_first_wins_and_failures_are_silent():
    async def me() -> str:
        return "me"

    async def not_me() -> str:
        return "not me"

    calls, _ = hook_calls(bad=vetoer(boom), silent=vetoer(fine), aa=vetoer(me), bb=vetoer(not_me))
    assert await calls.ask_first("authenticate", {}) == ("aa", "me")
    assert await calls.ask_first("authenticate", {}, plugins={"bad", "silent"}) is None
    assert calls.implementers("authenticate") == ("bad", "silent", "aa", "bb")


async def test_action_when_a_plugin_raises_again_and_again_then_it_goes_into_quarantine_and_others_go_on(told):
    calls, quarantine = hook_calls(bad=starter(boom), good=starter(fine))
    for _ in range(FAILURES_ALLOWED):
        assert "bad" not in quarantine
        with pytest.raises(ValueError, match="boom"):
            await calls.tell("on_action", "x", raising=True)
    assert "times in a row" in (quarantine.reason("bad") or "")
    told.clear()
    await calls.tell("on_action", "y", raising=True)
    assert told == ["good:y"]


async def test_action_when_a_plugin_refuses_or_works_in_between_then_it_stays_in_service():
    answers = [boom, boom, boom, boom, fine, boom]

    async def next_answer() -> None:
        await answers.pop(0)()

    calls, quarantine = hook_calls(moody=starter(next_answer), strict=starter(refuse))
    while answers:
        await calls.tell("on_action", "x", plugins={"moody"})
    for _ in range(FAILURES_ALLOWED + 1):
        with pytest.raises(QuotaExceeded):
            await calls.tell("on_action", "x", plugins={"strict"}, raising=True)
    assert len(quarantine) == 0
