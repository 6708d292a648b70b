"""The exceptions that become HTTP error answers, each with its status, code and message."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


class ApiError(Exception):
    """An error that a client is meant to see.

    Attributes:
        status: the HTTP status it is answered with.
        code: the stable upper-case code of the contract.
        details: JSON-able facts; for 422 a map of field path to message.
        headers: response headers it brings, such as `Retry-After`.

    Example:
        try:
            await spend("notes.notes")
        except ApiError as error:
            await record_failure("notes.notes.create", error.message, outcome="denied")
    """

    status = 500
    code = "INTERNAL_ERROR"
    default_message = "Something went wrong on our side; quote the request id when you report it."

    def __init__(
        self,
        message: str | None = None,
        *,
        details: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.message = message or self.default_message
        self.details: dict[str, Any] = dict(details or {})
        self.headers: dict[str, str] = dict(headers or {})
        super().__init__(self.message)


class BadRequest(ApiError):
    """400: the request cannot be read.

    Example:
        raise BadRequest("The file is no CSV.")
    """

    status, code, default_message = 400, "BAD_REQUEST", "The request could not be read."


class Unauthenticated(ApiError):
    """401: nobody is known to be asking.

    Example:
        raise Unauthenticated("The signature is missing.")
    """

    status, code, default_message = 401, "UNAUTHENTICATED", "Sign in, or send an access token or an API key."


class TokenExpired(Unauthenticated):
    code, default_message = "TOKEN_EXPIRED", "The access token has expired; refresh it."


class PlanRequired(ApiError):
    status, code, default_message = 402, "PLAN_REQUIRED", "The plan of this organisation does not include this feature."


class QuotaExceeded(ApiError):
    """402: the plan does not allow that much; `spend` raises it by itself.

    Example:
        raise QuotaExceeded("A note has 25 readers at most.", details={"name": "notes.readers", "limit": "25"})
    """

    status, code, default_message = 402, "QUOTA_EXCEEDED", "A quota of the plan is used up."


class PermissionDenied(ApiError):
    """403: whoever asks may not do this.

    Example:
        raise PermissionDenied("Only its author changes a note.")
    """

    status, code, default_message = 403, "PERMISSION_DENIED", "You lack the permission for this."


class TenantSuspended(ApiError):
    status, code, default_message = 403, "TENANT_SUSPENDED", "This organisation is suspended."


class NotFound(ApiError):
    """404: there is no such thing, or whoever asks may not know of it.

    Example:
        raise NotFound("There is no such note.")
    """

    status, code, default_message = 404, "NOT_FOUND", "There is no such thing here."


class PluginDisabled(ApiError):
    status, code, default_message = 404, "PLUGIN_DISABLED", "This feature is switched off for this organisation."


class MethodNotAllowed(ApiError):
    status, code, default_message = 405, "METHOD_NOT_ALLOWED", "This resource does not take that method."


class NotAcceptable(ApiError):
    status, code, default_message = 406, "NOT_ACCEPTABLE", "This resource answers with application/json."


class RequestTimeout(ApiError):
    status, code, default_message = 408, "REQUEST_TIMEOUT", "The request body did not arrive in time."


class Conflict(ApiError):
    """409: it clashes with something that exists, or with the state of the thing.

    Example:
        raise Conflict("A note with this title exists already.", details={"title": title})
    """

    status, code, default_message = 409, "CONFLICT", "This clashes with something that exists or is still running."


class PreconditionFailed(ApiError):
    """412: it was changed since it was read; `If-Match` names another version.

    Example:
        raise PreconditionFailed(details={"version": note["version"]})
    """

    status, code, default_message = 412, "PRECONDITION_FAILED", "It was changed since you read it; read it again."


class PayloadTooLarge(ApiError):
    """413: the body, or a part of it, is too large.

    Example:
        raise PayloadTooLarge("A note has at most 1 MB.")
    """

    status, code, default_message = 413, "PAYLOAD_TOO_LARGE", "The request body is larger than allowed."


class UnsupportedMediaType(ApiError):
    status, code, default_message = 415, "UNSUPPORTED_MEDIA_TYPE", "Send the body as application/json."


class RangeNotSatisfiable(ApiError):
    status, code, default_message = 416, "RANGE_NOT_SATISFIABLE", "Nothing of the file is in the range asked for."


class ValidationFailed(ApiError):
    """422; `details` maps each field's path (`items.0.name`) to what is wrong with it.

    Example:
        raise ValidationFailed(details={"due_on": "lies in the past"})
    """

    status, code, default_message = 422, "VALIDATION_ERROR", "Some fields are not as they should be."


class IdempotencyMismatch(ApiError):
    status, code = 422, "IDEMPOTENCY_MISMATCH"
    default_message = "This Idempotency-Key was used for another request: use a key of its own for each."


class UpgradeRequired(ApiError):
    status, code, default_message = 426, "UPGRADE_REQUIRED", "This is a WebSocket: connect to it as one."

    def __init__(self, message: str | None = None, *, details: Mapping[str, Any] | None = None):
        super().__init__(message, details=details, headers={"Upgrade": "websocket", "Connection": "Upgrade"})


class RateLimited(ApiError):
    """429: a rate is used up; always carries Retry-After.

    Example:
        try:
            await allow("notes.searches")
        except RateLimited:
            return []
    """

    status, code, default_message = 429, "RATE_LIMITED", "Too many requests; wait as long as Retry-After says."


class Unavailable(ApiError):
    """503: a backing service (database, Redis, storage) is away; always carries Retry-After.

    Example:
        raise Unavailable("The translator does not answer.")
    """

    status, code, default_message = 503, "UNAVAILABLE", "A service behind this one is away; try again shortly."

    def __init__(self, message: str | None = None, *, details: Mapping[str, Any] | None = None, retry_after: int = 1):
        super().__init__(message, details=details, headers={"Retry-After": str(retry_after)})


class PluginQuarantined(Unavailable):
    code, default_message = "PLUGIN_QUARANTINED", "This feature failed and was taken out of service."


class ConfigurationError(Exception):
    """Broken configuration: stops the start. The message names file, key and remedy."""


def refuse(messages: Sequence[str]) -> None:
    """Raise one ConfigurationError that lists every complaint; do nothing when there is none.

    Raises:
        ConfigurationError: there is at least one complaint.
    """
    if len(messages) == 1:
        raise ConfigurationError(messages[0])
    if messages:
        raise ConfigurationError(f"{len(messages)} things are wrong:\n" + "\n".join(f"- {line}" for line in messages))
