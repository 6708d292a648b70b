"""Write error messages: suggest the nearest known name, and join several complaints into one error."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

from host.errors import ConfigurationError


def nearest(wrong: str, known: Iterable[str]) -> str:
    """`; did you mean "x"?` for the known name nearest to a wrong one, else the known names, else nothing."""
    names = sorted(set(known))
    close = difflib.get_close_matches(wrong, names, n=1, cutoff=0.6)
    if close:
        return f'; did you mean "{close[0]}"?'
    return f"; known: {', '.join(names)}" if 0 < len(names) <= 12 else ""


def refuse(messages: Sequence[str]) -> None:
    """Raise one ConfigurationError that lists every complaint; do nothing when there is none.

    Raises:
        ConfigurationError: there is at least one complaint.
    """
    if not messages:
        return
    if len(messages) == 1:
        raise ConfigurationError(messages[0])
    raise ConfigurationError(f"{len(messages)} things are wrong:\n" + "\n".join(f"- {line}" for line in messages))
