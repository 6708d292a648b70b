"""Metrics of all processes: measured in each, summed in Redis, read from any."""
