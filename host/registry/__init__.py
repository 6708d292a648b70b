"""Finds, checks, orders, loads, calls and quarantines plugins."""
