from __future__ import annotations

from typing import Any

import pytest

from host import errors
from host.errors import ApiError
from host.web.responses.error_documents import document, refusal


def every(kind: type[ApiError] = ApiError) -> list[type[ApiError]]:
    return [kind, *(each for below in kind.__subclasses__() for each in every(below))]


@pytest.mark.parametrize("kind", every(), ids=lambda kind: kind.__name__)
def test_error_when_told_then_the_contracts_document(web: Any, kind: type[ApiError]) -> None:
    reply = document(kind("What happened.", details={"a": 1}), None, "r-1")
    facts = {"code": kind.code, "message": "What happened.", "status": kind.status, "details": {"a": 1}}
    assert web.told(reply) == {"success": False, "error": facts | {"request_id": "r-1"}}
    assert reply.status == kind.status >= 400
    assert web.header(reply, b"content-type") == b"application/json"
    assert web.header(reply, b"cache-control") == b"no-store"
    assert web.header(reply, b"content-length") == str(len(reply.body)).encode()


def test_error_when_client_wants_rfc_9457_then_the_same_facts(web: Any) -> None:
    reply = document(errors.NotFound(), b"application/problem+json", "r-1")
    assert web.header(reply, b"content-type") == b"application/problem+json"
    assert web.told(reply) == {
        "type": "about:blank",
        "title": "Not Found",
        "status": 404,
        "detail": "There is no such thing here.",
        "code": "NOT_FOUND",
        "details": {},
        "request_id": "r-1",
    }


def test_error_when_it_brings_headers_then_they_are_set(web: Any) -> None:
    assert web.header(document(errors.Unavailable(retry_after=7), None, ""), b"retry-after") == b"7"
    assert web.header(document(errors.TokenExpired(), None, ""), b"www-authenticate") == b'Bearer realm="tenantry"'
    own = errors.Unauthenticated(headers={"WWW-Authenticate": "Basic"})
    assert web.header(document(own, None, ""), b"www-authenticate") == b"Basic"


def test_error_when_its_details_cannot_be_said_then_told_without_them(web: Any) -> None:
    reply = document(errors.Conflict("Clash.", details={"a": object()}), None, "r")
    assert (reply.status, web.told(reply)["error"]["details"]) == (409, {})


def test_refusal_when_status_is_known_then_its_code_and_the_data_as_details(web: Any) -> None:
    assert web.told(refusal(404, {"a": 1}, None))["error"]["code"] == "NOT_FOUND"
    assert web.told(refusal(418, [1], None))["error"] | {"message": ""} == {
        "code": "INTERNAL_ERROR",
        "message": "",
        "status": 418,
        "details": {"data": [1]},
        "request_id": "",
    }
