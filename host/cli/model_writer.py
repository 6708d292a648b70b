"""Write TenantModel classes for the tables of an existing database, with notes of what a person must decide."""

from __future__ import annotations

import keyword
import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from aerich.inspectdb import Column

from host.cli.column_defaults import default_argument
from host.cli.source_database import SourceLink, SourceTable
from tenants.scoping import TenantModel

WIDTH = 120
LONGEST_TABLE = 63  # bytes of a name in PostgreSQL
_OTHER_TYPES = {
    **dict.fromkeys(("INT", "TINYINT", "MEDIUMINT"), "IntField"),
    **dict.fromkeys(("INTEGER", "UNSIGNED BIG INT"), "BigIntField"),
    **dict.fromkeys(("BOOLEAN", "BOOL"), "BooleanField"),
    **dict.fromkeys(("DATETIME", "TIMESTAMPTZ"), "DatetimeField"),
    **dict.fromkeys(("CHAR", "NVARCHAR", "NCHAR", "CHARACTER", "CHARACTER VARYING", "bpchar"), "CharField"),
    **dict.fromkeys(("CLOB", "citext", "xml", "name"), "TextField"),
    **dict.fromkeys(("DOUBLE", "DOUBLE PRECISION", "FLOAT"), "FloatField"),
    **dict.fromkeys(("DECIMAL", "NUMERIC"), "DecimalField"),
    **dict.fromkeys(("JSONB", "json"), "JSONField"),
    **{"UUID": "UUIDField", "timetz": "TimeField", "interval": "TimeDeltaField"},
}
"""Types of columns that aerich has no field for, or another than a table's rows need."""

_OURS = frozenset({"id", "tenant_id"})
_TAKEN = frozenset(dir(TenantModel)) - _OURS


@dataclass(frozen=True, slots=True)
class Draft:
    """One table as a class. fields: their lines. notes: what a person must decide, as sentences."""

    name: str
    table: str
    source: str
    fields: tuple[str, ...]
    unique: tuple[tuple[str, ...], ...]
    indexes: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...]


