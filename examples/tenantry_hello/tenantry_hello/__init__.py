"""Example plugin: greet the members of an organisation."""
