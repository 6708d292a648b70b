"""Find, list and erase a person's data across the host and all plugins, and check that none is left."""
