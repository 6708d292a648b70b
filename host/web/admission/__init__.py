"""Decide whether a request may proceed: credentials, rate limits, tenant, plugin activation and permission."""
