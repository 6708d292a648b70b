"""The Routes collector, with which a plugin's `routes.py` declares its HTTP endpoints."""

from __future__ import annotations

import inspect
import re
from collections.abc import Awaitable, Callable, Iterator, Sequence
from functools import lru_cache
from typing import (
    Any,
    Literal,
    Required,
    TypedDict,
    TypeVar,
    Unpack,
    cast,
    get_args,
    get_origin,
    get_type_hints,
    overload,
)

from pydantic import BaseModel

from host.contracts import API_BASE, Accepted, Created, Download, Events, Limit, Page, Permission, PublicCache, Route
from host.errors import ConfigurationError

TYPED_PARAMETER = re.compile(r"<(?:(?P<kind>[^:<>(]+)(?:\([^)]*\))?:)?(?P<name>[A-Za-z_][A-Za-z0-9_]*)>")
"""A parameter in a route's path, with its kind where one is given."""

_HEADER = re.compile(r"[A-Za-z0-9]+(?:-[A-Za-z0-9]+)*")
_SENTENCE = re.compile(r".+?(?:[.?!](?=\s+[A-Z`]|\s*\Z|\n\n)|(?=\n\n))", re.DOTALL)

Handler = TypeVar("Handler", bound=Callable[..., Awaitable[Any]])
Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
LimitClass = Literal["public", "authenticated", "signed"]


class Declared(TypedDict, total=False):
    """The keywords of an endpoint's declaration; see `host.contracts.Route` for each field."""

    name: Required[str]
    summary: str
    permission: str | Permission
    signed_in: bool
    operator: bool
    public: bool
    needs_tenant: bool
    any_tenant_state: bool
    effects: bool
    body: type[BaseModel] | None
    query: type[BaseModel] | None
    listing: object
    returns: object
    status: int
    limit_class: LimitClass | None
    limits: tuple[str | Limit, ...]
    refusals: tuple[int, ...]
    max_body: int | None
    request_headers: tuple[str, ...]
    response_headers: tuple[str, ...]
    cache: PublicCache | None
    socket: bool


class Routes(Sequence[Route]):
    """The endpoints of one plugin, in the order they were declared; hand it to `register_routes` as it is.

    What a declaration leaves out is read from the handler: `summary` from the first sentence of its docstring, `body`
    and `query` from its annotations, `status` from what it returns (`Created` 201, `Accepted` 202, nothing 204, else
    200); a `Page` of a `listing` returns that listing's rows. `permission` and `limits` name
    what a `register_*` hook declares, or are the `Permission` and `Limit` themselves, thereby declared.

    Example:
        routes = Routes()

        @routes.get("/notes", permission=READ, name="notes.list", listing=NOTES)
        async def list_notes(query: Query) -> Page:
            return await NOTES.page(query)
    """

    def __init__(self) -> None:
        self._routes: list[Route] = []

    def __iter__(self) -> Iterator[Route]:
        return iter(self._routes)

    def __len__(self) -> int:
        return len(self._routes)

    @overload
    def __getitem__(self, index: int) -> Route: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Route]: ...

    def __getitem__(self, index: int | slice) -> Route | Sequence[Route]:
        return self._routes[index]

    def get(self, path: str, **declared: Unpack[Declared]) -> Callable[[Handler], Handler]:
        """Declare a GET endpoint; the keywords are the fields of `Declared`."""
        return self._decorator("GET", path, declared)

    def post(self, path: str, **declared: Unpack[Declared]) -> Callable[[Handler], Handler]:
        """Declare a POST endpoint; the keywords are the fields of `Declared`."""
        return self._decorator("POST", path, declared)

    def put(self, path: str, **declared: Unpack[Declared]) -> Callable[[Handler], Handler]:
        """Declare a PUT endpoint; the keywords are the fields of `Declared`."""
        return self._decorator("PUT", path, declared)

    def patch(self, path: str, **declared: Unpack[Declared]) -> Callable[[Handler], Handler]:
        """Declare a PATCH endpoint; the keywords are the fields of `Declared`."""
        return self._decorator("PATCH", path, declared)

    def delete(self, path: str, **declared: Unpack[Declared]) -> Callable[[Handler], Handler]:
        """Declare a DELETE endpoint; the keywords are the fields of `Declared`."""
        return self._decorator("DELETE", path, declared)

    def socket(self, path: str, **declared: Unpack[Declared]) -> Callable[[Handler], Handler]:
        """Declare a WebSocket, whose handler takes a `Socket`; the keywords are the fields of `Declared`."""
        return self._decorator("GET", path, {**declared, "socket": True})

    def _decorator(self, method: Method, path: str, declared: Declared) -> Callable[[Handler], Handler]:
        def declare(handler: Handler) -> Handler:
            self.add(method, path, handler, **declared)
            return handler

        return declare

    def add(
        self, method: Method, path: str, handler: Callable[..., Awaitable[Any]], **declared: Unpack[Declared]
    ) -> Route:
        """Declare one endpoint; the keywords are the fields of `Declared`.

        Raises:
            ConfigurationError: the path does not begin with "/", nothing says what it does, an annotation of the
                handler cannot be read, or what it says of headers is no name of one.
        """
        name = declared["name"]
        if not path.startswith("/") or path.startswith(API_BASE + "/"):
            raise ConfigurationError(f"{name}: the path {path!r} must begin with '/' and is already below {API_BASE}")
        fields = _inferred(handler, declared) | cast("dict[str, Any]", declared)
        if not fields["summary"]:
            raise ConfigurationError(
                f"{name}: {handler.__qualname__} in {handler.__module__} has no docstring; its first sentence says "
                "what the endpoint does, unless `summary` does"
            )
        for header in (*declared.get("request_headers", ()), *declared.get("response_headers", ())):
            if not _HEADER.fullmatch(header):
                raise ConfigurationError(f"{name}: {header!r} is no name of a header; write it as Upload-Offset")
        named = [declared["permission"]] if "permission" in declared else []
        used = (*named, *declared.get("limits", ()))
        fields["declares"] = tuple(item for item in used if not isinstance(item, str))
        fields["limits"] = tuple(map(_name, declared.get("limits", ())))
        fields["permission"] = _name(named[0]) if named else None
        route = Route(method=method, path=path, handler=handler, **fields)
        self._routes.append(route)
        return route


