"""Migrations of the tenants tables; append-only."""
