"""Check and install row-level security in PostgreSQL: policies, composite foreign keys and role grants."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tortoise.models import Model

from host.data.full_text import SEARCH_SUFFIX
from host.data.postgres_pool import PostgresClient
from host.data.postgres_scope import SYSTEM
from host.data.rls_parts import DEPLOYMENT_WIDE, Finding, Link, constraint_name, existing_parts
from host.data.rls_unmanaged import bare, beside_gaps, is_isolated
from host.data.text_fold import POSTGRES
from host.errors import ConfigurationError
from tenants.text_columns import FOLD

Rows = list[dict[str, Any]]
Policies = Mapping[str, tuple[str, str, str | None]]
"""Name -> command, the condition on rows seen, the condition on rows written."""

_SAME_TENANT = "tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid"
# "Not empty" and not "= 'on'": the planner estimates that as likely, the tenant's rows as many, and so uses the
# index of a list's order. Estimated as unlikely, a page of 20 among 10,000 rows reads and sorts them all.
_ACROSS = "COALESCE(current_setting('app.across', true), '') <> ''"
_POLICIES: Policies = {
    "tenant_only": ("ALL", _SAME_TENANT, _SAME_TENANT),
    "across_reads": ("SELECT", _ACROSS, None),
}
# With no tenant bound: the host's own work on all tenants. With one bound: its rows only, as everywhere.
_UNBOUND = (
    "COALESCE(current_setting('app.tenant_id', true), '') = '' "
    f"AND COALESCE(current_setting('{SYSTEM}', true), '') <> ''"
)
_WIDE_POLICIES: Policies = {
    "tenant_only": ("ALL", _SAME_TENANT, _SAME_TENANT),
    "unbound": ("ALL", _UNBOUND, _UNBOUND),
}
_PRIVILEGES = ("SELECT", "INSERT", "UPDATE", "DELETE")


async def ensure_role(client: PostgresClient, role: str) -> None:
    """Create the serving role if it is missing, and let the owner's login become it.

    Raises:
        ConfigurationError: the owner may not create roles.
    """
    try:
        await client.execute_script(f"""
            DO $$ BEGIN
                IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{role}') THEN
                    CREATE ROLE "{role}" NOLOGIN NOBYPASSRLS;
                END IF;
            EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;  -- another process was faster
            END $$;
            DO $$ BEGIN
                IF NOT pg_has_role(current_user, '{role}', 'MEMBER') THEN
                    EXECUTE format('GRANT "{role}" TO %I', current_user);
                END IF;
            END $$;""")
    except Exception as exc:
        if "permission denied" not in str(exc):
            raise
        raise ConfigurationError(
            f"the login in [database] url may not create the serving role {role!r}, to which row-level security "
            f"applies: create it once (CREATE ROLE {role} NOLOGIN; GRANT {role} TO <login>), or give two logins: "
            "url for serving and owner_url for migrating"
        ) from exc


async def findings(client: PostgresClient, models: Sequence[type[Model]], role: str) -> list[Finding]:
    """Every gap in row-level security of these models' tables, for the role that serves."""
    columns = await _read(
        client,
        'SELECT relname::text AS "table", attname::text AS name FROM pg_class c JOIN pg_attribute ON attrelid = c.oid '
        "WHERE relkind IN ('r', 'p') AND relnamespace = current_schema()::regnamespace AND attnum > 0 "
        "AND NOT attisdropped",
    )
    present = {(row["table"], row["name"]) for row in columns}
    gaps, isolated, links = existing_parts(models, present)
    tables = {table for table, _ in present}
    ours = [name for model in models if (name := model._meta.db_table) in tables]
    wide = [table for table in DEPLOYMENT_WIDE if table in ours]
    gaps += await _role_gaps(client, role, ours)
    gaps += await _security_gaps(client, isolated, wide)
    gaps += await _policy_gaps(client, dict.fromkeys(isolated, _POLICIES) | dict.fromkeys(wide, _WIDE_POLICIES), role)
    gaps += await _view_gaps(client, isolated, role)
    gaps += await beside_gaps(client, ours, role)
    gaps += await _key_gaps(client, links)
    if not await _read(client, "SELECT 1 WHERE to_regproc($1) IS NOT NULL", FOLD):
        gaps.append(Finding(f"the function {FOLD}, with which lists are searched, is missing", POSTGRES))
    return gaps


async def _read(client: PostgresClient, sql: str, *values: object) -> Rows:
    rows: Rows = await client.execute_query_dict(sql, list(values))
    return rows


