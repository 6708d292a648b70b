"""Keep for each team the list of its ancestors, so that no question about nesting walks the tree."""

from __future__ import annotations

from collections.abc import Collection
from uuid import UUID

from host.sdk import Conflict, limit_value

from .models import TeamClosure

DEPTH = "teams.depth"


async def ancestors_of(team_id: UUID) -> list[UUID]:
    """The team and every team above it, the nearest first."""
    rows = await TeamClosure.filter(descendant_id=team_id).order_by("depth").values("ancestor_id")
    return [row["ancestor_id"] for row in rows]


async def descendants_of(team_ids: Collection[UUID]) -> set[UUID]:
    """These teams and every team below them."""
    rows = await TeamClosure.filter(ancestor_id__in=list(team_ids)).values("descendant_id")
    return {row["descendant_id"] for row in rows}


async def has_children(team_id: UUID) -> bool:
    """Whether a team lies below this one."""
    return await TeamClosure.filter(ancestor_id=team_id, depth__gt=0).exists()


async def plant(team_id: UUID, parent_id: UUID | None) -> None:
    """Enter a new team below its parent; the tenant is locked.

    Raises:
        Conflict: the plan allows no team that deep.
    """
    await TeamClosure.create(ancestor_id=team_id, descendant_id=team_id, depth=0)
    if parent_id is not None:
        await _hang(team_id, parent_id)


async def move(team_id: UUID, parent_id: UUID | None) -> None:
    """Put a team, with all that is below it, below another parent or none; the tenant is locked.

    Raises:
        Conflict: the parent is the team itself or lies below it, or the plan allows no team that deep.
    """
    below = await descendants_of([team_id])
    if parent_id in below:
        raise Conflict("A team cannot be below itself: choose a parent that is not among the teams below it.")
    above = [ancestor for ancestor in await ancestors_of(team_id) if ancestor != team_id]
    await TeamClosure.filter(ancestor_id__in=above, descendant_id__in=list(below)).delete()
    if parent_id is not None:
        await _hang(team_id, parent_id)


async def _hang(team_id: UUID, parent_id: UUID) -> None:
    above = await TeamClosure.filter(descendant_id=parent_id).values("ancestor_id", "depth")
    below = await TeamClosure.filter(ancestor_id=team_id).values("descendant_id", "depth")
    deepest = 2 + max(row["depth"] for row in above) + max(row["depth"] for row in below)
    most = (await limit_value(DEPTH))[0].amount
    if most is not None and deepest > most:
        raise Conflict(
            f"Teams would be {deepest} levels deep; the plan allows {most} ({DEPTH}).",
            details={"name": DEPTH, "limit": most, "levels": deepest},
        )
    await TeamClosure.bulk_create(
        [
            TeamClosure(
                ancestor_id=upper["ancestor_id"],
                descendant_id=lower["descendant_id"],
                depth=upper["depth"] + 1 + lower["depth"],
            )
            for upper in above
            for lower in below
        ]
    )
