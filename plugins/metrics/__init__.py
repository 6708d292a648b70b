"""Metrics: a Prometheus endpoint for the deployment and a daily use summary for each tenant."""
