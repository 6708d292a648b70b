"""One SQL statement of the bound tenant, in the two forms the engines run."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Statement:
    """SQL whose first parameter is the tenant's id.

    inside: the plain form, run in a transaction that already says which tenant is bound.
    alone: for PostgreSQL outside a transaction: sets the tenant and does the work in one autocommitted statement;
        None where there is no such form, then a small transaction is opened around `inside`.
    """

    inside: str
    alone: str | None = None
