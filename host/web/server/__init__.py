"""Serve HTTP: the ASGI pipeline, one connection, request state, headers and framing."""
