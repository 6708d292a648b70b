"""Records: one tenant's rows, the same on both databases."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest
from tortoise.exceptions import IntegrityError
from uuid_utils.compat import uuid7

from host.contracts import Query
from host.data.records import Records
from host.errors import BadRequest, NotFound, PreconditionFailed, ValidationFailed
from tenants.context import TenantMissing, bind, cross_tenant


@pytest.fixture
def books(shop: Any) -> Records:
    return Records(
        shop.Book,
        filters={"mood": "exact", "pages": "in", "title": "contains", "created_at": "gte", "lent": "exact"},
        sorts=("created_at", "title", "pages", "due_on", "id"),
        search=("title", "mood"),
    )


@pytest.fixture
async def prose(shop: Any) -> UUID:
    return (await shop.shelf(shop.one)).id  # type: ignore[no-any-return]


async def titles(books: Records, query: Query, **where: object) -> list[str]:
    return [row["title"] for row in (await books.page(query, **where)).items]


async def test_insert_when_read_back_then_every_type_is_python(shop: Any, books: Records, prose: UUID) -> None:
    with bind(shop.one):
        made = await books.insert(
            shelf_id=prose,
            title="Zauberberg",
            mood=shop.Book._meta.fields_map["mood"].enum_type.WORN,
            price=Decimal("12.50"),
            tags=["a", {"b": None}],
            lent=True,
            due_on=date(2026, 3, 4),
        )
        read = await books.get(made["id"])
    assert read == made
    assert "tenant_id" not in read
    assert isinstance(read["id"], UUID)
    assert read["shelf_id"] == prose
    assert read["mood"] == "worn"
    assert read["price"] == Decimal("12.50")
    assert read["tags"] == ["a", {"b": None}]
    assert read["lent"] is True
    assert read["due_on"] == date(2026, 3, 4)
    assert read["sequel_id"] is None
    assert read["version"] == 1
    assert read["created_at"].tzinfo is not None
    assert abs(datetime.now(UTC) - read["created_at"]) < timedelta(minutes=1)


async def test_row_when_written_by_the_model_then_records_read_the_same(shop: Any, books: Records, prose: UUID) -> None:
    book = await shop.book(shop.one, shelf_id=prose, price=Decimal("3.10"), tags={"k": 1}, due_on=date(2026, 1, 2))
    with bind(shop.one):
        row = await books.get(book.id)
        made = await books.insert(shelf_id=prose, title="t", due_on=date(2026, 1, 2), tags={"k": 1})
        again = await shop.Book.get(id=made["id"])
        assert await shop.Book.filter(created_at__gte=row["created_at"]).count() == 2
    assert {name: getattr(book, name) for name in row} == row
    assert (again.due_on, again.tags, again.created_at) == (made["due_on"], made["tags"], made["created_at"])


async def test_records_when_no_tenant_is_bound_then_refused(shop: Any, books: Records) -> None:
    for call in (books.get(uuid4()), books.page(Query()), books.count(), books.insert(title="x", shelf_id=uuid4())):
        with pytest.raises(TenantMissing):
            await call
    with cross_tenant("test"), pytest.raises(TenantMissing):
        await books.count()


async def test_records_when_the_row_is_another_tenants_then_it_does_not_exist(
    shop: Any, books: Records, prose: UUID
) -> None:
    with bind(shop.one):
        row = await books.insert(shelf_id=prose, title="mine")
    with bind(shop.two):
        assert await books.find(title="mine") is None
        assert await books.count() == 0
        assert (await books.page(Query())).items == []
        for call in (books.get(row["id"]), books.change(row["id"], {"title": "x"}), books.remove(row["id"])):
            with pytest.raises(NotFound):
                await call
    with bind(shop.one):
        assert (await books.get(row["id"]))["title"] == "mine"


@pytest.mark.parametrize("inside", [False, True])
async def test_records_when_in_a_transaction_or_not_then_the_same(
    shop: Any, books: Records, prose: UUID, inside: bool
) -> None:
    async def scenario() -> None:
        row = await books.insert(shelf_id=prose, title="a")
        assert (await books.get(row["id"]))["title"] == "a"
        assert await books.count(title="a") == 1
        assert await titles(books, Query(filters={"title": "A"})) == ["a"]
        assert (await books.change(row["id"], {"title": "b"})).after["title"] == "b"
        assert (await books.remove(row["id"]))["title"] == "b"
        assert await books.count() == 0

    with bind(shop.one):
        if inside:
            async with shop.database.transaction():
                await scenario()
        else:
            await scenario()


async def test_get_when_the_id_is_no_uuid_then_not_found(shop: Any, books: Records) -> None:
    with bind(shop.one):
        for id in ("nonsense", "", uuid4()):
            with pytest.raises(NotFound):
                await books.get(id)
            with pytest.raises(NotFound):
                await books.remove(id)
            with pytest.raises(NotFound):
                await books.change(id, {"title": "x"})


async def test_find_when_a_value_is_null_then_rows_without_it(shop: Any, books: Records, prose: UUID) -> None:
    with bind(shop.one):
        await books.insert(shelf_id=prose, title="due", due_on=date(2026, 1, 1))
        await books.insert(shelf_id=prose, title="free")
        assert await titles(books, Query(sort="title"), due_on=None) == ["free"]
        assert await titles(books, Query(sort="title", filters={"title": "ue"}), due_on=date(2026, 1, 1)) == ["due"]


@pytest.mark.parametrize("sort", ["created_at", "-created_at", "title", "-title", "due_on", "-due_on", "id", "-pages"])
@pytest.mark.parametrize("limit", [1, 3, 100])
async def test_page_when_walked_by_cursor_then_every_row_once_in_order(
    shop: Any, books: Records, prose: UUID, sort: str, limit: int
) -> None:
    day = date(2026, 1, 1)
    with bind(shop.one):
        for number in range(11):
            due = None if number % 3 == 0 else day + timedelta(days=number % 4)
            await books.insert(shelf_id=prose, title=f"t{number % 5}", pages=number % 2, due_on=due)
        walked, cursor, pages = [], None, 0
        while True:
            page = await books.page(Query(limit=limit, cursor=cursor, sort=sort))
            walked += page.items
            pages += 1
            cursor = page.next_cursor
            if cursor is None:
                break
    assert len(walked) == len({row["id"] for row in walked}) == 11
    assert pages == -(-11 // limit)
    name, down = sort.lstrip("-"), sort.startswith("-")
    key = [
        (row[name] is None, row[name] or day, row["id"]) if name == "due_on" else (row[name], row["id"])
        for row in walked
    ]
    assert key == sorted(key, reverse=down)


async def test_page_when_filtered_then_only_those(shop: Any, books: Records, prose: UUID) -> None:
    with bind(shop.one):
        for title, pages, mood in (("Ä 100%", 1, "new"), ("b_c", 2, "worn"), ("d\\e", 3, "worn")):
            await books.insert(shelf_id=prose, title=title, pages=pages, mood=mood, lent=pages == 2)

        async def found(**filters: object) -> list[str]:
            return await titles(books, Query(sort="pages", filters=filters))

        assert await found(mood="worn") == ["b_c", "d\\e"]
        assert await found(pages="1,3") == ["Ä 100%", "d\\e"]
        assert await found(pages=[2]) == ["b_c"]
        assert await found(title="%") == ["Ä 100%"]
        assert await found(title="_") == ["b_c"]
        assert await found(title="\\") == ["d\\e"]
        assert await found(search="B_") == ["b_c"]
        assert await found(search="wor") == ["b_c", "d\\e"]
        assert await found(lent="true") == ["b_c"]
        assert await found(created_at="2020-01-01T00:00:00Z", mood="new") == ["Ä 100%"]
        assert await found(created_at=datetime(2100, 1, 1, tzinfo=UTC)) == []


@pytest.mark.parametrize(
    "filters", [{"mood": "sad"}, {"pages": "1,x"}, {"created_at": "soon"}, {"lent": "maybe"}, {"shelf_id": "1"}]
)
async def test_page_when_a_filter_makes_no_sense_then_its_name_is_told(
    shop: Any, books: Records, filters: dict[str, str]
) -> None:
    with bind(shop.one), pytest.raises(ValidationFailed) as refused:
        await books.page(Query(filters=filters))
    assert set(refused.value.details) == set(filters)


async def test_page_when_the_sort_is_unknown_then_refused(shop: Any, books: Records) -> None:
    with bind(shop.one), pytest.raises(ValidationFailed):
        await books.page(Query(sort="price"))


async def test_cursor_when_used_elsewhere_then_bad_request(shop: Any, books: Records, prose: UUID) -> None:
    with bind(shop.one):
        for number in range(3):
            await books.insert(shelf_id=prose, title=str(number))
        cursor = (await books.page(Query(limit=1))).next_cursor
        assert cursor is not None
        wrong = [
            Query(limit=1, cursor=cursor, sort="title"),
            Query(limit=1, cursor=cursor, filters={"mood": "new"}),
            Query(limit=1, cursor=cursor[:-2] + ("aa" if cursor[-2:] != "aa" else "bb")),
            Query(limit=1, cursor="é"),
            Query(limit=1, cursor=""[:0] or "x"),
        ]
        for query in wrong:
            with pytest.raises(BadRequest):
                await books.page(query)
        with pytest.raises(BadRequest):
            await books.page(Query(limit=1, cursor=cursor), shelf_id=prose)
    with bind(shop.two), pytest.raises(BadRequest):
        await books.page(Query(limit=1, cursor=cursor))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("title", "x" * 101),
        ("title", "nul\x00"),
        ("title", "\ud800"),
        ("pages", 2**31),
        ("pages", "many"),
        ("shelf_id", "no uuid"),
        ("mood", "sad"),
        ("tags", ["\x00"]),
        ("tags", [object()]),
        ("price", "dear"),
    ],
)
async def test_insert_when_a_value_does_not_fit_then_its_field_is_named(
    shop: Any, books: Records, prose: UUID, name: str, value: object
) -> None:
    with bind(shop.one), pytest.raises(ValidationFailed) as refused:
        await books.insert(**{"shelf_id": prose, "title": "t", name: value})
    assert set(refused.value.details) == {name}


async def test_insert_when_a_field_is_unknown_or_missing_then_type_error(
    shop: Any, books: Records, prose: UUID
) -> None:
    with bind(shop.one):
        for values in ({"title": "t"}, {"shelf_id": prose, "title": "t", "colour": 1}, {"tenant_id": shop.two}):
            with pytest.raises(TypeError):
                await books.insert(**values)


async def test_insert_when_it_clashes_or_links_to_nothing_then_integrity_error(shop: Any, books: Records) -> None:
    shelves = Records(shop.Shelf)
    with bind(shop.one):
        await shelves.insert(name="one")
        with pytest.raises(IntegrityError):
            await shelves.insert(name="one")
        with pytest.raises(IntegrityError):
            await books.insert(shelf_id=uuid7(), title="t")
    with bind(shop.two):
        await shelves.insert(name="one")


async def test_insert_when_it_links_to_another_tenants_row_then_refused(shop: Any, books: Records, prose: UUID) -> None:
    with bind(shop.two):
        with pytest.raises(IntegrityError):
            await books.insert(shelf_id=prose, title="t")
        mine = (await shop.Shelf.create(name="mine")).id
        row = await books.insert(shelf_id=mine, title="t")
        with pytest.raises(IntegrityError):
            await books.change(row["id"], {"shelf_id": prose})
        assert (await books.get(row["id"]))["shelf_id"] == mine


async def test_change_when_something_differs_then_version_and_time_follow(
    shop: Any, books: Records, prose: UUID
) -> None:
    with bind(shop.one):
        row = await books.insert(shelf_id=prose, title="a", tags=[1])
        change = await books.change(row["id"], {"title": "b", "tags": [1], "pages": 0, "mood": "new"}, version=1)
        assert change.changed_before == {"title": "a"}
        assert change.changed_after == {"title": "b"}
        assert change.before == row
        assert change.after["version"] == 2
        assert change.after["updated_at"] > row["updated_at"]
        assert change.after["created_at"] == row["created_at"]
        assert await books.get(row["id"]) == change.after


async def test_change_when_nothing_differs_then_nothing_is_written(shop: Any, books: Records, prose: UUID) -> None:
    with bind(shop.one):
        row = await books.insert(shelf_id=prose, title="a")
        change = await books.change(row["id"], {"title": "a", "shelf_id": str(prose)})
        assert change.changed_after == {}
        assert await books.get(row["id"]) == row


async def test_change_when_the_version_is_old_then_precondition_failed(shop: Any, books: Records, prose: UUID) -> None:
    with bind(shop.one):
        row = await books.insert(shelf_id=prose, title="a")
        await books.change(row["id"], {"title": "b"})
        with pytest.raises(PreconditionFailed):
            await books.change(row["id"], {"title": "c"}, version=1)
        with pytest.raises(PreconditionFailed):
            await books.remove(row["id"], version=1)
        assert (await books.remove(row["id"], version=2))["title"] == "b"


@pytest.mark.parametrize("name", ["id", "tenant_id", "version", "colour"])
async def test_change_when_the_field_is_not_to_be_given_then_type_error(
    shop: Any, books: Records, prose: UUID, name: str
) -> None:
    with bind(shop.one):
        row = await books.insert(shelf_id=prose, title="a")
        with pytest.raises(TypeError):
            await books.change(row["id"], {name: row.get(name)})


async def test_change_when_where_does_not_match_then_not_found(shop: Any, books: Records, prose: UUID) -> None:
    with bind(shop.one):
        row = await books.insert(shelf_id=prose, title="a")
        with pytest.raises(NotFound):
            await books.change(row["id"], {"title": "b"}, shelf_id=uuid4())
        with pytest.raises(NotFound):
            await books.remove(row["id"], shelf_id=uuid4())
        assert await books.count() == 1


async def test_records_when_fields_are_named_then_rows_hold_those_with_id_and_version(shop: Any, prose: UUID) -> None:
    small = Records(shop.Book, fields=("title",), sorts=(), default_sort="id")
    with bind(shop.one):
        row = await small.insert(title="t", shelf_id=prose, pages=3)
        assert list(row) == ["id", "version", "title"]
        change = await small.change(row["id"], {"pages": 4, "title": "u"})
        assert change.changed_after == {"title": "u"}
        assert list((await small.page(Query())).items[0]) == ["id", "version", "title"]


@pytest.mark.parametrize(
    "options",
    [
        {"fields": ("colour",)},
        {"filters": ("colour",)},
        {"search": ("colour",)},
        {"sorts": ("colour",)},
        {"fields": ("title",)},
    ],
)
async def test_records_when_they_name_what_is_not_there_then_type_error(shop: Any, options: dict[str, Any]) -> None:
    with bind(shop.one), pytest.raises(TypeError):
        await Records(shop.Book, **options).count()


def test_records_when_a_lookup_is_unknown_then_type_error() -> None:
    from tenants.models import Role

    with pytest.raises(TypeError, match="startswith"):
        Records(Role, filters={"name": "startswith"})


# -- text ------------------------------------------------------------------------------------------------

NAMES = ["Zebra", "apfel", "Äpfel", "Birne", "Łódź", "lodge", "Öl", "ofen", "東京", "STRASSE 2", "Straße 1"]
IN_ORDER = [
    *("apfel", "Äpfel", "Birne", "lodge", "Łódź", "ofen", "Öl", "Straße 1", "STRASSE 2", "Zebra", "東京"),
]


async def test_names_when_sorted_then_in_one_order_on_every_database_page_by_page(
    shop: Any, books: Records, prose: UUID
) -> None:
    with bind(shop.one):
        for name in NAMES[:5]:
            await books.insert(shelf_id=prose, title=name)
        await shop.Book.bulk_create([shop.Book(shelf_id=prose, title=name) for name in NAMES[5:8]])
        for name in NAMES[8:]:
            await shop.Book.create(shelf_id=prose, title=name)
        for sort, wanted in (("title", IN_ORDER), ("-title", IN_ORDER[::-1])):
            cursor, seen = None, []
            while True:
                page = await books.page(Query(limit=3, sort=sort, cursor=cursor))
                seen += [row["title"] for row in page.items]
                assert all("title_key" not in row for row in page.items)
                cursor = page.next_cursor
                if cursor is None:
                    break
            assert seen == wanted


async def test_name_when_changed_in_any_way_then_sorted_by_what_it_is_now(
    shop: Any, books: Records, prose: UUID
) -> None:
    with bind(shop.one):
        made = [await books.insert(shelf_id=prose, title=f"{n}") for n in range(4)]
        await books.change(made[0]["id"], {"title": "Ä"})
        await shop.Book.filter(id=made[1]["id"]).update(title="b")
        third = await shop.Book.get(id=made[2]["id"])
        third.title = "C"
        await third.save(update_fields=["title"])
        fourth = await shop.Book.get(id=made[3]["id"])
        fourth.title = "đ"
        await shop.Book.bulk_update([fourth], ["title"])
        assert await titles(books, Query(sort="title")) == ["Ä", "b", "C", "đ"]
        assert [row["title"] async for part in books.chunks(Query(sort="title"), 2) for row in part] == [
            *("Ä", "b", "C", "đ")
        ]


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("ärzte", "Die ÄRZTE"),
        ("A\u0308RZTE", "Die ÄRZTE"),
        ("strasse", "Am Fluß, Lange Straße"),
        ("FLUSS", "Am Fluß, Lange Straße"),
        ("σίσυφος", "ΣΊΣΥΦΟΣ"),
        ("ИСТАНБУЛ", "истанбул"),
        ("istanbul", "İstanbul"),
        ("100%_", "100%_"),
        ("ada@BÜCHER.example", "ada@xn--bcher-kva.example"),
    ],
)
async def test_search_when_spelt_otherwise_then_finds_it_on_every_database(
    shop: Any, books: Records, prose: UUID, asked: str, found: str
) -> None:
    with bind(shop.one):
        for title in (found, "something else"):
            await books.insert(shelf_id=prose, title=title)
        assert await titles(books, Query(filters={"search": asked})) == [found]
        assert await titles(books, Query(filters={"title": asked})) == [found]
