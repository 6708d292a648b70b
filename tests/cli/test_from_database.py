"""`tenantry plugin new --from-database`: models of an existing database's tables, and what is left to decide."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from host.cli.model_writer import drafts, module
from host.cli.source_database import opened
from host.cli.terminal import Complaint

ROOT = Path(__file__).parents[2]
SHOP = """
CREATE TABLE customers (
    id INTEGER PRIMARY KEY, email VARCHAR(200) NOT NULL UNIQUE, "class" VARCHAR(10), balance NUMERIC(10, 2) NOT NULL,
    tenant_id INTEGER, active BOOLEAN NOT NULL DEFAULT {true}, tier VARCHAR(10) NOT NULL DEFAULT 'it''s "new"',
    points BIGINT, created_at {time} NOT NULL DEFAULT CURRENT_TIMESTAMP, extra {json}, shape {odd}
);
CREATE TABLE orders (
    number INTEGER PRIMARY KEY, customer_id INTEGER NOT NULL REFERENCES customers (id),
    "Shipped By" INTEGER REFERENCES carriers (id), parent INTEGER REFERENCES orders (number) ON DELETE SET NULL,
    version INTEGER NOT NULL DEFAULT 1, note TEXT
);
CREATE INDEX orders_customer ON orders (customer_id, version);
CREATE UNIQUE INDEX orders_open ON orders (customer_id) WHERE note IS NULL;
CREATE TABLE "OrderLines" (
    order_number INTEGER NOT NULL REFERENCES orders (number) ON DELETE CASCADE, line SMALLINT NOT NULL,
    save INTEGER NOT NULL, PRIMARY KEY (order_number, line)
);
CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL);
INSERT INTO customers (id, email, balance, created_at) VALUES (1, 'a@example.com', 1.5, '2026-01-01');
"""
CARRIERS = "CREATE TABLE carriers (id INTEGER PRIMARY KEY, name TEXT NOT NULL);"
TYPES = {
    "sqlite": {"true": "1", "time": "DATETIME", "json": "JSON", "odd": "GEOMETRY"},
    "postgres": {"true": "true", "time": "TIMESTAMPTZ", "json": "JSONB", "odd": "POINT"},
}


@pytest.fixture
async def source(backend: str, tmp_path: Path, new_place: Any) -> str:
    """The URL of a shop's database."""
    script = CARRIERS + SHOP.format(**TYPES[backend])
    if backend == "sqlite":
        with sqlite3.connect(tmp_path / "shop.sqlite3") as connection:
            connection.executescript(script)
        connection.close()
        return f"sqlite:///{tmp_path / 'shop.sqlite3'}"
    url = (await new_place())["url"]
    connection = await asyncpg.connect(url)
    await connection.execute(script)
    await connection.close()
    return str(url)


async def drawn(url: str, *names: str) -> tuple[str, Mapping[str, str]]:
    """The source of models.py, and the notes of each table as one text."""
    async with opened(url) as source:
        made = drafts("shop", [await source.read(name) for name in names or await source.tables()])
    return module(made, "shop"), {draft.source: " ".join(draft.notes) for draft in made}


async def test_tables_when_read_then_bookkeeping_is_left_out_and_nothing_is_written(source: str) -> None:
    async with opened(source) as database:
        assert await database.tables() == ("OrderLines", "carriers", "customers", "orders")
        with pytest.raises((sqlite3.OperationalError, asyncpg.ReadOnlySQLTransactionError)):
            await database.execute_query_dict("CREATE TABLE more (id INTEGER)")


async def test_models_when_drawn_then_columns_keys_and_links_are_the_tables_own(source: str) -> None:
    text, _ = await drawn(source)
    for line in (
        "    source_id = fields.",
        "    email = fields.CharField(max_length=200)",
        "    class_value = fields.CharField(max_length=10, null=True)",
        "    balance = fields.DecimalField(max_digits=10, decimal_places=2)",
        "    source_tenant_id = fields.",
        "    active = fields.BooleanField(default=True)",
        "    tier = fields.CharField(max_length=10, default='it\\'s \"new\"')",
        "    points = fields.BigIntField(null=True)",
        "    created_at = fields.DatetimeField(auto_now_add=True)",
        "    extra = fields.JSONField(null=True)",
        "    shape = fields.TextField(null=True)",
        '        unique_together = (("tenant_id", "source_id"), ("tenant_id", "email"))',
        "    customer: fields.ForeignKeyRelation[Customers] = fields.ForeignKeyField(",
        "    parent: fields.ForeignKeyNullableRelation[Orders] = fields.ForeignKeyField(",
        "on_delete=fields.SET_NULL",
        "    version = fields.",
        '        indexes = (("tenant_id", "customer_id", "version"),)',
        "class OrderLines(TenantModel):",
        '        table = "shop_orderlines"',
        "    save_value = fields.",
        '        unique_together = (("tenant_id", "order_number_id", "line"),)',
    ):
        assert line in text, f"{line}\n{text}"
    assert text.index("class Customers") < text.index("class Orders(") < text.index("class OrderLines")


