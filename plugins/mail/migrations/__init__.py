"""Migrations of the mail plugin's tables, append-only."""
