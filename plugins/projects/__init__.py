"""Projects with their people and tasks; the full-layout example of a plugin."""
