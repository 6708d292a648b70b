"""Plans and roles: reading the files, and what a complaint says."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from host.errors import ConfigurationError
from host.settings.plans import read_plans, read_roles
from tenants.lifecycle import RoleSeed

CONFIG = Path(__file__).parents[2] / "config"
GOOD = """
[free]
features = ["mail"]
limits = {"mail.sends" = "5/minute", "mail.size" = "5 GB", "seats" = 3}

[pro]
title = "Professional"
price = 29.90
currency = "EUR"
[pro.limits]
"mail.sends" = "unlimited"
[pro.billing]
price_ids = ["price_1"]
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "tables.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_plans_when_read_keep_order_and_values(tmp_path):
    plans = read_plans(written(tmp_path, GOOD))
    assert plans.ids == ("free", "pro")
    free, pro = plans
    assert (pro.title, pro.price, pro.currency) == ("Professional", Decimal("29.90"), "eur")
    assert (pro.plugins, free.plugins) == ({"billing": {"price_ids": ["price_1"]}}, {})
    assert (free.title, free.price, free.currency) == ("Free", 0, "usd")
    assert {name: str(limit) for name, limit in free.limits.items()} == {
        **{"mail.sends": "5/minute", "mail.size": "5 GB", "seats": "3"}
    }


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "there is no plan in it; add one, such as [free]"),
        ("[free", "is not TOML: "),
        ("free = 1", "free: must be a table, not 1"),
        ("[free]\nprize = 1", 'free.prize: there is no such key; did you mean "price"?'),
        ("[free]\nid = 'f'", "free.id: remove it; it is 'free' by its place"),
        ("[free]\nprice = -1", "free.price: must be 0 or more, not -1"),
        ("[free]\nprice = true", "free.price: must be a number, not true"),
        ("[free]\ntitle = ' '", 'free.title: must have at least 1 characters, not " "'),
        ("[free]\nfeatures = 'mail'", 'free.features: must be a list, not "mail"'),
        ("[free]\nlimits = 3", "free.limits: must be a table, not 3"),
        ("[free.limits]\nseats = 'some'", "free.limits.seats: 'some' is not a limit: write \"20\""),
        ("[free.limits]\nmail.sends = '5'", 'free.limits.mail: put a name with dots in quotes, such as "mail.rate"'),
    ],
)
def test_plans_when_the_file_is_broken_name_file_key_and_remedy(tmp_path, text, complaint):
    path = written(tmp_path, text)
    with pytest.raises(ConfigurationError) as caught:
        read_plans(path)
    assert str(caught.value).startswith(f"{path}: {complaint}")


def test_plans_when_several_things_are_wrong_list_them_all(tmp_path):
    with pytest.raises(ConfigurationError) as caught:
        read_plans(written(tmp_path, "[free]\nprize = 1\nprice = -1\n[pro.limits]\n'a.b' = 'x'"))
    assert str(caught.value).startswith("3 things are wrong:\n- ")
    assert 'pro.limits."a.b"' in str(caught.value)


def test_plans_when_the_file_is_missing_say_so(tmp_path):
    with pytest.raises(ConfigurationError, match="there is no such file; create it"):
        read_plans(tmp_path / "plans.toml")


def test_roles_when_read_are_titled_by_name_unless_said(tmp_path):
    roles = read_roles(
        written(tmp_path, '[owner]\nall_permission = true\n[guest]\ntitle = "G"\npermissions = ["a.b.c"]')
    )
    assert roles == (RoleSeed("owner", "owner", (), True), RoleSeed("guest", "G", ("a.b.c",), False))


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[owner]\nall_permision = true", 'owner.all_permision: there is no such key; did you mean "all_permission"?'),
        ('[owner]\nall_permission = "yes"', 'owner.all_permission: must be true or false, not "yes"'),
        ('[owner]\ntitle = "a\\nb"', "owner.title: must be one line of text"),
        ("[owner]\npermissions = [1]", "owner.permissions.0: must be text, not 1"),
        ("[owner]", "no role has all_permission = true"),
    ],
)
def test_roles_when_the_file_is_broken_name_file_key_and_remedy(tmp_path, text, complaint):
    path = written(tmp_path, text)
    with pytest.raises(ConfigurationError) as caught:
        read_roles(path)
    assert str(caught.value).startswith(f"{path}: {complaint}")


def test_plans_and_roles_of_this_repository_are_readable():
    assert read_plans(CONFIG / "plans.toml").ids[0] == "free"
    assert read_roles(CONFIG / "roles.toml")[0].name == "owner"
