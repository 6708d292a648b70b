"""Restrict rows to those that are shared with whoever asks, inside the SQL of each statement."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import orjson

from host.execution_context import grants, principals
from tenants.scoping import TenantModel


@dataclass(frozen=True, slots=True)
class Audience:
    """Who may see a row: everybody of the tenant, or whom the rows of another table name.

    model: what is shared. open: the column and the value of rows that everybody may see. shares: the model whose rows
    name them, with its columns `link` (the shared row's id) and `principal` ("user:<id>", "team:<id>", …). everything:
    the permission to see all rows. key: the column of the restricted rows that names the shared one, such as
    "project_id" for what belongs to a project. Jobs and commands see everything.

    Example:
        Records(Task, audience=Audience(Project, ("visibility", "organisation"), ProjectMember, "project_id",
                                        everything="projects.projects.read_all", key="project_id"))
    """

    model: type[TenantModel]
    open: tuple[str, str]
    shares: type[TenantModel]
    link: str
    principal: str = "principal"
    everything: str = ""
    key: str = "id"

    def asking(self, dialect: str) -> Sequence[str] | str | None:
        """The parameter of `sql`: what the actor stands for; None where they may see every row."""
        mine = principals()
        if mine is None or (self.everything and grants().allows(self.everything)):
            return None
        return list(mine) if dialect == "postgres" else orjson.dumps(list(mine)).decode()

    def sql(self, tenant: str, mine: str, *, postgres: bool) -> str:
        """The condition. tenant, mine: the marks of the parameters: the tenant's id, and what `asking` returned."""
        column, value = self.open
        among = f"= ANY({mine}::text[])" if postgres else f"IN (SELECT value FROM json_each({mine}))"  # noqa: S608
        same_tenant = f'"tenant_id" = {tenant}'
        shared = _select(self.link, self.shares, f'{same_tenant} AND "{self.principal}" {among}')
        seen = f'("{column}" = \'{value}\' OR "id" IN ({shared}))'
        if self.key == "id":
            return seen
        return f'"{self.key}" IN ({_select("id", self.model, f"{same_tenant} AND {seen}")})'


def _select(column: str, model: type[TenantModel], where: str) -> str:
    return f'SELECT "{column}" FROM "{model._meta.db_table}" WHERE {where}'  # noqa: S608
