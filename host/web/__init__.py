"""Serve the HTTP API: routing, admission, input binding, responses, errors and the OpenAPI document."""
