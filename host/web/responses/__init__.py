"""Make responses: JSON bodies, error documents, content negotiation."""
