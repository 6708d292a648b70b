"""Build HTTP responses: JSON bodies, error documents and content negotiation."""
