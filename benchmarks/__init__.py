"""Benchmarks: the host against a bare Quart handler, mail against SAQ alone, the audit log; `make bench`."""
