"""How fast the host is, against a handler written by hand; `make bench`."""
