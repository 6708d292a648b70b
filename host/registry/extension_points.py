"""Extension points: check what plugins contribute to one another, and hand it out guarded as its own plugin's code."""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import lru_cache, partial, wraps
from typing import Any, TypeVar, get_type_hints

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic_core import PydanticUndefined

from host.contracts import Contributed, Contribution, ExtensionPoint
from host.input_errors import nearest, validation_messages
from host.registry.checks import Scope
from host.registry.guarded_call import describe
from host.registry.hook_calls import Calling
from host.registry.loading import is_async

T = TypeVar("T")
_NAME = re.compile(r"[a-z][a-z0-9_]*\.[a-z][a-z0-9_]*")


@dataclasses.dataclass(frozen=True, slots=True)
class PointField:
    """One field of an extension point's model. default: as Python writes it; empty for a field that must be given."""

    name: str
    type: str
    default: str = ""

    def __str__(self) -> str:
        return f"{self.name}: {self.type}{self.default and f' = {self.default}'}"


class ExtensionPoints:
    """The points that loaded plugins offer, each with what is contributed to it, in load order."""

    def __init__(
        self,
        points: Mapping[str, ExtensionPoint[Any]],
        contributions: Sequence[tuple[str, Contribution]],
        hook_calls: Calling,
    ) -> None:
        """Take checked declarations; a contribution to a point that nobody offers is ignored."""
        self.points = points
        self._hook_calls = hook_calls
        self._contributed: dict[str, list[Contributed[Any]]] = {name: [] for name in points}
        for plugin, contribution in contributions:
            if point := points.get(contribution.point):
                content = _changed(dict(contribution.content), partial(self._guarded, plugin, point))
                self._contributed[point.name].append(Contributed(plugin, _fitted(point, content)))

    def contributed(self, point: ExtensionPoint[T], active: Collection[str]) -> tuple[Contributed[T], ...]:
        """What active plugins contribute to a point; nothing while the plugin that offers it is not active.

        Raises:
            LookupError: no loaded plugin offers it.
        """
        if point.name not in self._contributed:
            raise LookupError(
                f"no loaded plugin offers the extension point {point.name!r}: return it from register_extension_points"
            )
        if owner_of(point.name) not in active:
            return ()
        return tuple(each for each in self._contributed[point.name] if each.plugin in active)

    def _guarded(self, plugin: str, point: ExtensionPoint[Any], function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        async def call(*args: object, **kwargs: object) -> object:
            work = partial(function, *args, **kwargs)
            return await self._hook_calls.ask_function(plugin, point.name, work, point.timeout)

        return call


def owner_of(point: str) -> str:
    """The id of the plugin that offers a point, by the point's name."""
    return point.partition(".")[0]


def fields(point: ExtensionPoint[Any]) -> tuple[PointField, ...]:
    """The fields of a point's model, for people to read."""
    declared: list[tuple[str, object, object]]
    if issubclass(point.model, BaseModel):
        declared = [(name, field.default, field.default_factory) for name, field in point.model.model_fields.items()]
    else:
        declared = [(field.name, field.default, field.default_factory) for field in dataclasses.fields(point.model)]
    hints = get_type_hints(point.model)
    return tuple(PointField(name, _written(hints[name]), _default(value, made)) for name, value, made in declared)


def summary(point: ExtensionPoint[Any]) -> str:
    """The first line of a point's model's docstring; empty where nobody wrote one."""
    written = (point.model.__doc__ or "").strip().partition("\n")[0]
    return "" if written.startswith(f"{point.model.__name__}(") else written  # a dataclass writes its own


# -- checked at the start --------------------------------------------------------------------------------


def points(items: Sequence[ExtensionPoint[Any]], scope: Scope) -> Iterator[str]:
    """What is wrong with the points that a plugin offers."""
    for point in items:
        where = f'extension point "{point.name}"'
        if not _NAME.fullmatch(point.name) or owner_of(point.name) not in scope.areas:
            yield f'{where} must be named "{scope.plugin}.<what>"; rename it'
        if not _is_model(point.model):
            yield f"{where}: its model must be a pydantic model or a frozen dataclass, not {point.model!r}"
        elif wrong := _unusable(point.model):
            yield f"{where}: its model cannot be checked: {wrong}"
        if point.timeout <= 0:
            yield f"{where}: timeout must be above 0"


def contributions(items: Sequence[Contribution], scope: Scope) -> Iterator[str]:
    """What is wrong with a plugin's contributions; one to a plugin that is not loaded is ignored."""
    offered = scope.names["extension point"]
    for item in items:
        owner, point = owner_of(item.point), offered.get(item.point)
        if isinstance(point, ExtensionPoint) and _is_model(point.model) and not _unusable(point.model):
            for line in _unfit(point, item.content):
                yield f'contribution to "{item.point}" of plugin "{owner}": {line}'
        elif point is None and owner in scope.loaded and scope.is_missing("extension point", item.point):
            remedy = nearest(item.point, offered)
            yield f'contribution: plugin "{owner}" offers no extension point "{item.point}"{remedy}'


def _unfit(point: ExtensionPoint[Any], content: Mapping[str, Any]) -> Iterator[str]:
    if not isinstance(content, Mapping):
        yield f"its content must be a mapping with the model's fields, not {content!r}"
        return
    names = [field.name for field in fields(point)]
    if not _names_are_checked(point.model):
        yield from (f"there is no field {name!r}{nearest(name, names)}" for name in content if name not in names)
    plain: list[str] = []

    def look(function: Callable[..., Any]) -> Callable[..., Any]:
        plain.extend([] if is_async(function) else [_named(function)])
        return function

    _changed(dict(content), look)
    yield from (f"{name} must be `async def`" for name in plain)
    try:
        _fitted(point, content)
    except ValidationError as error:
        messages = validation_messages(error, dict(content), "the content", tuple(names))
        yield from (f"{path} {message}" for path, message in messages.items())
    except Exception as error:  # of a validator in the model
        yield f"checking it raised {describe(error)}"


def _is_model(model: object) -> bool:
    if not isinstance(model, type):
        return False
    parameters = getattr(model, "__dataclass_params__", None)
    return (issubclass(model, BaseModel) and model is not BaseModel) or bool(parameters and parameters.frozen)


def _unusable(model: type) -> str:
    """Why pydantic cannot check this model; empty where it can."""
    try:
        _adapter(model)
    except Exception as error:
        return describe(error)
    return ""


def _names_are_checked(model: type) -> bool:
    """Whether the model itself says what happens to names that it does not know."""
    return issubclass(model, BaseModel) and model.model_config.get("extra") in ("allow", "forbid")


@lru_cache(maxsize=256)
def _adapter(model: Any) -> TypeAdapter[Any]:
    return TypeAdapter(model)


def _fitted(point: ExtensionPoint[Any], content: Mapping[str, Any]) -> Any:
    model: Any = point.model
    return _adapter(model).validate_python(dict(content))


def _changed(value: Any, change: Callable[[Callable[..., Any]], Any]) -> Any:
    """A copy of a contribution's content in which every function, however deep it stands, is what `change` makes of it.

    Classes, though they can be called, stay what they are.
    """
    if isinstance(value, type):
        return value
    if callable(value):
        return change(value)
    if isinstance(value, Mapping):
        return {name: _changed(inner, change) for name, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        made = list if isinstance(value, list) else tuple if isinstance(value, tuple) else frozenset
        return made(_changed(inner, change) for inner in value)
    if isinstance(value, BaseModel):
        return value.model_copy(update={name: _changed(inner, change) for name, inner in value})
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        inner_fields = [field.name for field in dataclasses.fields(value) if field.init]
        return dataclasses.replace(value, **{name: _changed(getattr(value, name), change) for name in inner_fields})
    return value


def _written(annotation: object) -> str:
    """A type as people write it, without the modules its parts are from."""
    return re.sub(r"\b(?:\w+\.)+(?=[A-Z])", "", inspect.formatannotation(annotation))


def _default(value: object, made: object) -> str:
    if callable(made):
        return f"{_named(made)}()"
    if value is PydanticUndefined or value is dataclasses.MISSING:
        return ""
    return _named(value) if callable(value) else repr(value)


def _named(function: object) -> str:
    return getattr(function, "__qualname__", None) or repr(function)
