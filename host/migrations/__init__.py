"""Migrations of the host tables; append-only."""
