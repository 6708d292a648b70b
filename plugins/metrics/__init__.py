"""How the host is doing: what is measured, for Prometheus, and a tenant's own use, for its administrators."""
