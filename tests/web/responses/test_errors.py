from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
from tortoise.exceptions import BaseORMException, DBConnectionError, DoesNotExist
from werkzeug.exceptions import BadGateway, Forbidden, ImATeapot, MethodNotAllowed, RequestTimeout
from werkzeug.exceptions import NotFound as Missing
from werkzeug.routing import RequestRedirect

from host import errors
from host.web.responses.errors import problem, told
from tenants.context import TenantMissing, WrongTenant, bind
from tenants.models import Membership, Role, Tenant, User


@pytest.mark.parametrize(
    ("exc", "status", "code"),
    [
        (errors.Conflict(), 409, "CONFLICT"),
        (Missing(), 404, "NOT_FOUND"),
        (Forbidden(), 403, "PERMISSION_DENIED"),
        (RequestTimeout(), 408, "REQUEST_TIMEOUT"),
        (RequestRedirect("http://x/"), 404, "NOT_FOUND"),
        (WrongTenant("foreign row"), 404, "NOT_FOUND"),
        (DoesNotExist("x"), 404, "NOT_FOUND"),
        (TimeoutError(), 503, "UNAVAILABLE"),
        (ConnectionRefusedError(), 503, "UNAVAILABLE"),
        (DBConnectionError("away"), 503, "UNAVAILABLE"),
        (asyncpg.InternalClientError("cannot switch to state 15"), 503, "UNAVAILABLE"),
        (asyncpg.InterfaceError("connection has been released back to the pool"), 503, "UNAVAILABLE"),
        (ExceptionGroup("two", [errors.NotFound(), ExceptionGroup("in", [errors.NotFound()])]), 404, "NOT_FOUND"),
    ],
)
def test_exception_when_known_then_told_as_the_contract_says(web: Any, exc: Exception, status: int, code: str) -> None:
    reply = problem(exc, None, "r-1")
    assert (reply.status, web.told(reply)["error"]["code"]) == (status, code)
    assert web.told(reply)["error"]["request_id"] == "r-1"
    if status == 503:
        assert web.header(reply, b"retry-after") == b"1"


@pytest.mark.parametrize(
    "exc",
    [
        ValueError("secret=hunter2"),
        KeyError("x"),
        TenantMissing("no tenant"),
        ImATeapot(),
        BadGateway(),
        ExceptionGroup("mixed", [errors.NotFound(), ValueError("hunter2")]),
        BaseORMException("hunter2"),
    ],
)
def test_exception_when_our_own_fault_then_logged_and_told_without_a_word_of_it(
    web: Any, exc: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR, "host.web"):
        reply = problem(exc, None, "r-1")
    assert (reply.status, web.told(reply)["error"]["code"]) == (500, "INTERNAL_ERROR")
    assert b"hunter2" not in bytes(reply.body)
    assert caplog.records[-1].exc_info is not None
    assert caplog.records[-1].exc_info[1] is exc


def test_method_when_not_allowed_then_the_allowed_ones_are_named(web: Any) -> None:
    reply = problem(MethodNotAllowed(["GET", "HEAD"]), None, "r")
    assert (reply.status, web.header(reply, b"allow")) == (405, b"GET, HEAD, OPTIONS")


async def failure(doing: Awaitable[Any]) -> Exception:
    try:
        await doing
    except Exception as error:
        return error
    raise AssertionError("nothing was raised")


@pytest.fixture
async def tenant(database: Any) -> Tenant:
    return await Tenant.create(slug="acme", name="Acme", plan="free")


async def test_row_when_it_exists_already_then_conflict(tenant: Tenant) -> None:
    error = told(await failure(Tenant.create(slug="acme", name="Other", plan="free")))
    assert (error.status, error.message) == (409, "Such a thing exists already.")


async def test_row_when_it_refers_to_nothing_then_conflict(tenant: Tenant) -> None:
    with bind(tenant.id):
        role = await Role.create(name="owner")
        error = told(await failure(Membership.create(user_id=uuid4(), role=role)))
    assert error.status == 409
    assert error.message.startswith("It refers to something that is not here")


async def test_row_when_something_refers_to_it_then_conflict(tenant: Tenant) -> None:
    with bind(tenant.id):
        role = await Role.create(name="owner")
        user = await User.create(email="a@b.c", name="A")
        await Membership.create(user=user, role=role)
        error = told(await failure(role.delete()))
    assert error.status == 409
    assert "still refers to it" in error.message


def _long() -> Awaitable[Any]:
    return Tenant.create(slug="s" * 64, name="x", plan="free")


