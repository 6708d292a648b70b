"""Read, page, insert, change and delete the bound tenant's rows of one model as plain dicts.

Use it in endpoints, where a plain row is enough and a model object would cost more. Use the models to write several
rows or for rules of their own. The SQL of each statement is built once.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from tortoise.fields.base import Field

from host.contracts import Page, Query, Row
from host.data import cursors
from host.data.audience import Audience
from host.data.conditions import FULL_TEXT, SEARCH, Conditions, behind, equal, filtered, looked_up
from host.data.database import Database, bound
from host.data.sql_builder import AUDIENCE, LOOKUPS, After, Condition, SqlBuilder
from host.data.statement import Insert
from host.errors import NotFound, PreconditionFailed, ValidationFailed
from tenants.context import current
from tenants.scoping import TenantModel
from tenants.text import sort_key
from tenants.text_columns import sort_keys, with_keys

DEFAULT_LIMIT, MAX_LIMIT = 20, 100
_PAGING = ("limit", "cursor", "sort")
_SHARED = Condition((), AUDIENCE)


@dataclass(frozen=True, slots=True)
class Change:
    """A changed row before and after, and of both only the changed fields (for records of actions)."""

    before: Row
    after: Row
    changed_before: Row
    changed_after: Row


class Records:
    """The rows of a TenantModel.

    fields: what a row holds (None: all but tenant_id); `id`, and `version` where the model has one, always. without:
    instead of `fields`, what a row leaves out.
    filters: names, or name -> lookup: exact, in (comma list), gt, gte, lt, lte, contains (text within, letter
    case aside), address (exact, whatever the spelling of an e-mail address), has (a JSON
    list with that text in it), pattern (exact, or all that begin so where it ends in ".*"); "field:lookup" where the
    name in the query string is not the field's. sorts: fields a list may be ordered by. search: fields that
    `?search=` looks in, letter case aside. full_text: `?q=` looks for words where `SEARCH_SUFFIX` says. audience: who
    may see which rows; the others do not exist for whoever asks.

    Example:
        NOTES = Records(Note, filters=("author_id",), sorts=("created_at", "title"), search=("title", "text"))

        note = await NOTES.insert(title="Buy milk", text="Two bottles.")
    """

    def __init__(
        self,
        model: type[TenantModel],
        *,
        fields: tuple[str, ...] | None = None,
        without: tuple[str, ...] = (),
        filters: Mapping[str, str] | tuple[str, ...] = (),
        sorts: tuple[str, ...] = ("created_at",),
        default_sort: str = "-created_at",
        search: tuple[str, ...] = (),
        full_text: bool = False,
        audience: Audience | None = None,
    ) -> None:
        self.model = model
        self.audience = audience
        self.sorts = sorts
        self.default_sort = default_sort
        self.search = search
        self.full_text = full_text
        named = filters if isinstance(filters, Mapping) else dict.fromkeys(filters, "exact")
        self.filters = dict(named)
        self._looked_up = {name: looked_up(name, text) for name, text in named.items()}
        if unknown := sorted({lookup for _, lookup in self._looked_up.values()} - LOOKUPS):
            raise TypeError(f"Records({model.__name__}) has unknown lookups: {', '.join(unknown)}")
        self._fields, self._without = fields, without
        self._builders: dict[str, SqlBuilder] = {}

    # -- description, for the API docs --------------------------------------------------------------------

    @property
    def names(self) -> tuple[str, ...]:
        """The fields of a row, in order. The models must be loaded."""
        stored = tuple(self.model._meta.fields_db_projection)
        if self._fields is None:
            hidden = {"tenant_id", *self._without, *sort_keys(self.model).values()}
            return tuple(name for name in stored if name not in hidden)
        always = tuple(name for name in ("id", "version") if name in stored and name not in self._fields)
        return (*always, *self._fields)

    def field(self, name: str) -> Field[Any]:
        """The model's field behind a row's field or a filter."""
        known = self._looked_up.get(name)
        return self.model._meta.fields_map[known[0] if known else name]

    def parse(self, arguments: Mapping[str, str]) -> Query:
        """Parse a query string, each name once, into a Query; filters keep their text, which `page` parses.

        Raises:
            ValidationFailed: a parameter is not one of this list's, or `limit` or `sort` is wrong.
        """
        filters = {name: text for name, text in arguments.items() if name not in _PAGING}
        accepted = (*self.filters, *((SEARCH,) if self.search else ()), *((FULL_TEXT,) if self.full_text else ()))
        wrong = {
            name: "There is no such field here; there are " + ", ".join((*_PAGING, *accepted))
            for name in filters
            if name not in accepted
        }
        limit, sort = arguments.get("limit", str(DEFAULT_LIMIT)), arguments.get("sort", "")
        if not (limit.isascii() and limit.isdigit() and len(limit) < 4 and 1 <= int(limit) <= MAX_LIMIT):
            wrong["limit"] = f"Give a number from 1 to {MAX_LIMIT}."
        if "sort" in arguments and sort.removeprefix("-") not in self.sorts:
            wrong["sort"] = f"Sort by one of: {', '.join(self.sorts)}; with - before it for descending."
        if wrong:
            raise ValidationFailed(details=wrong)
        return Query(limit=int(limit), cursor=arguments.get("cursor") or None, sort=sort, filters=filters)

    # -- reading -----------------------------------------------------------------------------------------

    async def get(self, id: UUID | str, **where: object) -> Row:
        """The row with that id.

        Raises:
            NotFound: this tenant has no such row.
        """
        row = await self.find(id=id, **where)
        if row is None:
            raise NotFound
        return row

    async def find(self, **where: object) -> Row | None:
        """The first row whose columns equal `where`, or None."""
        database, builder = self._here()
        try:
            conditions, values = self._seen(database, *equal(builder, where))
        except ValidationFailed:
            return None  # what cannot be stored cannot be found
        statement = builder.select(conditions, limit=0 if "id" in where else 1)
        rows = builder.rows(await database.client.rows(statement, [_tenant(database), *values]))
        return rows[0] if rows else None

    async def some(self, limit: int, **where: object) -> list[Row]:
        """At most `limit` rows whose columns equal `where`, in no order: for callers that process all in turn."""
        database, builder = self._here()
        conditions, values = self._seen(database, *equal(builder, where))
        statement = builder.select(conditions, limit=limit)
        return builder.rows(await database.client.rows(statement, [_tenant(database), *values]))

    async def page(self, query: Query, **where: object) -> Page:
        """One page of the rows whose columns equal `where`, filtered and ordered as `query` says.

        Raises:
            BadRequest: the cursor does not belong to this list.
            ValidationFailed: a filter's value has the wrong type.
        """
        database = bound()
        sort = self._sort(query)
        limit = min(max(query.limit, 1), MAX_LIMIT)
        scope = self._scope(sort, query.filters, where) if query.cursor else ()
        position = cursors.decode(database.cursor_key, scope, query.cursor) if query.cursor else ()
        rows = await self._behind(query, sort, position, limit + 1, where)
        if len(rows) <= limit:
            return Page(rows, limit)
        del rows[limit:]
        scope = scope or self._scope(sort, query.filters, where)
        return Page(rows, limit, cursors.encode(database.cursor_key, scope, _end(rows[-1], sort)))

    async def chunks(self, query: Query, size: int = 1000, **where: object) -> AsyncIterator[list[Row]]:
        """Every row that `page` would show, in order, `size` at a time: for reading all of a long list.

        Each chunk is a query of its own, so that nothing is held in between; raises what `page` raises.
        """
        sort, position = self._sort(query), list[object]()
        while True:
            rows = await self._behind(query, sort, position, size, where)
            if rows:
                yield rows
            if len(rows) < size:
                return
            position = _end(rows[-1], sort)

    def _sort(self, query: Query) -> str:
        sort = query.sort or self.default_sort
        if sort.removeprefix("-") not in self.sorts and sort != self.default_sort:
            raise ValidationFailed(details={"sort": f"{sort.removeprefix('-')!r} is not an order of this list"})
        return sort

    async def _behind(
        self, query: Query, sort: str, position: Sequence[object], limit: int, where: Mapping[str, object]
    ) -> list[Row]:
        """The next rows after a position; from the first row when it is empty."""
        database, builder = self._here()
        conditions, values = equal(builder, where)
        more, more_values = filtered(builder, query.filters, self._looked_up, self.search, self.full_text)
        conditions, values = self._seen(database, (*conditions, *more), [*values, *more_values])
        after: After = ""
        if position:
            after = "null" if position[0] is None else "value"
            values += behind(builder, sort.removeprefix("-"), position)
        values = [_tenant(database), *values]
        whole = builder.select(conditions, sort=sort, after=after, limit=limit)
        if not (self.full_text and FULL_TEXT in query.filters) or database.dialect == "sqlite":
            return builder.rows(await database.client.rows(whole, values))
        async with database.transaction():
            client = database.client
            await client.execute_script("SET LOCAL plan_cache_mode = force_custom_plan")
            newest = await client.rows(builder.select_in_window(conditions, sort, after, limit), values)
            if len(newest) < limit:
                await client.execute_script("SET LOCAL enable_indexscan = off; SET LOCAL enable_seqscan = off")
                older = await client.rows(whole, values)
                await client.execute_script("SET LOCAL enable_indexscan = on; SET LOCAL enable_seqscan = on")
                new = {row["id"] for row in newest}  # some of them may be too new for the index
                newest = [*newest, *(row for row in older if row["id"] not in new)][:limit]
            return builder.rows(newest)

    async def count(self, **where: object) -> int:
        """How many rows have columns equal to `where`, whoever may see them: for limits, not for lists."""
        database, builder = self._here()
        conditions, values = equal(builder, where)
        rows = await database.client.rows(builder.count(conditions), [_tenant(database), *values])
        return int(rows[0]["count"])

    # -- writing -----------------------------------------------------------------------------------------

    async def insert(self, **values: object) -> Row:
        """Insert a row; fields not given take the model's defaults.

        In a unit of work on PostgreSQL it may be written with later statements, which then raise its conflict.

        Raises:
            ValidationFailed: a value has the wrong type for its field.
            tortoise.exceptions.IntegrityError: it conflicts with another row, or links to a missing one.
            TypeError: a field is unknown, or has neither a value nor a default.
        """
        database, builder = self._here()
        values = with_keys(self.model, values)
        plan, now = builder.form(tuple(values)), datetime.now(UTC)
        encoded = [column.encode(values[column.name]) for column in plan.given]
        encoded += [column.encode(column.default(now)) for column in plan.default]
        insert = Insert(plan.insert, (_tenant(database), *encoded))
        if plan.decides_itself and await database.client.insert_later(insert):
            return builder.row(plan, encoded)
        return builder.rows(await database.client.rows(insert.statement, insert.values))[0]

    async def change(
        self, id: UUID | str, changes: Mapping[str, object], *, version: int | None = None, **where: object
    ) -> Change:
        """Change a row; fields that are equal already are not written. `version` and `updated_at` are set as well.

        Raises:
            NotFound: this tenant has no such row.
            PreconditionFailed: `version` is given and the row has another by now.
            ValidationFailed: a value has the wrong type for its field.
            TypeError: a field is unknown.
        """
        database, builder = self._here()
        builder.refuse_unknown(changes, fixed=("id", "version"))
        async with database.transaction():
            before = await self._lock(database, builder, id, version, where)
            encoded = {name: builder.columns[name].encode(value) for name, value in changes.items()}
            changed = [
                name
                for name in changes
                if name not in before or before[name] != changes[name]
                if name not in before or builder.columns[name].encode(before[name]) != encoded[name]
            ]
            if not changed:
                return Change(before, before, {}, {})
            sets = {name: encoded[name] for name in changed}
            sets |= {key: sort_key(str(changes[of])) for of, key in builder.sort_keys.items() if of in changed}
            if "version" in builder.columns:
                sets["version"] = before["version"] + 1
            for name, column in builder.columns.items():
                if getattr(column.field, "auto_now", False):
                    sets[name] = column.encode(datetime.now(UTC))
            values = [_tenant(database), builder.columns["id"].encode(before["id"]), *sets.values()]
            after = builder.rows(await database.client.rows(builder.update(tuple(sets)), values))[0]
        shown = [name for name in changed if name in before]
        return Change(before, after, {name: before[name] for name in shown}, {name: after[name] for name in shown})

    async def change_each(self, names: tuple[str, ...], rows: Sequence[tuple[object, ...]]) -> None:
        """Set the columns `names` of many rows, each given as (id, *values); a missing row is skipped.

        Versions and earlier values are not checked: for columns that only the calling code writes.

        Raises:
            ValidationFailed: a value has the wrong type for its field.
            TypeError: a field is unknown.
        """
        database, builder = self._here()
        builder.refuse_unknown(names, fixed=("id",))
        columns = [builder.columns[name] for name in ("id", *names)]
        tenant = _tenant(database)
        values = [[tenant, *(column.encode(v) for column, v in zip(columns, row, strict=True))] for row in rows]
        await database.client.execute_many(builder.update_each(names).inside, values)

    async def remove(self, id: UUID | str, *, version: int | None = None, **where: object) -> Row:
        """Delete a row; returns it as it was.

        Raises:
            NotFound: this tenant has no such row.
            PreconditionFailed: `version` is given and the row has another by now.
            tortoise.exceptions.IntegrityError: other rows link to it and forbid that.
        """
        database, builder = self._here()
        conditions, values = self._seen(database, *equal(builder, {"id": id, **where}, missing=NotFound))
        async with database.transaction():
            if version is not None:
                await self._lock(database, builder, id, version, where)
            rows = await database.client.rows(builder.delete(conditions), [_tenant(database), *values])
            if not rows:
                raise NotFound
            return builder.rows(rows)[0]

    # -- internals ---------------------------------------------------------------------------------------

    def _here(self) -> tuple[Database, SqlBuilder]:
        database = bound()
        builder = self._builders.get(database.dialect)
        if builder is None:
            self._check()
            builder = self._builders[database.dialect] = SqlBuilder(
                self.model, database.dialect, self.names, self.audience
            )
        return database, builder

    def _seen(self, database: Database, conditions: tuple[Condition, ...], values: list[object]) -> Conditions:
        """The conditions, and that the rows are shared with whoever asks."""
        mine = self.audience.asking(database.dialect) if self.audience is not None else None
        if mine is None:
            return conditions, values
        return (*conditions, _SHARED), [*values, mine]

    def _check(self) -> None:
        names = self.names
        named = {*self.search, *self.sorts, *names, *(field for field, _ in self._looked_up.values())}
        if unknown := sorted(named - self.model._meta.fields_db_projection.keys()):
            raise TypeError(f"Records({self.model.__name__}) names fields the model lacks: {', '.join(unknown)}")
        if hidden := sorted({*self.sorts, self.default_sort.removeprefix("-")} - set(names)):
            raise TypeError(f"Records({self.model.__name__}) sorts by what is not in `fields`: {', '.join(hidden)}")

    async def _lock(
        self, database: Database, builder: SqlBuilder, id: UUID | str, version: int | None, where: Mapping[str, object]
    ) -> Row:
        conditions, values = self._seen(database, *equal(builder, {"id": id, **where}, missing=NotFound))
        rows = await database.client.rows(builder.select(conditions, lock=True), [_tenant(database), *values])
        if not rows:
            raise NotFound
        row = builder.rows(rows)[0]
        if version is not None and row.get("version") != version:
            raise PreconditionFailed(details={"version": row.get("version")})
        return row

    def _scope(self, sort: str, filters: Mapping[str, Any], where: Mapping[str, object]) -> tuple[str, ...]:
        narrowed = sorted((name, str(value)) for name, value in (*filters.items(), *where.items()))
        return (str(current()), self.model._meta.db_table, sort, *(part for pair in narrowed for part in pair))


def _tenant(database: Database) -> UUID | str:
    tenant = current()
    return tenant if database.dialect == "postgres" else str(tenant)


def _end(row: Row, sort: str) -> list[object]:
    """The position in the list after this row."""
    name = sort.removeprefix("-")
    return [_text(row[each]) for each in (("id",) if name == "id" else (name, "id"))]


def _text(value: object) -> object:
    return value if value is None or isinstance(value, str | int | float) else str(value)
