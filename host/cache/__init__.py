"""Redis: client, embedded server, key namespaces per tenant and plugin, and cache invalidation."""
