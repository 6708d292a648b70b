"""Find PostgreSQL tables and views outside the loaded models that show tenants' rows to the serving role."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from host.data.postgres_pool import PostgresClient
from host.data.rls_parts import Finding

# Relations with a column that holds a row's tenant (by name, or by a foreign key to `tenants`), and every view on them,
# in any schema; of these the ones that the serving role ($1) can use.
_RELATIONS = """
WITH RECURSIVE showing AS (
    SELECT c.oid FROM pg_class c WHERE c.relkind IN ('r', 'p', 'f') AND (
        EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'tenant_id' AND NOT a.attisdropped)
        OR EXISTS (SELECT FROM pg_constraint k WHERE k.conrelid = c.oid AND k.confrelid = to_regclass('tenants'))
    )
    UNION
    SELECT r.ev_class FROM showing s
    JOIN pg_depend d ON d.refclassid = 'pg_class'::regclass AND d.refobjid = s.oid
    JOIN pg_rewrite r ON r.oid = d.objid AND d.classid = 'pg_rewrite'::regclass
)
SELECT c.oid::regclass::text AS name, c.relname::text AS plain, n.nspname = current_schema() AS here,
    c.relkind::text AS kind, c.relrowsecurity AS secured,
    CASE WHEN c.relkind = 'v' THEN pg_get_viewdef(c.oid) END AS definition,
    COALESCE(c.reloptions && ARRAY['security_invoker=true', 'security_invoker=on'], false) AS asks,
    ARRAY(SELECT polname::text FROM pg_policy p WHERE p.polrelid = c.oid AND p.polpermissive) AS policies
FROM showing s JOIN pg_class c ON c.oid = s.oid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND has_schema_privilege($1, n.oid, 'USAGE')
    AND (has_any_column_privilege($1, c.oid, 'SELECT, INSERT, UPDATE') OR has_table_privilege($1, c.oid, 'DELETE'))
ORDER BY 1
"""
_OURS = {"tenant_only", "across_reads"}
_NOISE = re.compile(r"[()\s]|::text")
_ISOLATED_VIEW = re.compile(r"WHERE(?:\w+\.)?tenant_id=NULLIFcurrent_setting'app\.tenant_id',true,''::uuid;?$")


async def beside_gaps(client: PostgresClient, ours: Sequence[str], role: str) -> list[Finding]:
    """Tables and views with tenants' rows that are not among `ours`, the loaded models' tables in the current schema.

    None has a remedy, because a person must decide what they are for.
    """
    rows = await client.execute_query_dict(_RELATIONS, [role])
    gaps = []
    for row in rows:
        is_table = row["kind"] in {"r", "p"}
        if is_table and row["here"] and row["plain"] in ours:
            continue
        if complaint := _complaint(row):
            gaps.append(Finding(f"{complaint}: add it, or revoke the privileges of the serving role {role} on it"))
    return gaps


def _complaint(row: dict[str, Any]) -> str | None:
    name = row["name"]
    match row["kind"]:
        case "v":
            isolated = row["asks"] or is_isolated(row["definition"])
            return None if isolated else f"the view {name} shows rows of every tenant, as it has no security_invoker"
        case "m":
            return f"the materialised view {name} shows rows of every tenant, and cannot have row-level security"
        case "f":
            return f"the foreign table {name} shows rows of every tenant, and cannot have row-level security"
    if not row["secured"]:
        return f"table {name} holds rows of tenants without row-level security, and no loaded plugin knows it"
    if unknown := set(row["policies"]) - _OURS:
        return f"table {name} of no loaded plugin has an unknown policy {min(unknown)}"
    return None


def is_isolated(definition: str) -> bool:
    """Whether a view shows rows of the bound tenant only, by a condition of its own."""
    return _ISOLATED_VIEW.search(bare(definition)) is not None


def bare(expression: str | None) -> str:
    """An expression without what PostgreSQL adds when it prints it back."""
    return _NOISE.sub("", expression or "")
