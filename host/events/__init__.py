"""Announced after commit, delivered at least once to the listeners of active plugins: every event is jobs."""
