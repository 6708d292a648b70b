"""Tests of the settings: the file, the environment on top of it, and what a complaint says."""

from __future__ import annotations

import stat
from ipaddress import ip_network
from pathlib import Path

import pytest
from pydantic import ValidationError

from host.errors import ConfigurationError
from host.settings import Settings, load, secrets

FILE = Path(__file__).parents[2] / "config" / "settings.toml"


def write(folder: Path, text: str) -> Path:
    file = folder / "config" / "settings.toml"
    file.parent.mkdir(exist_ok=True)
    file.write_text(text)
    return file


def test_load_when_nothing_is_set_then_equals_the_models_defaults() -> None:
    loaded = load(FILE, env={}).model_dump()
    defaults = Settings().model_dump()
    assert loaded["tenants"].pop("reserved_slugs")
    defaults["tenants"].pop("reserved_slugs")  # words of the deployment, kept out of the code
    for section in set(defaults) - {"root", "data"}:
        assert loaded[section] == defaults[section], section


def test_the_shipped_file_when_read_then_names_every_key_there_is() -> None:
    text = FILE.read_text()
    for section, info in Settings.model_fields.items():
        if section in {"root", "oauth"}:
            continue
        body = text.split(f"[{section}]\n")[1].split("\n[")[0]
        written = {line.split(" = ")[0] for line in body.splitlines() if " = " in line and not line.startswith("#")}
        assert written == set(info.annotation.model_fields), section  # type: ignore[union-attr]


def test_load_when_read_then_paths_hang_on_the_projects_folder(tmp_path: Path) -> None:
    settings = load(write(tmp_path, '[data]\ndir = "kept"\n'), env={})
    assert settings.data.dir == tmp_path / "kept"
    assert settings.plugins_file == tmp_path / "plugins.toml"
    assert settings.plans_file == tmp_path / "config" / "plans.toml"
    assert load(FILE, env={"TENANTRY_DATA__DIR": "/srv/data"}).data.dir == Path("/srv/data")


def test_environment_when_set_then_wins_over_the_file(tmp_path: Path) -> None:
    file = write(tmp_path, '[server]\nport = 1\nrun_jobs = true\n[cors]\norigins = ["https://a.example"]\n')
    env = {
        "TENANTRY_SERVER__PORT": "9000",
        "TENANTRY_SERVER__RUN_JOBS": "false",
        "TENANTRY_SERVER__MAX_BODY": "2 MB",
        "TENANTRY_CORS__ORIGINS": "https://b.example, https://c.example",
        "HOME": "/root",
    }
    settings = load(file, env=env)
    assert settings.server.port == 9000
    assert settings.server.run_jobs is False
    assert settings.server.max_body == 2 * 1024**2
    assert settings.cors.origins == ("https://b.example", "https://c.example")


def test_networks_when_set_then_read_and_one_by_another_address_is_refused_in_words() -> None:
    variable = "TENANTRY_OUTBOUND__INNER_NETWORKS"
    networks = load(FILE, env={variable: "10.20.0.0/16, fd00::/8"}).outbound.inner_networks
    assert networks == (ip_network("10.20.0.0/16"), ip_network("fd00::/8"))
    with pytest.raises(ConfigurationError, match=rf"{variable}.*must be a network by its first address, such as"):
        load(FILE, env={variable: "10.20.0.1/16"})


def test_short_names_when_set_then_are_understood_and_the_long_ones_win() -> None:
    env = {"PORT": "81", "DATABASE_URL": "postgres://one", "REDIS_URL": "redis://one"}
    settings = load(FILE, env=env)
    assert (settings.server.port, settings.database.url, settings.redis.url) == (81, "postgres://one", "redis://one")
    assert load(FILE, env={**env, "TENANTRY_SERVER__PORT": "82"}).server.port == 82


def test_secret_when_in_a_named_file_then_is_read_from_it(tmp_path: Path) -> None:
    kept = tmp_path / "secret"
    kept.write_text("s" * 40 + "\n")
    settings = load(FILE, env={"TENANTRY_IDENTITY__SECRET_FILE": str(kept)})
    assert settings.identity.secret.get_secret_value() == "s" * 40
    with pytest.raises(ConfigurationError, match="TENANTRY_IDENTITY__SECRET_FILE"):
        load(FILE, env={"TENANTRY_IDENTITY__SECRET_FILE": str(tmp_path / "absent")})