async def _role_gaps(client: PostgresClient, role: str, tables: list[str]) -> list[Finding]:
    roles = await _read(client, "SELECT rolsuper, rolbypassrls FROM pg_roles WHERE rolname = $1", role)
    if not roles:
        return [Finding(f"the serving role {role} does not exist")]
    gaps = []
    if roles[0]["rolsuper"] or roles[0]["rolbypassrls"]:
        gaps.append(
            Finding(f"the serving role {role} may bypass row-level security: it must be NOSUPERUSER NOBYPASSRLS")
        )
    owned = await _read(
        client,
        "SELECT relname FROM pg_class WHERE oid = ANY (SELECT quote_ident(t)::regclass FROM unnest($2::text[]) t) "
        "AND pg_has_role($1, relowner, 'MEMBER')",
        role,
        tables,
    )
    gaps += [Finding(f"the serving role {role} owns table {row['relname']}, or may become its owner") for row in owned]
    lacking = await _read(
        client,
        "SELECT t, p FROM unnest($2::text[]) t, unnest($3::text[]) p "
        "WHERE NOT has_table_privilege($1, quote_ident(t)::regclass, p)",
        role,
        tables,
        list(_PRIVILEGES),
    )
    gaps += [
        Finding(
            f"the serving role {role} lacks {row['p']} on {row['t']}", f'GRANT {row["p"]} ON "{row["t"]}" TO "{role}"'
        )
        for row in lacking
    ]
    emptying = await _read(
        client,
        "SELECT t FROM unnest($2::text[]) t WHERE has_table_privilege($1, quote_ident(t)::regclass, 'TRUNCATE')",
        role,
        tables,
    )
    gaps += [
        Finding(f"the serving role {role} may TRUNCATE {row['t']}", f'REVOKE TRUNCATE ON "{row["t"]}" FROM "{role}"')
        for row in emptying
    ]
    if lacking:
        gaps.append(Finding(f"the serving role {role} may lack the schema and its sequences", _schema_grants(role)))
    return gaps


def _schema_grants(role: str) -> str:
    return f"""DO $$ BEGIN
        EXECUTE format('GRANT USAGE ON SCHEMA %I TO "{role}"', current_schema());
        EXECUTE format('GRANT USAGE ON ALL SEQUENCES IN SCHEMA %I TO "{role}"', current_schema());
    END $$"""


async def _security_gaps(client: PostgresClient, tables: list[str], wide: list[str]) -> list[Finding]:
    """Tables without row-level security; rows of `wide` may belong to no tenant."""
    rows = await _read(
        client,
        "SELECT relname, relrowsecurity, (SELECT attnotnull FROM pg_attribute WHERE attrelid = c.oid "
        "AND attname = 'tenant_id') AS filled FROM pg_class c "
        "WHERE oid = ANY (SELECT quote_ident(t)::regclass FROM unnest($1::text[]) t)",
        tables + wide,
    )
    gaps = []
    for row in rows:
        table = row["relname"]
        if not row["relrowsecurity"]:
            remedy = f'ALTER TABLE "{table}" ENABLE ROW LEVEL SECURITY'
            gaps.append(Finding(f"table {table} has no row-level security", remedy))
        if not row["filled"] and table not in wide:
            gaps.append(Finding(f"table {table} allows rows without a tenant", _not_null(table)))
    return gaps


def _not_null(table: str) -> str:
    return f'ALTER TABLE "{table}" ALTER COLUMN tenant_id SET NOT NULL'


async def _policy_gaps(client: PostgresClient, tables: Mapping[str, Policies], role: str) -> list[Finding]:
    rows = await _read(
        client,
        "SELECT tablename, policyname, permissive, cmd, qual, with_check FROM pg_policies "
        "WHERE schemaname = current_schema() AND tablename = ANY ($1::text[]) "
        "AND (roles && ARRAY['public', $2]::name[])",
        list(tables),
        role,
    )
    installed = {(row["tablename"], row["policyname"]): row for row in rows}
    gaps = []
    for table, policies in tables.items():
        for name, (command, using, check) in policies.items():
            row = installed.pop((table, name), None)
            if row is None or not _same_policy(row, command, using, check):
                gaps.append(Finding(f"table {table} lacks the policy {name}", _policy(table, name, policies)))
    gaps += [
        Finding(f"table {table} has an unknown policy {name}: it may let other tenants' rows through")
        for (table, name), row in installed.items()
        if row["permissive"] == "PERMISSIVE"
    ]
    return gaps


