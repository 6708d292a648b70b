from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
import time_machine
from pydantic import BaseModel

from host.contracts import Actor, Route
from host.errors import BadRequest, Conflict, IdempotencyMismatch, PayloadTooLarge, RateLimited
from host.web.handlers import idempotency
from host.web.handlers.idempotency import Attempt, IdempotencyKeys, attempt_of, forget_expired
from host.web.models import IdempotencyRecord, PersonalIdempotencyRecord
from host.web.responses.reply import Reply
from tenants.context import bind

HERE, THERE = UUID(int=1), UUID(int=2)
SECRET = b"the deployment's secret"
ASKED = Attempt("key-1", "user:1", "POST /things", "hash")


class Body(BaseModel):
    name: str


async def handler(body: Body) -> None:
    raise NotImplementedError


POST = Route("POST", "/things", handler, "things.create", "Make", permission="p", body=Body, status=201)
RAW = Route("POST", "/files", handler, "files.create", "Upload", permission="p", status=201)


class Doing:
    """Counts how often it was really done."""

    def __init__(self, status: int = 201, body: Any = b'{"secret":"tk_1"}') -> None:
        self.times, self.reply = 0, (status, body)
        self.begun = asyncio.Event()
        self.feature_gate = asyncio.Event()
        self.feature_gate.set()

    async def __call__(self) -> Reply:
        self.times += 1
        self.begun.set()
        await self.feature_gate.wait()
        headers = [(b"content-type", b"application/json"), (b"location", b"/x"), (b"set-cookie", b"a=1")]
        return Reply(self.reply[0], headers, self.reply[1])


@pytest.fixture
async def keys(database: Any) -> AsyncIterator[IdempotencyKeys]:
    with bind(HERE):
        yield IdempotencyKeys(1.0, SECRET)


async def test_request_when_sent_twice_then_done_once_and_answered_twice(keys: IdempotencyKeys) -> None:
    doing = Doing()
    first = await keys.once(ASKED, doing)
    again = await keys.once(ASKED, doing)
    assert doing.times == 1
    assert (again.status, again.body) == (first.status, first.body)
    assert again.headers == [
        (b"content-type", b"application/json"),
        (b"location", b"/x"),
        (b"idempotency-replayed", b"true"),
    ]


async def test_record_when_looked_at_then_neither_key_nor_answer_can_be_read(keys: IdempotencyKeys) -> None:
    await keys.once(ASKED, Doing())
    (row,) = await IdempotencyRecord.all().values()
    assert "key-1" not in str(row)
    assert b"tk_1" not in bytes(row["body"])
    assert row["tenant_id"] == HERE


async def test_key_when_used_by_another_tenant_actor_or_route_then_another_key(keys: IdempotencyKeys) -> None:
    doing = Doing()
    await keys.once(ASKED, doing)
    await keys.once(Attempt("key-1", "user:2", ASKED.route, "other"), doing)
    await keys.once(Attempt("key-1", ASKED.actor, "POST /others", "other"), doing)
    with bind(THERE):
        await keys.once(ASKED, doing)
    with bind(None):
        await keys.once(ASKED, doing)
        await keys.once(ASKED, doing)
        assert await PersonalIdempotencyRecord.all().count() == 1
    assert doing.times == 5


async def test_key_when_used_for_another_request_then_mismatch(keys: IdempotencyKeys) -> None:
    doing = Doing()
    await keys.once(ASKED, doing)
    with pytest.raises(IdempotencyMismatch):
        await keys.once(Attempt("key-1", ASKED.actor, ASKED.route, "another hash"), doing)
    assert doing.times == 1


async def test_request_when_the_first_still_runs_then_conflict(keys: IdempotencyKeys) -> None:
    doing = Doing()
    doing.feature_gate.clear()
    first = asyncio.create_task(keys.once(ASKED, doing))
    await doing.begun.wait()
    with pytest.raises(Conflict, match="still running") as refused:
        await keys.once(ASKED, doing)
    assert refused.value.headers == {"Retry-After": "1"}
    doing.feature_gate.set()
    assert (await first).status == 201


async def test_request_when_many_come_at_once_then_one_is_done(keys: IdempotencyKeys) -> None:
    doing = Doing()
    answers = await asyncio.gather(*(keys.once(ASKED, doing) for _ in range(8)), return_exceptions=True)
    assert doing.times == 1
    assert all(isinstance(answer, Reply | Conflict) for answer in answers)


async def test_request_when_its_client_leaves_then_finished_all_the_same(keys: IdempotencyKeys) -> None:
    doing = Doing()
    doing.feature_gate.clear()
    first = asyncio.create_task(keys.once(ASKED, doing))
    await doing.begun.wait()
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    doing.feature_gate.set()
    await asyncio.gather(*keys._running)
    assert (await keys.once(ASKED, doing)).status == 201
    assert doing.times == 1


async def test_request_when_it_fails_or_is_refused_then_the_key_is_free_again(keys: IdempotencyKeys) -> None:
    async def failing() -> Reply:
        raise ValueError

    with pytest.raises(ValueError):
        await keys.once(ASKED, failing)
    assert (await keys.once(ASKED, Doing(422))).status == 422
    doing = Doing()
    assert (await keys.once(ASKED, doing)).status == 201
    assert doing.times == 1


async def test_request_when_it_takes_too_long_then_given_up_and_the_key_is_free(keys: IdempotencyKeys) -> None:
    doing = Doing()
    doing.feature_gate.clear()
    with pytest.raises(TimeoutError):
        await IdempotencyKeys(0.05, SECRET).once(ASKED, doing)
    doing.feature_gate.set()
    assert (await keys.once(ASKED, doing)).status == 201


