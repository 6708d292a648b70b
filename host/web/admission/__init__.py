"""Decide whether a request may go on: credentials, rates, tenant, plugin, permission."""
