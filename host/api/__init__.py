"""The host's own resources, one module each."""
