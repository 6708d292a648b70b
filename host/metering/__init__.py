"""Metering: what every process measures, summed in Redis, so that any process can tell how the whole house is doing."""
