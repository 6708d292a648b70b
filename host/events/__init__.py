"""Deliver events to plugins' listeners as jobs, after commit and at least once."""
