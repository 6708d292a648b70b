"""SQL statements of the bound tenant, in the forms that PostgreSQL and SQLite run."""

# ruff: noqa: S608 - every name in this SQL is a model's own; values are parameters

from __future__ import annotations

from dataclasses import dataclass

BOUND = "WITH bound AS MATERIALIZED (SELECT set_config('app.tenant_id', $1::uuid::text, true)::uuid AS tenant)"
"""The start of a PostgreSQL statement that sets the tenant in one round trip; the rest must depend on `bound`."""


@dataclass(
    frozen=True, slots=True, eq=False
)  # compared by identity, as each is cached once; comparing texts would be slower
class Statement:
    """SQL whose first parameter is the tenant's id.

    inside: the plain form, run in a transaction that has the tenant set.
    alone: for PostgreSQL outside a transaction: sets the tenant and does the work in one autocommitted statement;
        None if there is no such form; then a small transaction is opened around `inside`.
    reads: it changes and locks nothing.
    into: of an INSERT, the text before the values, with the columns, `tenant_id` the first; clash: the text after them.
    """

    inside: str
    alone: str | None = None
    reads: bool = False
    into: str = ""
    clash: str = ""


@dataclass(frozen=True, slots=True)
class Insert:
    """A row to be inserted later; `values[0]` is the tenant's id."""

    statement: Statement
    values: tuple[object, ...]


def together(inserts: tuple[Statement, ...], widths: tuple[int, ...]) -> str:
    """Several INSERTs of one tenant as one statement that sets the tenant; widths: how many values each has."""
    parts, number = [BOUND], 2
    for position, (statement, width) in enumerate(zip(inserts, widths, strict=True)):
        marks = ", ".join(f"${each}" for each in range(number, number + width - 1))
        parts.append(f"row{position} AS ({statement.into} SELECT bound.tenant, {marks} FROM bound {statement.clash})")
        number += width - 1
    return f"{', '.join(parts)} SELECT 1 FROM bound"
