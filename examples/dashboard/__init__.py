"""A dashboard whose cards come from other plugins."""
