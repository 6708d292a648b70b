"""Redis seen through a namespace that already holds tenant and plugin in the key."""
