"""Database, unit of work, rows, migrations, and the tenant isolation in the database itself."""
