"""Requests to untrusted hosts: which addresses are public, and an HTTP client that keeps to them."""
