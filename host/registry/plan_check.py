"""Compare plans.toml with the limits and features that the loaded plugins declare."""

from __future__ import annotations

import difflib
import logging
from collections.abc import Collection, Iterator, Sequence

from host.input_errors import nearest
from host.registry.checks import limit_complaint
from host.registry.declarations import Declarations
from host.registry.kinds import LIMITS
from host.registry.manifest import HOST_AREAS
from host.settings.files import place
from tenants.plans import EVERYTHING, Plans

_log = logging.getLogger("host.registry")


def plan_complaints(
    plans: Plans, declared: Sequence[Declarations], loaded: Collection[str], available: Collection[str]
) -> Iterator[str]:
    """What is wrong with the plans, leaving out limits that a failed plugin could not declare.

    Limits and features of a plugin that is not loaded here have no effect and are logged as a warning.

    declared: what each plugin declares. loaded: ids of the loaded plugins. available: those of plugins that could be.
    """
    limits = {limit.name: limit for declarations in declared for limit in declarations.of(LIMITS)}
    failed = tuple(f"{declarations.plugin}." for declarations in declared if not declarations.complete)
    unused = {
        name
        for plan in plans
        for name in ({*plan.features} - {EVERYTHING, *loaded}) | {limit for limit in plan.limits if "." in limit}
        if _absent(name, loaded, available)
    }
    for name in sorted(unused | unused_tables(plans, loaded, available)):
        _log.warning("%s: %r belongs to a plugin that is not loaded here and has no effect", plans.path, name)
    for plan in plans:
        for name in sorted({*plan.features} - {EVERYTHING, *loaded, *unused}):
            at = place(plans.path, (plan.id, "features"))
            yield f"{at}: no plugin provides {name!r}{nearest(name, loaded)}"
        for name, value in plan.limits.items():
            at = place(plans.path, (plan.id, "limits", name))
            if name in limits and (wrong := limit_complaint(limits[name], str(value))):
                yield f"{at}: {wrong}"
            elif name not in limits and name not in unused and not name.startswith(failed):
                yield f"{at}: no plugin declares this limit{nearest(name, limits)}"


def unused_tables(plans: Plans, loaded: Collection[str], available: Collection[str]) -> frozenset[str]:
    """The plugins that plans have a table for and that are not loaded here."""
    return frozenset(name for plan in plans for name in plan.plugins if name in available and name not in loaded)


def _absent(name: str, loaded: Collection[str], available: Collection[str]) -> bool:
    """Whether a plan's limit or feature is of a plugin that is not loaded, and no misspelling of one that is."""
    owner, areas = name.partition(".")[0], {*loaded, *HOST_AREAS}
    if owner in areas:
        return False
    return owner in available or not difflib.get_close_matches(owner, areas, n=1, cutoff=0.75)