async def test_notes_when_drawn_then_name_what_a_person_must_decide(source: str) -> None:
    _, notes = await drawn(source, "customers", "orders", "OrderLines")
    for table, words in {
        "customers": (
            "There is 1 row",
            "primary key `id` gives way",
            "email was unique in the whole table",
            "`tenant_id` is a field of every TenantModel",
            "`class` cannot be the name of a field",
            "`shape` is of type",
        ),
        "orders": (
            "There are 0 rows",
            "primary key `number` gives way",
            "`Shipped By` refers to carriers, which was not chosen",
            "`customer_id` refers to customers by id; `customer_id` holds that row's new id, and rows go with it",
            "`parent` refers to orders by number",
            "`version` is what If-Match compares",
            "An index of customer_id is of an expression or some rows",
            "There is no created_at",
        ),
        "OrderLines": ("`save` cannot be the name of a field", "`order_number` refers to orders"),
    }.items():
        assert all(word in notes[table] for word in words), (table, notes[table])


async def test_links_when_they_lead_round_then_one_stays_a_column(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "round.sqlite3") as connection:
        connection.executescript(
            "CREATE TABLE a (id INTEGER PRIMARY KEY, b_id INTEGER REFERENCES b);"
            "CREATE TABLE b (id INTEGER PRIMARY KEY, a_id INTEGER REFERENCES a);"
        )
    connection.close()
    text, notes = await drawn(f"sqlite:///{tmp_path / 'round.sqlite3'}")
    assert "b_id = fields.BigIntField(null=True)" in text
    assert "which refers back" in notes["a"]
    assert "a: fields.ForeignKeyNullableRelation[A]" in text


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("sqlite:///nowhere/none.sqlite3", "there is no file"),
        ("mysql://host/shop", "'mysql' is not a kind of database"),
        ("shop", "is not a kind of database"),
    ],
)
async def test_source_when_it_cannot_be_read_then_says_what_to_write(url: str, said: str) -> None:
    with pytest.raises(Complaint, match=said) as caught:
        async with opened(url):
            raise AssertionError("opened")
    assert "sqlite:///path" in caught.value.fix


# -- the command ---------------------------------------------------------------------------------------------


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A deployment without plugins, so that a new one may be written into it."""
    folder = tmp_path / "deployment"
    shutil.copytree(ROOT / "config", folder / "config")
    (folder / "plugins").mkdir()
    (folder / "plugins" / "__init__.py").write_text('"""Plugins of a test."""\n')
    (folder / "plugins.toml").write_text("")
    return folder


def run(tree: Path, *arguments: str, code: int = 0) -> Any:
    env = {name: value for name, value in os.environ.items() if not name.startswith("TENANTRY_")}
    env |= {"PYTHONPATH": os.pathsep.join((str(tree), str(ROOT))), "DATABASE_URL": ""}
    call = [sys.executable, "-c", "from host.cli import main; main()", *arguments, "--json"]
    done = subprocess.run(call, cwd=tree, env=env, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    document = json.loads(done.stdout)
    return document["data"] if "data" in document else document["error"]


@pytest.mark.timeout(300)
def test_plugin_when_drawn_from_a_database_then_migrates_and_passes_its_check(tree: Path, source: str) -> None:
    written = run(tree, "plugin", "new", "shop", "--from-database", source)
    assert sorted(written["notes"]) == ["OrderLines", "carriers", "customers", "orders"]
    ruff = [sys.executable, "-m", "ruff"]
    for check in (["check", "--no-cache"], ["format", "--check", "--no-cache"]):
        arguments = [*ruff, *check, "--config", str(ROOT / "pyproject.toml"), str(tree / "plugins")]
        done = subprocess.run(arguments, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stdout
    assert run(tree, "migrate", "--make", "shop")["file"].endswith("0001_initial.py")
    assert run(tree, "plugin", "check", "shop")["findings"] == []
    run(tree, "migrate")
    again = run(tree, "plugin", "new", "shop", "--from-database", source, code=1)
    assert "there is a plugin 'shop' already" in again["message"]


@pytest.mark.timeout(300)
def test_plugin_when_id_or_tables_are_wrong_then_nothing_is_written(tree: Path, source: str) -> None:
    before = sorted(tree.rglob("*"))
    assert "lower-case" in run(tree, "plugin", "new", "Shop", "--from-database", source, code=1)["message"]
    wrong = run(tree, "plugin", "new", "shop", "--from-database", source, "--tables", "customers,order", code=1)
    assert "no table 'order'" in wrong["message"]
    both = run(tree, "plugin", "new", "shop", "--model", "--from-database", source, code=1)
    assert "neither with --model" in both["message"]
    assert [path for path in sorted(tree.rglob("*")) if "__pycache__" not in path.parts] == before