def _huge() -> Awaitable[Any]:
    return Tenant.create(slug="huge", name="x", plan="free", version=2**70)


@pytest.mark.parametrize("make", [_long, _huge], ids=["too long", "too large"])
async def test_value_when_it_cannot_be_stored_then_unprocessable(
    tenant: Tenant, make: Callable[[], Awaitable[Any]]
) -> None:
    assert told(await failure(make())).status == 422


async def test_text_when_it_holds_nul_on_postgres_then_unprocessable(tenant: Tenant, backend: str) -> None:
    if backend != "postgres":
        pytest.skip("SQLite stores U+0000")
    assert told(await failure(Tenant.create(slug="nul", name="a\x00b", plan="free"))).status == 422


async def test_database_when_it_cuts_the_connection_then_unavailable(database: Any, backend: str) -> None:
    if backend != "postgres":
        pytest.skip("SQLite has no connections to cut")
    (row,) = await database.fetch("SELECT current_database() AS name")
    waiting = asyncio.create_task(failure(database.fetch("SELECT pg_sleep(10)")))
    await asyncio.sleep(0.2)
    admin = await asyncpg.connect(os.environ["TEST_DATABASE_URL"])
    cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1 AND query LIKE '%pg_sleep%'"
    await admin.execute(cut, row["name"])
    await admin.close()
    assert told(await asyncio.wait_for(waiting, 5)).status == 503


async def test_service_when_away_then_one_line_says_where_and_the_answer_does_not(
    web: Any, caplog: pytest.LogCaptureFixture
) -> None:
    error = await failure(_away())
    with caplog.at_level(logging.WARNING, "host.web"):
        reply = problem(error, None, "r-1")
    assert (reply.status, web.header(reply, b"retry-after")) == (503, b"1")
    assert b"10.0.0.5" not in bytes(reply.body)
    (record,) = caplog.records
    assert (record.levelname, record.exc_info) == ("WARNING", None)
    assert "10.0.0.5" in record.getMessage()


async def _away() -> None:
    try:
        raise ConnectionRefusedError
    except OSError as error:
        raise errors.Unavailable("The database is away: connecting to 10.0.0.5 failed") from error


async def test_database_when_its_connections_are_cut_under_load_then_nothing_but_unavailable(
    database: Any, backend: str
) -> None:
    if backend != "postgres":
        pytest.skip("SQLite has no connections to cut")
    (row,) = await database.fetch("SELECT current_database() AS name")
    tenant = await Tenant.create(slug="acme", name="Acme", plan="free")
    cutting, refused = True, []

    async def work(number: int) -> None:
        while cutting:
            try:
                if number % 2:
                    await Tenant.filter(id=tenant.id).values()
                    continue
                with bind(tenant.id):
                    async with database.transaction():
                        await Role.create(name=str(uuid4()))
            except Exception as error:
                refused.append(told(error).status)
                await asyncio.sleep(0)

    working = [asyncio.create_task(work(number)) for number in range(16)]
    admin = await asyncpg.connect(os.environ["TEST_DATABASE_URL"])
    for _ in range(15):
        await asyncio.sleep(0.1)
        await admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", row["name"])
    cutting = False
    await admin.close()
    await asyncio.gather(*working)
    assert set(refused) == {503}


async def test_database_when_nobody_listens_then_unavailable() -> None:
    for host in ("127.0.0.1", "localhost"):
        error = await failure(asyncpg.connect(host=host, port=1, user="x", timeout=5))
        assert told(error).status == 503


async def test_statement_when_it_takes_too_long_then_unavailable(new_database: Any, backend: str) -> None:
    if backend != "postgres":
        pytest.skip("SQLite has no statement time-out")
    database = await new_database(timeout=0.2)
    with database.bind():
        error = await failure(database.fetch("SELECT pg_sleep(5)"))
    assert told(error).status == 503


async def test_another_tenants_row_when_referred_to_then_answered_as_one_that_never_existed(tenant: Tenant) -> None:
    other = await Tenant.create(slug="other", name="Other", plan="free")
    user = await User.create(email="a@b.c", name="A")
    with bind(other.id):
        foreign = await Role.create(name="owner")
    answers = []
    with bind(tenant.id):
        for role_id in (foreign.id, uuid4()):
            answers.append(problem(await failure(Membership.create(user=user, role_id=role_id)), None, "r"))
    assert (answers[0].status, answers[0].body) == (answers[1].status, answers[1].body)
    assert answers[0].status in {404, 409}
