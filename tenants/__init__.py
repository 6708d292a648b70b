"""Tenants, people, roles, plans and limits, and the isolation that keeps each tenant's rows apart."""
