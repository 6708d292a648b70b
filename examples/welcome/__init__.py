"""Welcome the people who join an organisation."""
