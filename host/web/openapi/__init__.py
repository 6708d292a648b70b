"""Describe the API: OpenAPI document, JSON schemas, Swagger UI page and Postman collection."""
