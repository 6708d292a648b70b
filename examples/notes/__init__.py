"""Notes of an organisation."""
