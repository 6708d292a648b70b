"""Links shared with people and roles."""
