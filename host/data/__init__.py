"""Database, unit of work, rows, migrations, and the walls between tenants in the database itself."""
