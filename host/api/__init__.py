"""The host's own HTTP endpoints, one module for each resource."""
