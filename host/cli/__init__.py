"""The command line: the `tenantry` command."""

from __future__ import annotations

from host.cli.program import main

__all__ = ["main"]