async def test_key_when_its_process_died_then_taken_over_by_one(keys: IdempotencyKeys) -> None:
    await keys.once(ASKED, Doing())
    await IdempotencyRecord.all().update(status=None, body=None)  # as a crash leaves it
    doing = Doing()
    with pytest.raises(Conflict):
        await keys.once(ASKED, doing)
    with time_machine.travel(timedelta(seconds=10)):
        answers = await asyncio.gather(*(keys.once(ASKED, doing) for _ in range(4)), return_exceptions=True)
    assert doing.times == 1
    assert sum(isinstance(answer, Reply) for answer in answers) >= 1


async def test_key_when_its_day_is_over_then_free_and_swept(keys: IdempotencyKeys) -> None:
    doing = Doing()
    await keys.once(ASKED, doing)
    with time_machine.travel(timedelta(hours=25)):
        await keys.once(ASKED, doing)
        assert doing.times == 2
        assert await forget_expired() == 0
    with time_machine.travel(timedelta(hours=50)):
        assert await forget_expired() == 1


@pytest.mark.parametrize("body", [b"x" * (idempotency.MAX_KEPT_BODY + 1), "stream"])
async def test_answer_when_it_cannot_be_kept_then_done_once_and_conflict_after(
    keys: IdempotencyKeys, body: Any
) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"x"

    doing = Doing(200, pieces() if body == "stream" else body)
    await keys.once(ASKED, doing)
    with pytest.raises(Conflict, match="too large to be kept") as refused:
        await keys.once(ASKED, doing)
    assert refused.value.details == {"status": 200, "location": "/x"}
    assert doing.times == 1


async def test_keys_when_an_actor_has_too_many_then_refused_but_known_ones_replayed(
    keys: IdempotencyKeys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(idempotency, "MAX_KEYS", 2)
    doing = Doing()
    for key in ("1", "2"):
        await keys.once(replace(ASKED, key=key), doing)
    with pytest.raises(RateLimited, match="wait, or send this without one"):
        await keys.once(replace(ASKED, key="3"), doing)
    assert (await keys.once(replace(ASKED, key="1"), doing)).status == 201
    await keys.once(replace(ASKED, key="3", actor="user:2"), doing)
    assert doing.times == 3


ACTOR = Actor("user", uuid4())


async def test_attempt_when_a_post_sends_a_key_then_it_holds_what_was_asked(web: Any) -> None:
    def request(name: str = "x", path: str = "/a") -> Any:
        return web.request("POST", path, json={"name": name}, headers={"idempotency-key": "k"})

    first, same = await attempt_of(request(), POST, ACTOR), await attempt_of(request(), POST, ACTOR)
    assert first == same
    assert first is not None
    assert (first.key, first.actor, first.route) == ("k", f"user:{ACTOR.id}", "POST /things")
    assert first != await attempt_of(request("y"), POST, ACTOR)
    assert first != await attempt_of(request(path="/b"), POST, ACTOR)
    assert "'k'" not in repr(first)


@pytest.mark.parametrize("framing", ["content-length", "transfer-encoding"])
async def test_attempt_when_a_raw_body_of_the_same_length_differs_then_another_request(web: Any, framing: str) -> None:
    def request(body: bytes) -> Any:
        headers = {"idempotency-key": "k", framing: "3" if framing == "content-length" else "chunked"}
        return web.request("POST", "/files", headers=headers, receive=web.Messages(body))

    async def attempt(body: bytes) -> Any:
        return await attempt_of(request(body), RAW, ACTOR)

    assert await attempt(b"abc") == await attempt(b"abc") != await attempt(b"abd")


@pytest.mark.parametrize("name", ["accept", "content-type", "content-encoding", "if-match"])
async def test_attempt_when_a_header_that_matters_differs_then_another_request(web: Any, name: str) -> None:
    async def attempt(value: str) -> Any:
        headers = {"idempotency-key": "k", name: value}
        return await attempt_of(web.request("POST", "/files", headers=headers, body=b"abc"), RAW, ACTOR)

    assert await attempt("1") == await attempt("1") != await attempt("2")


async def test_attempt_when_a_raw_body_is_too_large_to_compare_then_refused(
    web: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(idempotency, "MAX_RAW_BODY", 2)
    keyed = web.request("POST", "/files", headers={"idempotency-key": "k"}, body=b"abc")
    with pytest.raises(PayloadTooLarge):
        await attempt_of(keyed, RAW, ACTOR)


@pytest.mark.parametrize("changes", [{"status": 200}, {"public": True, "permission": None}])
async def test_attempt_when_the_route_creates_nothing_or_is_public_then_none(web: Any, changes: Any) -> None:
    keyed = web.request("POST", json={}, headers={"idempotency-key": "k"})
    assert await attempt_of(keyed, replace(POST, **changes), ACTOR) is None


async def test_attempt_when_there_is_no_key_or_nobody_then_none(web: Any) -> None:
    keyed = {"idempotency-key": "k"}
    assert await attempt_of(web.request("POST", json={}), POST, ACTOR) is None
    assert await attempt_of(web.request("POST", json={}, headers=keyed), POST, Actor("anonymous")) is None
    get = Route("GET", "/things", handler, "x", "x", public=True)
    assert await attempt_of(web.request("GET", headers=keyed), get, ACTOR) is None


@pytest.mark.parametrize("key", ["", "x" * 256, "a\tb", "ä"])
async def test_attempt_when_the_key_is_none_then_bad_request(web: Any, key: str) -> None:
    request = web.request("POST", json={}, headers={"idempotency-key": key.encode("latin-1")})
    with pytest.raises(BadRequest):
        await attempt_of(request, POST, ACTOR)
