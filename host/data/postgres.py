"""The PostgreSQL engine, in the module that the ORM's configuration names."""

from __future__ import annotations

from tortoise.backends.base.client import TransactionContext

from host.data.postgres_pool import PostgresClient
from host.data.postgres_transactions import Transaction


class PostgresEngine(PostgresClient):
    """A pool of connections whose transactions set the bound tenant."""

    def _in_transaction(self) -> TransactionContext:
        return Transaction(self)


client_class = PostgresEngine
