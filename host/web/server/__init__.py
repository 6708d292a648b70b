"""Serve HTTP over ASGI: the request pipeline, connections, request state, headers and framing checks."""
