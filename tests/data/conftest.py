"""A small shop with two tenants: shelves, and books that stand on them."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from enum import StrEnum
from types import ModuleType
from typing import Any
from uuid import UUID

import pytest
from tortoise import fields
from tortoise.models import Model
from uuid_utils.compat import uuid7

from host.data.database import Database
from tenants.context import bind
from tenants.scoping import TenantModel
from tenants.text_columns import SortKeyField


class Mood(StrEnum):
    NEW = "new"
    WORN = "worn"


class Shelf(TenantModel):
    name = fields.CharField(max_length=40)
    version = fields.IntField(default=1)
    created_at = fields.DatetimeField(auto_now_add=True)

    class Meta:
        table = "shop_shelves"
        unique_together = (("tenant_id", "name"),)


class Book(TenantModel):
    shelf: fields.ForeignKeyRelation[Shelf] = fields.ForeignKeyField("shop.Shelf", related_name=False)
    sequel: fields.ForeignKeyNullableRelation[Book] = fields.ForeignKeyField(
        "shop.Book", related_name=False, null=True, on_delete=fields.SET_NULL
    )
    title = fields.CharField(max_length=100)
    title_key = SortKeyField("title")
    mood = fields.CharEnumField(Mood, max_length=10, default=Mood.NEW)
    pages = fields.IntField(default=0)
    price = fields.DecimalField(max_digits=8, decimal_places=2, null=True)
    tags = fields.JSONField(default=list)
    lent = fields.BooleanField(default=False)
    due_on = fields.DateField(null=True)
    version = fields.IntField(default=1)
    created_at = fields.DatetimeField(auto_now_add=True)
    updated_at = fields.DatetimeField(auto_now=True)

    class Meta:
        table = "shop_books"
        indexes = (("tenant_id", "created_at", "id"),)


class Town(Model):
    id = fields.IntField(primary_key=True)
    name = fields.CharField(max_length=40)

    class Meta:
        table = "shop_towns"


def _module() -> ModuleType:
    module = ModuleType("shop_models")
    module.__models__ = [Shelf, Book, Town]  # type: ignore[attr-defined]
    return sys.modules.setdefault("shop_models", module)


@dataclass
class Shop:
    database: Database
    one: UUID
    two: UUID
    Shelf: type[Shelf] = Shelf
    Book: type[Book] = Book
    Town: type[Town] = Town

    async def shelf(self, tenant: UUID, name: str = "prose") -> Shelf:
        with bind(tenant):
            return await Shelf.create(name=name)

    async def book(self, tenant: UUID, **values: Any) -> Book:
        with bind(tenant):
            if "shelf_id" not in values:
                values["shelf_id"] = (await Shelf.get_or_create(name="prose"))[0].id
            return await Book.create(**{"title": "untitled", **values})


@pytest.fixture
def shop_apps() -> dict[str, list[ModuleType]]:
    return {"shop": [_module()]}


@pytest.fixture
async def shop(new_database: Any, shop_apps: Any) -> AsyncIterator[Shop]:
    """Open and bound; fewer connections than the tests have tasks."""
    database = await new_database(shop_apps, pool=4)
    with database.bind():
        yield Shop(database, uuid7(), uuid7())