@lru_cache(maxsize=2000)
def openapi_path(path: str) -> str:
    """`/tasks/<uuid:task_id>` as OpenAPI writes it: `/tasks/{task_id}`."""
    return TYPED_PARAMETER.sub(lambda match: "{" + match["name"] + "}", path)


def annotations_of(handler: Callable[..., Any], name: str) -> dict[str, Any]:
    """A handler's annotations as types, parameter name -> type.

    Raises:
        ConfigurationError: one of them names something that its module does not import at run time.
    """
    try:
        return get_type_hints(inspect.unwrap(handler))
    except NameError as error:
        raise ConfigurationError(
            f"{name}: {handler.__qualname__} in {handler.__module__} has an annotation that cannot be read ({error}); "
            "import it outside `if TYPE_CHECKING`"
        ) from error


def split_docstring(handler: Callable[..., Any]) -> tuple[str, str]:
    """A handler's docstring as its first sentence, without the full stop, and the rest; both "" without one."""
    text = inspect.getdoc(handler) or ""
    if match := _SENTENCE.match(text):
        return " ".join(match[0].split()).removesuffix("."), text[match.end() :].strip()
    return " ".join(text.split()), ""


def _inferred(handler: Callable[..., Any], declared: Declared) -> dict[str, Any]:
    hints = annotations_of(handler, declared["name"])
    returned = hints.get("return", object)
    return {
        "summary": split_docstring(handler)[0],
        "body": _model(hints.get("body")),
        "query": _model(hints.get("query")),
        "status": _status(returned),
        "returns": returned
        if returned in {Download, Events}
        else declared.get("listing")
        if returned is Page
        else None,
    }


def _name(item: str | Permission | Limit) -> str:
    return item if isinstance(item, str) else item.name


def _model(annotation: Any) -> type[BaseModel] | None:
    return annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None


def _status(returned: Any) -> int:
    if returned is type(None):
        return 204
    kinds = [kind for kind in (get_args(returned) if get_origin(returned) else (returned,)) if isinstance(kind, type)]
    if kinds and all(issubclass(kind, Created) for kind in kinds):
        return 201
    if kinds and all(issubclass(kind, Accepted) for kind in kinds):
        return 202
    return 200
