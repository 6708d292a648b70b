"""A larger plan for some days."""
