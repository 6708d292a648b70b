"""Build the JSON document of an error, in the API's own format or as RFC 9457 problem details."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from host import errors
from host.errors import ApiError
from host.execution_context import origin, plugin
from host.instruments import tally
from host.web.responses.content_negotiation import wants_problem
from host.web.responses.reply import HeaderPairs, Reply, dumps, header_value

_log = logging.getLogger("host.web")

BY_STATUS: Mapping[int, type[ApiError]] = {
    400: errors.BadRequest,
    401: errors.Unauthenticated,
    402: errors.PlanRequired,
    403: errors.PermissionDenied,
    404: errors.NotFound,
    405: errors.MethodNotAllowed,
    406: errors.NotAcceptable,
    408: errors.RequestTimeout,
    409: errors.Conflict,
    412: errors.PreconditionFailed,
    413: errors.PayloadTooLarge,
    414: errors.BadRequest,
    415: errors.UnsupportedMediaType,
    416: errors.RangeNotSatisfiable,
    422: errors.ValidationFailed,
    429: errors.RateLimited,
    431: errors.BadRequest,
    503: errors.Unavailable,
}
"""The host's error class for each status of another library's error."""


def refusal(status: int, details: Any, accept: bytes | None) -> Reply:
    """The error document of an `Answer` with an error status; its data become the details."""
    kind = BY_STATUS.get(status, ApiError)
    error = kind(details=details if isinstance(details, Mapping) else {"data": details})
    error.status = status
    return document(error, accept, origin().request_id)


def document(error: ApiError, accept: bytes | None, request_id: str) -> Reply:
    """The reply that carries an error, in the format that Accept prefers."""
    if wants_problem(accept):
        content_type, content = b"application/problem+json", _rfc9457(error, request_id)
    else:
        content_type, content = b"application/json", _problem_details(error, request_id)
    try:
        body = dumps(content)
    except TypeError:
        _log.exception("the details of error %s cannot be encoded as JSON and are left out", error.code)
        return document(type(error)(error.message), accept, request_id)
    tally("tenantry_http_errors_total", error.code, plugin())
    pairs: HeaderPairs = [
        (b"content-type", content_type),
        (b"content-length", b"%d" % len(body)),
        (b"cache-control", b"no-store"),
    ]
    pairs += [(name.lower().encode("latin-1"), header_value(name, value)) for name, value in error.headers.items()]
    if error.status == 401 and "www-authenticate" not in {name.lower() for name in error.headers}:
        pairs.append((b"www-authenticate", b'Bearer realm="tenantry"'))
    return Reply(error.status, pairs, body)


def _problem_details(error: ApiError, request_id: str) -> dict[str, Any]:
    facts = {
        "code": error.code,
        "message": error.message,
        "status": error.status,
        "details": error.details,
        "request_id": request_id,
    }
    return {"success": False, "error": facts}


def _rfc9457(error: ApiError, request_id: str) -> dict[str, Any]:
    try:
        title = HTTPStatus(error.status).phrase
    except ValueError:
        title = error.code
    return {
        "type": "about:blank",
        "title": title,
        "status": error.status,
        "detail": error.message,
        "code": error.code,
        "details": error.details,
        "request_id": request_id,
    }