def test_secret_when_written_in_the_file_then_is_refused_and_not_shown(tmp_path: Path) -> None:
    file = write(tmp_path, f'[identity]\nsecret = "{"hush" * 10}"\n')
    with pytest.raises(ConfigurationError, match="TENANTRY_IDENTITY__SECRET") as caught:
        load(file, env={})
    assert "hush" not in str(caught.value)


def test_secret_when_too_short_then_is_refused_and_not_shown() -> None:
    with pytest.raises(ConfigurationError, match="32 characters") as caught:
        load(FILE, env={"TENANTRY_IDENTITY__SECRET": "hush"})
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("[server]\nprot = 1\n", ["settings.toml", "server.prot", "port"]),
        ("[sever]\nport = 1\n", ["sever", "server"]),
        ("[sever]\n", ["sever", "server"]),
        ("port = 1\n", ["port", "server.port"]),
        ('[server]\nport = "8000"\n', ["server.port", "8000", "whole number"]),
        ("[server]\nport = true\n", ["server.port", "true"]),
        ("[server]\nport = 70000\n", ["server.port", "65535"]),
        ('[server]\nmax_body = "1 MiB"\n', ["server.max_body", "1 MB"]),
        ('[rates]\npublic = "lots"\n', ["rates.public", "100/minute"]),
        ('[app]\nenvironment = "prod"\n', ["app.environment", "production"]),
        ('[storage]\nkind = "s3"\n', ["storage", "bucket", "settings.toml"]),
        ('[oauth.github]\nclient_id = "x"\n', ["oauth.github", "issuer"]),
        ("[oauth]\ngithub = 3\n", ["oauth.github: must be a table"]),
        ("[server\n", ["settings.toml", "is not TOML", "line 1"]),
    ],
)
def test_file_when_wrong_then_the_complaint_names_key_and_remedy(tmp_path: Path, text: str, parts: list[str]) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load(write(tmp_path, text), env={})
    for part in parts:
        assert part in str(caught.value)


@pytest.mark.parametrize(
    ("variable", "value", "parts"),
    [
        ("TENANTRY_SERVER__PROT", "1", ["TENANTRY_SERVER__PROT", "TENANTRY_SERVER__PORT"]),
        ("TENANTRY_SEVER__PORT", "1", ["TENANTRY_SEVER__PORT", "TENANTRY_SERVER__PORT"]),
        ("TENANTRY_SERVER_PORT", "1", ["TENANTRY_SERVER__PORT"]),
        ("TENANTRY_SERVER__PORT", "many", ["TENANTRY_SERVER__PORT", "many", "whole number"]),
        ("TENANTRY_ROOT", "/", ["TENANTRY_ROOT"]),
        ("PORT", "many", ["PORT: server.port: must be a whole number", "many"]),
    ],
)
def test_variable_when_wrong_then_the_complaint_names_it(variable: str, value: str, parts: list[str]) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load(FILE, env={variable: value})
    for part in parts:
        assert part in str(caught.value)


def test_load_when_several_things_are_wrong_then_all_are_named_once_each(tmp_path: Path) -> None:
    file = write(tmp_path, '[server]\nport = "8000"\nworkers = 0\nhots = "::"\n[identity]\nsecret = "hush"\n')
    with pytest.raises(ConfigurationError) as caught:
        load(file, env={"TENANTRY_SERVER__WORKERS": "many", "TENANTRY_JOBS__LEASE": "0 seconds", "REDIS_ULR": "x"})
    assert str(caught.value).splitlines() == [
        "6 things are wrong:",
        f"- {file}: identity.secret: is a secret; remove it here and set TENANTRY_IDENTITY__SECRET, or "
        "TENANTRY_IDENTITY__SECRET_FILE to a file that holds nothing else",
        f'- {file}: server.port: must be a whole number, not "8000"',
        f"- {file}: server.workers: must be greater than 0, not 0",
        f'- {file}: server.hots: there is no such key; did you mean "host"?',
        '- TENANTRY_SERVER__WORKERS: server.workers: must be a whole number, not "many"',
        '- TENANTRY_JOBS__LEASE: jobs.lease: must be greater than 0, not "0 seconds"',
    ]


