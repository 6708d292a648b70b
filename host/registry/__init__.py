"""Find, check, order, load, call and quarantine plugins."""