def drafts(plugin_id: str, tables: Sequence[SourceTable]) -> tuple[Draft, ...]:
    """The classes for tables of a source, each after those it links to."""
    classes: dict[str, str] = {}
    for table in tables:
        words = re.findall(r"[A-Za-z0-9]+", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", table.name))
        name = "".join(word[:1].upper() + word[1:] for word in words) or "Table"
        name = f"T{name}" if name[0].isdigit() else name
        numbered = (f"{name}{number}" for number in range(2, len(tables) + 2))
        classes[table.name] = name if name not in classes.values() else next(n for n in numbered if n not in classes)
    before: set[str] = set()
    made = []
    for table in _in_order(tables):
        before.add(table.name)
        made.append(_Writer(plugin_id, table, classes, before).draft())
    return tuple(made)


def module(made: Sequence[Draft], plugin_id: str) -> str:
    """The source of `models.py`."""
    head = f'"""The tables of {plugin_id}, drawn from an existing database; each comment says what is to be decided."""'
    body = "\n\n\n".join("\n".join(_class(draft)) for draft in made)
    imports = "from tortoise import fields\n\nfrom host.sdk import TenantModel"
    return f"{head}\n\nfrom __future__ import annotations\n\n{imports}\n\n\n{body}\n"


def _class(draft: Draft) -> Iterator[str]:
    yield "# To decide:"
    for note in draft.notes:
        yield from textwrap.wrap(note, WIDTH, initial_indent="# - ", subsequent_indent="#   ", break_on_hyphens=False)
    yield f"class {draft.name}(TenantModel):"
    yield f'    """Rows of what was the table `{draft.source}`."""'
    yield ""
    yield from (f"    {line}" for line in draft.fields)
    yield from ("", "    class Meta:") if draft.fields else ("    class Meta:",)
    yield f'        table = "{draft.table}"'
    for name, groups in (("unique_together", draft.unique), ("indexes", draft.indexes)):
        if groups:
            yield from _tuple(f"        {name} = ", [_tuple_of_names(group) for group in groups])


def _tuple(opening: str, items: Sequence[str]) -> list[str]:
    line = f"{opening}({', '.join(items)}{',' if len(items) == 1 else ''})"
    if len(line) <= WIDTH:
        return [line]
    indent = " " * (len(opening) - len(opening.lstrip()))
    return [f"{opening}(", *(f"{indent}    {item}," for item in items), f"{indent})"]


def _tuple_of_names(names: Sequence[str]) -> str:
    return "(" + ", ".join(f'"{name}"' for name in names) + ")"


def _in_order(tables: Sequence[SourceTable]) -> list[SourceTable]:
    """Tables after those they link to, as far as no circle prevents it."""
    waiting, placed = {table.name: table for table in tables}, list[SourceTable]()
    while waiting:
        ready = [
            table
            for table in waiting.values()
            if not {link.target for link in table.links} & (waiting.keys() - {table.name})
        ]
        for table in ready or list(waiting.values())[:1]:
            placed.append(waiting.pop(table.name))
    return placed


class _Writer:
    """Draws the class of one table and notes what is to be decided about it."""

    def __init__(self, plugin_id: str, table: SourceTable, classes: Mapping[str, str], before: set[str]) -> None:
        self.plugin_id, self.table, self.classes, self.before = plugin_id, table, classes, before
        self.notes: list[str] = []
        self.names: dict[str, str] = {}  # column -> the field's name, or the key's name for a relation
        self.used: set[str] = set()

    def draft(self) -> Draft:
        lines = [line for column in self.table.columns if (line := self._field(column))]
        unique, indexes = self._keys()
        if "created_at" not in self.names.values():
            self.notes.append(
                "There is no created_at, by which lists are ordered: add one, or give Records other sorts."
            )
        rows = "is 1 row" if self.table.rows == 1 else f"are {self.table.rows} rows"
        self.notes.insert(0, f"There {rows} in the source: which tenant does each belong to? Copy none without one.")
        stem = self.table.name if self.table.name.startswith(f"{self.plugin_id}_") else ""
        table = stem or f"{self.plugin_id}_{re.sub(r'[^a-z0-9_]', '_', self.table.name.lower())}"
        if len(table) > LONGEST_TABLE:
            self.notes.append(f"The name {table} is too long for PostgreSQL, so it was cut: choose a better one.")
        return Draft(
            self.classes[self.table.name],
            table[:LONGEST_TABLE],
            self.table.name,
            tuple(lines),
            tuple(unique),
            tuple(indexes),
            tuple(self.notes),
        )

    # -- fields --------------------------------------------------------------------------------------------

    def _field(self, column: Column) -> str:
        """The line of one column; "" where `id` takes its place."""
        kind, unfit = self._kind(column)
        if self.table.primary_key == (column.name,) and kind == "UUIDField" and column.name == "id":
            self.notes.append("Its primary key is a UUID already: keep the values as `id` when you copy rows.")
            self.names[column.name] = "id"
            return ""
        links = [link for link in self.table.links if link.columns == (column.name,)]
        if links and (line := self._relation(column, links[0])):
            return line
        name = self.names[column.name] = self._name(column, kind)
        if unfit:
            self.notes.append(f"`{column.name}` is of type {column.data_type}, which no field fits: it is text now.")
        null = ["null=True"] if column.null and column.name not in self.table.primary_key else []
        arguments = [*self._size(column, kind), *null, *self._default(column, kind)]
        if name == "updated_at" and kind == "DatetimeField":
            arguments = ["auto_now=True"]
        kind = kind if kind != "CharField" or arguments[:1] != ["max_length=0"] else "TextField"
        return f"{name} = fields.{kind}({', '.join(part for part in arguments if part != 'max_length=0')})"

    def _kind(self, column: Column) -> tuple[str, bool]:
        """The field's class, and whether that is only a stopgap."""
        field_class = _OTHER_TYPES.get(column.data_type) or self.table.field_types.get(column.name)
        if field_class is None and column.data_type.startswith("_"):
            return "JSONField", True
        return (field_class, False) if field_class else ("TextField", True)

    def _name(self, column: Column, kind: str) -> str:
        name = re.sub(r"_{2,}", "_", re.sub(r"\W", "_", column.name.lower(), flags=re.ASCII)).strip("_") or "field"
        name = f"n{name}" if name[0].isdigit() else name
        is_key = column.name in self.table.primary_key
        if is_key and len(self.table.primary_key) == 1:
            self.notes.append(
                f"Its primary key `{column.name}` gives way to `id`, a UUID; the old value is in the field below, by "
                "which to find what other rows refer to. Drop it when nothing does."
            )
        if name in _OURS:
            if not is_key:
                self.notes.append(f"`{column.name}` is a field of every TenantModel: the old one is `source_{name}`.")
            name = f"source_{name}"
        elif name == "version" and kind not in {"IntField", "BigIntField", "SmallIntField"}:
            self.notes.append("`version` is what If-Match compares and must be a number: the old one is renamed.")
            name = "source_version"
        elif name == "version":
            self.notes.append("`version` is what If-Match compares: Records raises it with every change.")
        elif keyword.iskeyword(name) or name in _TAKEN:
            self.notes.append(f"`{column.name}` cannot be the name of a field: it is `{name}_value`.")
            name = f"{name}_value"
        while name in self.used:
            name = f"{name}_2"
        self.used.add(name)
        return name

    def _relation(self, column: Column, link: SourceLink) -> str:
        """A foreign key to another of the tables; "" where it stays a plain column."""
        if link.target not in self.classes:
            self.notes.append(
                f"`{column.name}` refers to {link.target}, which was not chosen: it is a plain column. Choose that "
                "table too, keep an id of another plugin, or drop it."
            )
            return ""
        if link.target not in self.before:
            self.notes.append(
                f"`{column.name}` refers to {link.target}, which refers back: it is a plain column. Link one of both."
            )
            return ""
        name = self._name(column, "relation")
        self.used.discard(name)
        name = name.removesuffix("_id")
        while name in self.used or name in _TAKEN or keyword.iskeyword(name):
            name = f"{name}_row"
        self.used |= {name, f"{name}_id"}
        self.names[column.name] = f"{name}_id"
        target = self.classes[link.target]
        clears = link.on_delete == "SET NULL" and column.null
        together = "" if clears or link.on_delete == "CASCADE" else ", and rows go with it unless you say on_delete"
        targets = ", ".join(link.targets)
        self.notes.append(
            f"`{column.name}` refers to {link.target} by {targets}; `{name}_id` holds that row's new id{together}."
        )
        options = ["related_name=False", *(["null=True"] if column.null else [])]
        options += ["on_delete=fields.SET_NULL"] if clears else []
        opening = f"{name}: fields.ForeignKey{'Nullable' if column.null else ''}Relation[{target}] = "
        parts = [f'"{self.plugin_id}.{target}"', *options]
        line = f"{opening}fields.ForeignKeyField({', '.join(parts)})"
        if len(line) + 4 <= WIDTH:
            return line
        return f"{opening}fields.ForeignKeyField(\n        {', '.join(parts)}\n    )"

    def _size(self, column: Column, kind: str) -> list[str]:
        if kind == "CharField":
            length = str(column.length or "")
            return [f"max_length={int(length) if length.isdigit() else 0}"]  # 0: without a limit, which is a TextField
        if kind == "DecimalField":
            digits, places = column.max_digits, column.decimal_places
            if numbers := re.findall(r"\d+", str(column.length or "")):
                digits, places = int(numbers[0]), int(numbers[1]) if len(numbers) > 1 else 0
            if digits is None:
                self.notes.append(f"`{column.name}` is a number of any length: 20 digits, 6 of them behind the point.")
                digits, places = 20, 6
            return [f"max_digits={digits}", f"decimal_places={places or 0}"]
        return []

    def _default(self, column: Column, kind: str) -> list[str]:
        if column.default is None or column.name in self.table.primary_key or str(column.default).upper() == "NULL":
            return []
        argument = default_argument(str(column.default), kind)
        if not argument:
            self.notes.append(f"The default of `{column.name}`, {column.default}, is not carried over.")
        return [argument] if argument else []

    # -- keys ----------------------------------------------------------------------------------------------

    def _keys(self) -> tuple[list[tuple[str, ...]], list[tuple[str, ...]]]:
        unique, indexes = list[tuple[str, ...]](), list[tuple[str, ...]]()
        key = tuple(self.names[name] for name in self.table.primary_key)
        if key and key != ("id",):
            unique.append(("tenant_id", *key))
        for index in self.table.indexes:
            fields = tuple(self.names[name] for name in index.columns)
            if index.is_partial:
                columns = ", ".join(index.columns) or "an expression"
                self.notes.append(f"An index of {columns} is of an expression or some rows: write it in a migration.")
            elif index.is_unique and fields != ("id",) and ("tenant_id", *fields) not in unique:
                unique.append(("tenant_id", *fields))
                columns = ", ".join(index.columns)
                self.notes.append(f"{columns} was unique in the whole table, and now is in each tenant.")
            elif not index.is_unique and ("tenant_id", *fields) not in (*unique, *indexes):
                indexes.append(("tenant_id", *fields))
        return unique, indexes
