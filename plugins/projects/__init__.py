"""Projects with members and tasks; the example of a plugin with every kind of file."""