async def _view_gaps(client: PostgresClient, tables: list[str], role: str) -> list[Finding]:
    """Check the views for full-text search: the serving role may read them, and write through none."""
    rows = await _read(
        client,
        "SELECT viewname::text AS name, definition, "
        "has_table_privilege($2, quote_ident(viewname), 'SELECT') AS readable, "
        "has_table_privilege($2, quote_ident(viewname), 'INSERT, UPDATE, DELETE') AS writable "
        "FROM pg_views WHERE schemaname = current_schema() AND viewname = ANY ($1::text[])",
        [f"{table}{SEARCH_SUFFIX}" for table in tables],
        role,
    )
    gaps = []
    for row in rows:
        name = row["name"]
        if not row["readable"] and not is_isolated(row["definition"]):  # never granted to the serving role
            gaps.append(Finding(f"the view {name} shows rows of every tenant: create it again as its migration does"))
        elif not row["readable"]:
            gaps.append(
                Finding(f"the serving role {role} lacks SELECT on {name}", f'GRANT SELECT ON "{name}" TO "{role}"')
            )
        if row["writable"]:
            remedy = f'REVOKE INSERT, UPDATE, DELETE ON "{name}" FROM "{role}"'
            gaps.append(Finding(f"the serving role {role} may write through {name}", remedy))
    return gaps


def _same_policy(row: dict[str, Any], command: str, using: str, check: str | None) -> bool:
    return (
        row["permissive"] == "PERMISSIVE"
        and row["cmd"] == command
        and bare(row["qual"]) == bare(using)
        and bare(row["with_check"]) == bare(check)
    )


def _policy(table: str, name: str, policies: Policies) -> str:
    command, using, check = policies[name]
    checked = f" WITH CHECK ({check})" if check else ""
    return f"""DO $$ BEGIN
        DROP POLICY IF EXISTS {name} ON "{table}";
        CREATE POLICY {name} ON "{table}" FOR {command} USING ({using}){checked};
    END $$"""


async def _key_gaps(client: PostgresClient, links: list[Link]) -> list[Finding]:
    rows = await _read(
        client,
        """SELECT c.conrelid::regclass::text AS "table", c.confrelid::regclass::text AS parent, c.contype::text AS kind,
            ARRAY(SELECT attname::text FROM unnest(c.conkey) WITH ORDINALITY k(n, o)
                JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = k.n ORDER BY o) AS columns,
            ARRAY(SELECT attname::text FROM unnest(c.confkey) WITH ORDINALITY k(n, o)
                JOIN pg_attribute a ON a.attrelid = c.confrelid AND a.attnum = k.n ORDER BY o) AS parent_columns
        FROM pg_constraint c WHERE c.contype IN ('u', 'f') AND c.convalidated
            AND c.connamespace = current_schema()::regnamespace""",
    )
    unquoted = [{**row, "table": row["table"].strip('"'), "parent": (row["parent"] or "").strip('"')} for row in rows]
    unique = {(row["table"], *row["columns"]) for row in unquoted if row["kind"] == "u"}
    foreign = {
        Link(row["table"], row["columns"][1], row["parent"], row["parent_columns"][1])
        for row in unquoted
        if row["kind"] == "f" and row["columns"][:1] == row["parent_columns"][:1] == ["tenant_id"]
    }
    return [*_unique_gaps(links, unique), *_foreign_gaps(links, foreign)]


def _unique_gaps(links: list[Link], installed: set[tuple[str, ...]]) -> Iterator[Finding]:
    for parent, column in sorted({(link.parent, link.parent_column) for link in links}):
        if (parent, "tenant_id", column) not in installed:
            name = constraint_name(parent, column, "key")
            yield Finding(
                f"table {parent} lacks the key (tenant_id, {column}) that links need",
                f'ALTER TABLE "{parent}" ADD CONSTRAINT "{name}" UNIQUE (tenant_id, "{column}")',
            )


def _foreign_gaps(links: list[Link], installed: set[Link]) -> Iterator[Finding]:
    for link in links:
        if link not in installed:
            yield Finding(
                f"{link.table}.{link.column} may link to another tenant's row of {link.parent}",
                f'ALTER TABLE "{link.table}" ADD CONSTRAINT "{link.name}" '
                f'FOREIGN KEY (tenant_id, "{link.column}") REFERENCES "{link.parent}" (tenant_id, '
                f'"{link.parent_column}") DEFERRABLE INITIALLY DEFERRED',
            )
