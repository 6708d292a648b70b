"""Migrations of the metrics plugin, append-only."""
