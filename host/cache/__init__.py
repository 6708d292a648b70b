"""Redis seen through a window that already holds tenant and plugin in the key."""
