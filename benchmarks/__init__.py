"""How fast the house is, against a handler written by hand; `make bench`."""