def test_table_when_only_wrong_as_a_whole_then_the_variables_that_took_part_are_named(tmp_path: Path) -> None:
    file = write(tmp_path, "[storage]\n")
    with pytest.raises(ConfigurationError) as caught:
        load(file, env={"TENANTRY_STORAGE__KIND": "s3"})
    assert str(caught.value) == (
        f'{file}: storage: storage.kind is "s3" but storage.bucket is empty: name the bucket '
        "(here and in TENANTRY_STORAGE__KIND)"
    )
    assert load(file, env={"TENANTRY_STORAGE__KIND": "s3", "TENANTRY_STORAGE__BUCKET": "b"}).storage.bucket == "b"


def test_variable_when_its_json_is_broken_then_what_may_be_a_secret_is_not_shown() -> None:
    with pytest.raises(ConfigurationError, match=r"oauth\.acme: must be a table") as caught:
        load(FILE, env={"TENANTRY_OAUTH__ACME": '{"client_secret": "hush"'})
    assert "hush" not in str(caught.value)


def test_variable_when_it_holds_a_list_as_json_then_understood() -> None:
    assert load(FILE, env={"TENANTRY_CORS__ORIGINS": '["https://a.example"]'}).cors.origins == ("https://a.example",)


def test_variable_when_of_a_plugin_then_is_left_to_it() -> None:
    env = {"TENANTRY_LETTERS__KEY": "x"}
    assert load(FILE, env=env, plugin_ids={"letters"}).server.port == 8000
    assert load(FILE, env=env, plugin_ids=None).server.port == 8000
    with pytest.raises(ConfigurationError, match="TENANTRY_LETTERS__KEY"):
        load(FILE, env=env)
    with pytest.raises(ConfigurationError, match="TENANTRY_SERVER__KEY"):
        load(FILE, env={"TENANTRY_SERVER__KEY": "x"}, plugin_ids={"server"})


def test_file_when_missing_then_the_complaint_says_where_to_look(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="--config"):
        load(tmp_path / "config" / "settings.toml", env={})


def test_oauth_when_configured_then_is_typed() -> None:
    env = {
        "TENANTRY_OAUTH__ACME__ISSUER": "https://id.example",
        "TENANTRY_OAUTH__ACME__CLIENT_ID": "app",
        "TENANTRY_OAUTH__ACME__CLIENT_SECRET": "hush",
        "TENANTRY_OAUTH__ACME__SCOPES": "openid,email",
    }
    provider = load(FILE, env=env).oauth["acme"]
    assert provider.client_secret.get_secret_value() == "hush"
    assert provider.scopes == ("openid", "email")
    assert "hush" not in repr(provider)


def test_settings_when_changed_then_refuse() -> None:
    settings = load(FILE, env={})
    with pytest.raises(ValidationError):
        settings.server.port = 1


def test_settings_when_shown_then_hide_what_may_hold_a_password() -> None:
    assert "hush" not in repr(
        load(FILE, env={"DATABASE_URL": "postgres://me:hush@db/x", "REDIS_URL": "redis://:hush@r"})
    )


def test_generated_secret_when_in_development_then_is_kept_for_its_owner_only(tmp_path: Path) -> None:
    settings = load(FILE, env={"TENANTRY_DATA__DIR": str(tmp_path)})
    first = secrets(settings).identity.secret.get_secret_value()
    assert len(first) >= 32
    assert secrets(settings).identity.secret.get_secret_value() == first
    kept = tmp_path / "secrets" / "identity"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert [file.name for file in kept.parent.iterdir()] == ["identity"]


def test_generated_secret_when_in_production_then_stops_the_start(tmp_path: Path) -> None:
    env = {"TENANTRY_DATA__DIR": str(tmp_path), "TENANTRY_APP__ENVIRONMENT": "production"}
    with pytest.raises(ConfigurationError, match="TENANTRY_IDENTITY__SECRET"):
        secrets(load(FILE, env=env))
    given = load(FILE, env={**env, "TENANTRY_IDENTITY__SECRET": "k" * 32})
    assert secrets(given) is given


def test_public_url_when_unset_then_is_the_address_served() -> None:
    assert load(FILE, env={"PORT": "81", "TENANTRY_SERVER__HOST": "0.0.0.0"}).public_url == "http://localhost:81"
    assert load(FILE, env={"TENANTRY_APP__PUBLIC_URL": "https://x.example/"}).public_url == "https://x.example"
