"""Sort-key columns that order text the same on every database, and the case-folding SQL function for searches.

Every database gives the same order and the same answers, and an index can serve the order.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Any

from pypika_tortoise.terms import Function as SqlFunction
from tortoise import fields
from tortoise.expressions import Function
from tortoise.models import Model

from tenants.text import LONGEST_SORT_KEY, sort_key

FOLD = "text_fold"
"""The name of the SQL function that does what `tenants.text.fold` does; opening a database defines it."""


class _Folded(SqlFunction):
    def __init__(self, term: Any) -> None:
        super().__init__(FOLD, term)


class TextFold(Function):
    """`text_fold` in a query of the ORM: `.annotate(folded=TextFold("name")).filter(folded__contains=fold(text))`."""

    database_func = _Folded


class SortKeyField(fields.CharField[str]):
    """The `sort_key` of the text field `of`: written whenever that field is, never set or shown directly.

    A list that may be sorted by `of` is ordered by this one: give it an index (tenant_id, this, id).

    Example:
        title = fields.CharField(max_length=200)
        title_key = SortKeyField("title")
    """

    def __init__(self, of: str, **more: Any) -> None:
        self.of = of
        super().__init__(**{"max_length": LONGEST_SORT_KEY, "default": "", "db_default": "", **more})

    def to_db_value(self, value: Any, instance: type[Model] | Model) -> Any:
        """The sort key of the instance's text; without an instance, the value itself."""
        if isinstance(instance, Model):
            value = sort_key(getattr(instance, self.of))
            setattr(instance, self.model_field_name, value)
        return super().to_db_value(value, instance)


@cache
def sort_keys(model: type[Model]) -> dict[str, str]:
    """The fields of a model that have a sort key, and the key's own field."""
    return {field.of: name for name, field in model._meta.fields_map.items() if isinstance(field, SortKeyField)}


def with_keys(model: type[Model], values: dict[str, Any]) -> dict[str, Any]:
    """Values for a model's fields, with the sort keys of those that have one."""
    keys = sort_keys(model)
    if not keys:
        return values
    return values | {keys[name]: sort_key(str(text)) for name, text in values.items() if name in keys}


def with_key_names(model: type[Model], names: Iterable[str]) -> list[str]:
    """Names of a model's fields, with the sort keys of those that have one."""
    keys, field_names = sort_keys(model), list(names)
    return [*field_names, *(keys[name] for name in field_names if name in keys and keys[name] not in field_names)]
