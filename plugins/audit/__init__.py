"""Audit log: record who did what, when and from where, in a tamper-evident chain per tenant."""
