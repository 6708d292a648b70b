"""Check the Accept header: refuse what the client could not read, and choose the format of errors."""

from __future__ import annotations

from functools import lru_cache

from host.contracts import Download, Events, Route, Stream
from host.errors import NotAcceptable

_JSON = ("application", "json")
_PROBLEM = ("application", "problem+json")


def check_accept(accept: bytes | None, route: Route) -> None:
    """Refuse, before anything is done, a request whose answer its client could not read.

    Routes that return a `Stream`, a `Download` or `Events` answer with other types than JSON and are not checked.

    Raises:
        NotAcceptable: Accept names neither application/json nor a range that holds it.
    """
    if accept is None or accept == b"*/*" or route.returns in {Stream, Download, Events}:
        return
    if not _reads_json(accept):
        raise NotAcceptable(details={"offered": ["application/json", "application/problem+json"]})


def wants_problem(accept: bytes | None) -> bool:
    """Whether errors should be RFC 9457 documents: Accept names that type, and does not prefer application/json."""
    return accept is not None and b"problem+json" in accept and _likes_problem(accept)


@lru_cache(maxsize=256)
def _reads_json(accept: bytes) -> bool:
    ranges = _ranges(accept)
    return not ranges or _quality(ranges, _JSON) > 0 or _quality(ranges, _PROBLEM) > 0


@lru_cache(maxsize=256)
def _likes_problem(accept: bytes) -> bool:
    ranges = _ranges(accept)
    return ranges.get(_PROBLEM, 0) > 0 and ranges[_PROBLEM] >= ranges.get(_JSON, 0)


def _quality(ranges: dict[tuple[str, str], float], media_type: tuple[str, str]) -> float:
    for candidate in (media_type, (media_type[0], "*"), ("*", "*")):
        if candidate in ranges:
            return ranges[candidate]
    return 0


def _ranges(accept: bytes) -> dict[tuple[str, str], float]:
    """Media ranges and their quality (RFC 9110, section 12.5.1); unreadable ones are left out."""
    ranges: dict[tuple[str, str], float] = {}
    for part in accept.decode("latin-1").lower().split(","):
        media, *parameters = (piece.strip() for piece in part.split(";"))
        kind, slash, subtype = media.partition("/")
        if slash:
            ranges[(kind.strip(), subtype.strip())] = _q(parameters)
    return ranges


def _q(parameters: list[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                return float(value)
            except ValueError:
                return 0
    return 1
