"""Build and cache the SQL statements that read and write one model's rows.

Own code, as the ORM builds the text of a query anew each time it runs, and cannot write one that sets the tenant and
reads in one round trip. A row by id costs 55 us of CPU instead of 344, a page of 20 costs 125 instead of 488
(`python -m benchmarks.own_code sql`).
"""

# ruff: noqa: S608 - every name in this SQL is a model's own; values are parameters

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Literal

from tortoise.models import Model

from host.contracts import Row
from host.data.audience import Audience
from host.data.columns import BY_DATABASE, Column, columns
from host.data.full_text import SEARCH_SUFFIX, match_new_sql, match_sql
from host.data.statement import BOUND, Statement
from tenants.text_columns import FOLD, sort_keys

_COMPARISONS = {"exact": "=", "address": "=", "gt": ">", "gte": ">=", "lt": "<", "lte": "<="}
_KEPT = 2000  # statements; a list's filters, orders and limits combine to far fewer

WINDOW = 5_000
"""How many rows are searched in the list's order before the index of words is used: this finds common words, the index
finds rare ones, and the planner cannot tell which a word is."""


After = Literal["", "value", "null"]

LOOKUPS = frozenset({*_COMPARISONS, "in", "contains", "has", "pattern", "address"})
"""The lookups of filters; conditions also allow "null", without a parameter, and "words", without a column."""


@dataclass(frozen=True, slots=True)
class Condition:
    """A comparison of columns with the next parameter; several columns: any of them (search)."""

    names: tuple[str, ...]
    lookup: str = "exact"


AUDIENCE = "audience"
"""The lookup of the condition that rows are shared with whoever asks; its parameter is what they stand for."""


@dataclass(frozen=True, slots=True)
class InsertPlan:
    """The INSERT of rows with values for the columns `given`; the columns `default` get their defaults.

    decides_itself: True if every column value is known in Python, so that RETURNING is not needed.
    """

    given: tuple[Column, ...]
    default: tuple[Column, ...]
    insert: Statement
    decides_itself: bool


