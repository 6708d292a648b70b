"""Describe the API: the OpenAPI document, its schemas, the documentation page and a Postman collection."""
