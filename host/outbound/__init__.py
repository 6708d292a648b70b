"""Requests to hosts that strangers name: which addresses are public, and an HTTP client that keeps to them."""
