"""constraints.txt pins everything that running and developing install, and says nothing of where it comes from."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PINS = [line for line in (ROOT / "constraints.txt").read_text("utf-8").splitlines() if line]


def wanted() -> list[Requirement]:
    """What pyproject.toml asks for, the dev group included."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    extras = [text for texts in project["project"]["optional-dependencies"].values() for text in texts]
    return [
        Requirement(text)
        for text in (*project["project"]["dependencies"], *project["dependency-groups"]["dev"], *extras)
    ]


def closure(roots: Iterable[Requirement]) -> Iterator[str]:
    """The names of everything that these need here, as the installed distributions say."""
    seen: set[tuple[str, frozenset[str]]] = set()
    waiting = list(roots)
    while waiting:
        one = waiting.pop()
        key = (canonicalize_name(one.name), frozenset(one.extras))
        if key in seen:
            continue
        seen.add(key)
        yield key[0]
        try:
            needed = [Requirement(text) for text in requires(one.name) or ()]
        except PackageNotFoundError:
            continue  # another platform's, or an optional server's
        for extra in ("", *one.extras):
            waiting += [each for each in needed if each.marker is None or each.marker.evaluate({"extra": extra})]


def test_pins_when_compared_with_what_is_needed_then_leave_nothing_open() -> None:
    pinned = {canonicalize_name(Requirement(line).name) for line in PINS}
    unpinned = sorted(set(closure(each for each in wanted() if each.marker is None or each.marker.evaluate())) - pinned)
    assert unpinned == [], "run `make lock`"


def test_pins_when_read_then_are_exact_and_name_no_registry() -> None:
    for line in PINS:
        requirement = Requirement(line)
        assert re.fullmatch(r"==[^*,]+", str(requirement.specifier)), line
        assert requirement.url is None, line
        assert not requirement.extras, line
