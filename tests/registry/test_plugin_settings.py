from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import BaseModel, Field, SecretStr

from host.registry.plugin_settings import read_settings

TOML = Path("plugins.toml")


class Server(BaseModel):
    host: str = "localhost"
    port: int = 25
    key: SecretStr | None = None


class Settings(BaseModel):
    sender: str
    retries: int = Field(default=3, ge=0)
    names: list[str] = []
    server: Server = Server()
    password: SecretStr | None = None


def taken(table: dict[str, object], **env: str) -> Settings:
    settings, messages = read_settings(Settings, "mail", {"sender": "a@b.c", **table}, env, TOML)
    assert messages == []
    assert isinstance(settings, Settings)
    return settings


def complaint(table: dict[str, object], model: type[BaseModel] | None = Settings, **env: str) -> str:
    settings, messages = read_settings(model, "mail", table, env, TOML)
    assert settings is None
    assert len(messages) == 1
    return messages[0]


def test_read_when_file_and_variable_differ_then_variable_wins():
    assert taken({"retries": 5}, TENANTRY_MAIL__RETRIES="7", TENANTRY_OTHER__RETRIES="x").retries == 7
    assert taken({"retries": 5}).retries == 5


def test_read_when_variable_is_json_or_nested_then_understood():
    assert taken({}, TENANTRY_MAIL__NAMES='["a", "b"]').names == ["a", "b"]
    settings = taken({"server": {"host": "mx"}}, TENANTRY_MAIL__SERVER__PORT="587")
    assert (settings.server.host, settings.server.port) == ("mx", 587)
    assert taken({}, TENANTRY_MAIL__SENDER="[x]").sender == "[x]"


def test_read_when_variable_names_a_file_then_its_content_is_taken(tmp_path):
    (tmp_path / "secret").write_text("hush\n")
    password = taken({}, TENANTRY_MAIL__PASSWORD_FILE=str(tmp_path / "secret")).password
    assert password is not None
    assert password.get_secret_value() == "hush"
    key = taken({}, TENANTRY_MAIL__SERVER__KEY_FILE=str(tmp_path / "secret")).server.key
    assert key is not None
    assert key.get_secret_value() == "hush"
    assert "TENANTRY_MAIL__PASSWORD_FILE: the file" in complaint(
        {"sender": "x"}, TENANTRY_MAIL__PASSWORD_FILE="/no/such"
    )


def test_read_when_key_is_unknown_then_names_place_and_nearest():
    said = complaint({"sender": "x", "retrys": 3})
    assert said == 'plugins.toml: mail.settings.retrys: there is no such key; did you mean "retries"?'
    said = complaint({"sender": "x"}, TENANTRY_MAIL__RETRYS="3")
    assert said == 'TENANTRY_MAIL__RETRYS: there is no such setting; did you mean "TENANTRY_MAIL__RETRIES"?'


def test_read_when_value_is_wrong_then_names_where_it_came_from_and_not_the_value():
    said = complaint({"sender": "x", "retries": "many"})
    assert said == "plugins.toml: mail.settings.retries: must be a whole number"
    said = complaint({"sender": "x"}, TENANTRY_MAIL__SERVER__PORT="hush")
    assert said.startswith("TENANTRY_MAIL__SERVER__PORT: mail.settings.server.port: ")
    assert "hush" not in said


def test_read_when_required_value_is_missing_then_says_both_ways_to_set_it():
    assert complaint({}) == (
        'plugins.toml: mail.settings.sender: is missing; add sender = "…", or set TENANTRY_MAIL__SENDER'
    )


def test_read_when_secret_is_in_the_file_then_refused_without_showing_it():
    said = complaint({"sender": "x", "password": "hush"})
    assert said == (
        "plugins.toml: mail.settings.password: is a secret; remove it here and set TENANTRY_MAIL__PASSWORD, or "
        "TENANTRY_MAIL__PASSWORD_FILE to a file that holds nothing else"
    )


def test_read_when_secret_is_in_a_table_of_the_file_then_refused_and_its_variable_taken():
    said = complaint({"sender": "x", "server": {"host": "mx", "key": "hush"}})
    assert said.startswith(
        "plugins.toml: mail.settings.server.key: is a secret; remove it here and set TENANTRY_MAIL__SERVER__KEY, or"
    )
    key = taken({"server": {"host": "mx"}}, TENANTRY_MAIL__SERVER__KEY="hush").server.key
    assert key is not None
    assert key.get_secret_value() == "hush"


@pytest.mark.parametrize(("table", "env"), [({"a": 1}, {}), ({}, {"TENANTRY_MAIL__A": "1"})])
def test_read_when_plugin_has_no_settings_then_any_are_refused(table, env):
    assert "has no settings (no register_settings); remove this" in complaint(table, None, **env)


def test_read_when_plugin_has_no_settings_and_none_are_given_then_none():
    assert read_settings(None, "mail", {}, {}, TOML) == (None, [])


def test_load_when_settings_are_wrong_then_refused_even_when_not_strict(tree):
    tree.add("notes", "class S(BaseModel): size: int = 1\n@hookimpl\ndef register_settings(): return S")
    tree.want('[notes.settings]\nsize = "big"')
    assert "notes.settings.size: " in tree.refusal()
    tree.env["TENANTRY_NOTES__SIZE"] = "4"
    assert tree.load().settings["notes"].size == 4


def test_load_when_plugin_did_not_load_then_its_settings_are_not_judged(tree):
    tree.add("notes", "raise ValueError")
    tree.want("[notes.settings]\nsize = 3")
    assert tree.load().quarantine.reason("notes")
