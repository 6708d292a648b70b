"""Database access: connections, transactions, records, SQL, migrations and row-level security."""