class SqlBuilder:
    """The statements of one model in one database. The first parameter of each is the tenant's id."""

    def __init__(
        self, model: type[Model], dialect: str, names: Sequence[str] | None, audience: Audience | None = None
    ) -> None:
        self._audience = audience
        self.columns = columns(model, dialect)
        self.names = tuple(names) if names is not None else tuple(name for name in self.columns if name != "tenant_id")
        self.postgres = dialect == "postgres"
        self.table = f'"{model._meta.db_table}"'
        self._search = f'"{model._meta.db_table}{SEARCH_SUFFIX}"'
        self.sort_keys = sort_keys(model)
        self._decoders = [(name, decode) for name in self.names if (decode := self.columns[name].decode)]
        self._exact = all(column.comes_back_as_given for column in self.columns.values())
        self._model = model.__name__
        self._forms: dict[tuple[tuple[str, ...], bool], InsertPlan] = {}  # one per set of columns inserted
        self._kept: dict[object, Statement] = {}

    def rows(self, records: Sequence[object]) -> list[Row]:
        """The driver's records as plain rows with Python values."""
        rows: list[Row] = list(map(dict, records))  # type: ignore[arg-type]
        for name, decode in self._decoders:
            for row in rows:
                if row[name] is not None:
                    row[name] = decode(row[name])
        return rows

    def form(self, names: tuple[str, ...], *, pass_over: bool = False) -> InsertPlan:
        """The INSERT of rows with values for the columns `names`. pass_over: skip a row that conflicts with another.

        Raises:
            TypeError: a field is unknown, or has neither a value nor a default.
        """
        plan = self._forms.get((names, pass_over))
        if plan is None:
            plan = self._forms[names, pass_over] = self._form(names, pass_over)
        return plan

    def row(self, form: InsertPlan, encoded: Sequence[object]) -> Row:
        """The row that an INSERT of these values makes, if the database fills in no value."""
        inserted = {column.name: value for column, value in zip((*form.given, *form.default), encoded, strict=True)}
        return self.rows([{name: inserted[name] for name in self.names}])[0]

    def refuse_unknown(self, names: Iterable[str], fixed: tuple[str, ...] = ()) -> None:
        """Raise TypeError for a field that does not exist or may not be set."""
        for name in names:
            if name not in self.columns or name == "tenant_id" or name in fixed:
                raise TypeError(f"{self._model} has no field {name!r} that can be given here")

    def select(
        self,
        conditions: tuple[Condition, ...],
        *,
        sort: str = "",
        after: After = "",
        limit: int = 0,
        lock: bool = False,
    ) -> Statement:
        """SELECT rows by conditions.

        sort: field, "-" before it for descending. after: start after a position, whose value is not null
        (parameters: value, id) or is null (parameter: id; also where the order is by id).
        lock: lock the rows until the transaction ends.
        """
        key = (conditions, sort, after, limit, lock)
        return self._keep(key, partial(self._select, conditions, sort, after, limit, lock))

    def select_in_window(self, conditions: tuple[Condition, ...], sort: str, after: After, limit: int) -> Statement:
        """As `select`, but only of the first `WINDOW` rows in the list's order; for full-text search in PostgreSQL."""
        key = ("window", conditions, sort, after, limit)
        return self._keep(key, partial(self._select_in_window, conditions, sort, after, limit))

    def count(self, conditions: tuple[Condition, ...]) -> Statement:
        return self._keep(("count", conditions), partial(self._count, conditions))

    def update(self, names: tuple[str, ...]) -> Statement:
        """UPDATE of one row; parameters: tenant, id, then the values."""
        return self._keep(("update", names), partial(self._update, names))

    def update_each(self, names: tuple[str, ...]) -> Statement:
        """As `update`, for many rows, without RETURNING."""
        return self._keep(("update each", names), partial(self._update, names, returning=False))

    def delete(self, conditions: tuple[Condition, ...]) -> Statement:
        return self._keep(("delete", conditions), partial(self._delete, conditions))

    def _keep(self, key: object, build: Callable[[], Statement]) -> Statement:
        statement = self._kept.get(key)
        if statement is None:
            if len(self._kept) >= _KEPT:
                self._kept.clear()
            statement = self._kept[key] = build()
        return statement

    def _select(self, conditions: tuple[Condition, ...], sort: str, after: After, limit: int, lock: bool) -> Statement:
        tail = f" ORDER BY {self._order(sort)}" if sort else ""
        tail += f" LIMIT {limit}" if limit else ""
        where = self._where(conditions)
        if after:
            where += self._behind(sort, after, 2 + sum(each.lookup != "null" for each in conditions))
        if lock and self.postgres:
            return Statement(f"{self._head('$1')}{where}{tail} FOR UPDATE")
        searching = any(condition.lookup == "words" for condition in conditions)
        key = self.sort_keys.get(sort.removeprefix("-"), "")
        inside = f"{self._head(self._mark(1), searching)}{where}{tail}"
        if searching or not self.postgres:
            return Statement(inside)
        # The lookup depends on the result of setting the tenant, so it always runs after it; the tenant is a parameter
        # too, so that the planner can use its statistics.
        looked_up = (
            f"{self._head('$1', key=key)} AND bound.tenant IS NOT NULL{where}{tail}{'' if limit else ' OFFSET 0'}"
        )
        outer = f" ORDER BY {self._order(sort, outer=True)}" if sort else ""
        shown = ", ".join(f'p."{name}"' for name in self.names) if key else "p.*"
        return Statement(
            inside, f"{BOUND} SELECT {shown} FROM bound CROSS JOIN LATERAL ({looked_up}) p{outer}", reads=True
        )

    def _select_in_window(self, conditions: tuple[Condition, ...], sort: str, after: After, limit: int) -> Statement:
        numbered = self._numbered(conditions)
        ordering = (sort.removeprefix("-"),)
        inner = "".join(text for condition, text in numbered if condition.names == ordering)
        outer = "".join(self._or_new(condition, text) for condition, text in numbered if condition.names != ordering)
        if after:
            inner += self._behind(sort, after, 2 + sum(each.lookup != "null" for each in conditions))
        window = f"SELECT * FROM {self._search} WHERE tenant_id = $1{inner} ORDER BY {self._order(sort)} LIMIT {WINDOW}"
        return Statement(
            f"SELECT {self._listed()} FROM ({window}) w WHERE true{outer} ORDER BY {self._order(sort)} LIMIT {limit}"
        )

    def _count(self, conditions: tuple[Condition, ...]) -> Statement:
        head = f"SELECT count(*) AS count FROM {self.table} WHERE tenant_id = "
        where = self._where(conditions)
        if not self.postgres:
            return Statement(f"{head}{self._mark(1)}{where}")
        looked_up = f"{head}$1 AND bound.tenant IS NOT NULL{where} OFFSET 0"
        alone = f"{BOUND} SELECT p.* FROM bound CROSS JOIN LATERAL ({looked_up}) p"
        return Statement(f"{head}$1{where}", alone, reads=True)

    def _form(self, names: tuple[str, ...], pass_over: bool) -> InsertPlan:
        self.refuse_unknown(names)
        rest = [column for name, column in self.columns.items() if name not in ("tenant_id", *names)]
        default = [column for column in rest if column.default(datetime.now(UTC)) is not BY_DATABASE]
        return InsertPlan(
            given=tuple(self.columns[name] for name in names),
            default=tuple(default),
            insert=self._insert((*names, *(column.name for column in default)), pass_over),
            decides_itself=self._exact and len(default) == len(rest),
        )

    def _insert(self, names: tuple[str, ...], pass_over: bool) -> Statement:
        into = ", ".join(self._quoted(name) for name in ("tenant_id", *names))
        marks = ", ".join(self._mark(number) for number in range(2, len(names) + 2))
        clash = "ON CONFLICT DO NOTHING " if pass_over else ""
        head, tail = f"INSERT INTO {self.table} ({into})", f"{clash}RETURNING {self._listed()}"
        inside = f"{head} VALUES ({self._mark(1)}, {marks}) {tail}"
        if not self.postgres:
            return Statement(inside)
        return Statement(
            inside, f"{BOUND} {head} SELECT bound.tenant, {marks} FROM bound {tail}", into=head, clash=clash
        )

    def _update(self, names: tuple[str, ...], returning: bool = True) -> Statement:
        sets = ", ".join(f"{self._quoted(name)} = {self._mark(number)}" for number, name in enumerate(names, 3))
        return Statement(
            f"UPDATE {self.table} SET {sets} WHERE tenant_id = {self._mark(1)} "
            f"AND {self._quoted('id')} = {self._mark(2)}" + (f" RETURNING {self._listed()}" if returning else "")
        )

    def _delete(self, conditions: tuple[Condition, ...]) -> Statement:
        return Statement(
            f"DELETE FROM {self.table} WHERE tenant_id = {self._mark(1)}"
            f"{self._where(conditions)} RETURNING {self._listed()}"
        )

    def _head(self, tenant: str, searching: bool = False, key: str = "") -> str:
        # Row-level security prevents the use of an index of words, so the view has its own tenant condition.
        source = self._search if searching and self.postgres else self.table
        listed = f"{self._listed()}, {self._quoted(key)}" if key else self._listed()
        return f"SELECT {listed} FROM {source} WHERE tenant_id = {tenant}"

    def _listed(self) -> str:
        return ", ".join(
            self._quoted(name) if self.columns[name].column == name else f'{self._quoted(name)} AS "{name}"'
            for name in self.names
        )

    def _quoted(self, name: str) -> str:
        return f'"{self.columns[name].column}"'

    def _mark(self, number: int) -> str:
        return f"${number}" if self.postgres else f"?{number}"

    def _order(self, sort: str, outer: bool = False) -> str:
        name, way = sort.removeprefix("-"), " DESC" if sort.startswith("-") else ""
        if name == "id":
            return f'"id"{way}'
        name = self.sort_keys.get(name, name)
        column = f'"{name}"' if outer else self._quoted(name)
        # Explicit for SQLite, whose default order of nulls differs from PostgreSQL's.
        nulls = (" NULLS FIRST" if way else " NULLS LAST") if self.columns[name].field.null else ""
        return f'{column}{way}{nulls}, "id"{way}'

    def _behind(self, sort: str, after: After, number: int) -> str:
        name, down = sort.removeprefix("-"), sort.startswith("-")
        name = self.sort_keys.get(name, name)
        sign, mark, column = "<" if down else ">", self._mark(number), self._quoted(name)
        if name == "id":
            return f' AND "id" {sign} {mark}'
        if after == "null":
            rest = f" OR {column} IS NOT NULL" if down else ""
            return f' AND (({column} IS NULL AND "id" {sign} {mark}){rest})'
        row = f'({column}, "id") {sign} ({mark}, {self._mark(number + 1)})'
        nulls_follow = self.columns[name].field.null and not down
        return f" AND ({row} OR {column} IS NULL)" if nulls_follow else f" AND {row}"

    def _where(self, conditions: tuple[Condition, ...]) -> str:
        return "".join(text for _, text in self._numbered(conditions))

    def _numbered(self, conditions: tuple[Condition, ...]) -> list[tuple[Condition, str]]:
        """Each condition with its SQL; each but `null` takes one parameter, from the second on."""
        texts, number = [], 2
        for condition in conditions:
            texts.append((condition, f" AND {self._compare(condition, number)}"))
            number += condition.lookup != "null"
        return texts

    def _or_new(self, condition: Condition, text: str) -> str:
        """The condition's SQL; words, except the tenant's, may also match the text of a row too new for the index."""
        if condition.lookup != "words":
            return text
        mark = text[text.index("$") : text.index(",")]
        return f" AND ({text.removeprefix(' AND ')} OR {match_new_sql(mark)})"

    def _compare(self, condition: Condition, number: int) -> str:
        mark = self._mark(number)
        quoted = [self._quoted(name) for name in condition.names]
        if condition.lookup == "null":
            return f"{quoted[0]} IS NULL"
        if condition.lookup == "words":
            return match_sql(mark, self._search, postgres=self.postgres)
        if condition.lookup == AUDIENCE:
            assert self._audience is not None  # only Records with an audience make this condition
            return self._audience.sql(self._mark(1), mark, postgres=self.postgres)
        if condition.lookup == "contains":
            return "(" + " OR ".join(f"{FOLD}({name}) LIKE {mark} ESCAPE '\\'" for name in quoted) + ")"
        if condition.lookup == "pattern":
            # SQLite's LIKE ignores letter case, its GLOB does not.
            return f"{quoted[0]} LIKE {mark} ESCAPE '\\'" if self.postgres else f"{quoted[0]} GLOB {mark}"
        if condition.lookup == "has":
            return (
                f"{quoted[0]} @> jsonb_build_array({mark}::text)"
                if self.postgres
                else f"EXISTS (SELECT 1 FROM json_each({quoted[0]}) WHERE value = {mark})"
            )
        if condition.lookup == "in":
            return (
                f"{quoted[0]} = ANY({mark})"
                if self.postgres
                else f"{quoted[0]} IN (SELECT value FROM json_each({mark}))"
            )
        return f"{quoted[0]} {_COMPARISONS[condition.lookup]} {mark}"
