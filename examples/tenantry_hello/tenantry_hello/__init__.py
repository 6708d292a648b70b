"""Greets the people of an organisation."""
