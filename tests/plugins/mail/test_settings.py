"""The deployment's settings, as they are read from plugins.toml and the environment."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from host.registry.plugin_settings import read_settings
from plugins.mail.settings import Settings


def read(table: dict[str, Any] | None = None, **variables: str) -> Settings:
    named = {f"TENANTRY_MAIL__{name}": value for name, value in variables.items()}
    found, complaints = read_settings(Settings, "mail", table or {}, named, Path("plugins.toml"))
    assert complaints == []
    assert isinstance(found, Settings)
    return found


def complaint(table: dict[str, Any] | None = None, **variables: str) -> str:
    named = {f"TENANTRY_MAIL__{name}": value for name, value in variables.items()}
    found, complaints = read_settings(Settings, "mail", table or {}, named, Path("plugins.toml"))
    assert found is None
    return "\n".join(complaints)


def test_settings_when_nothing_is_set_then_mail_goes_to_files() -> None:
    found = read()
    assert (found.providers, found.retry_hours, found.first_retry) == (("file",), 48.0, 60.0)
    assert str(found.sender) == "no-reply@tenantry.local"


def test_settings_when_in_the_environment_then_lists_sections_and_secrets_are_read() -> None:
    found = read(
        PROVIDERS="smtp, sendgrid",
        SMTP__HOST="mx.example.com",
        SMTP__PORT="2525",
        SMTP__USERNAME="acme",
        SMTP__PASSWORD="hush",
        SMTP__TLS="none",
        SMTP__CONCURRENCY="4",
        SMTP__RATE="30/minute",
        SENDGRID__API_KEY="SG.x",
        FROM_ADDRESS="Acme <Hello@EXAMPLE.com>",
        MAX_ATTACHMENTS="10 MB",
        ALLOW_PRIVATE_HOSTS="true",
        SES__TOPICS="arn:aws:sns:eu-central-1:123456789012:a,arn:aws:sns:eu-central-1:123456789012:b",
    )
    assert found.providers == ("smtp", "sendgrid")
    assert (found.smtp.host, found.smtp.port, found.smtp.tls) == ("mx.example.com", 2525, "none")
    assert (found.smtp.concurrency, found.smtp.interval) == (4, 2.0)
    assert found.smtp.password.get_secret_value() == "hush"
    assert "hush" not in repr(found)
    assert str(found.sender) == "Acme <Hello@example.com>"
    assert (found.max_attachments, found.allow_private_hosts) == (10 * 1024**2, True)
    assert [topic[-1] for topic in found.ses.topics] == ["a", "b"]


def test_settings_when_in_the_file_then_the_environment_adds_secrets() -> None:
    found = read({"providers": ["smtp"], "smtp": {"host": "mx.example.com"}}, SMTP__PASSWORD="hush")
    assert (found.smtp.host, found.smtp.password.get_secret_value()) == ("mx.example.com", "hush")
    assert "smtp.password: is a secret" in complaint({"smtp": {"password": "hush"}})


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"PROVIDERS": "smtp"}, "smtp needs host"),
        ({"PROVIDERS": "sendgrid"}, "sendgrid needs api_key"),
        ({"PROVIDERS": "mailgun", "MAILGUN__API_KEY": "x"}, "mailgun needs domain"),
        ({"PROVIDERS": "file,file"}, "once"),
        ({"PROVIDERS": "post"}, "providers"),
        ({"PROVIDERS": ""}, "providers"),
        ({"SMTP__RATE": "fast"}, "write a rate as"),
        ({"SMTP__RATE": "0/second"}, "write a rate as"),
        ({"SMTP__TLS": "maybe"}, "smtp.tls"),
        ({"SMTP__HOSTS": "x"}, "SMTP__HOSTS: there is no such setting"),
        ({"SMTP__HOST": "a b"}, "smtp.host"),
        ({"FROM_ADDRESS": "nobody"}, "from_address"),
        ({"FROM_NAME": "x" * 201}, "from_name"),
        ({"MAILGUN__DOMAIN": "a/../b"}, "mailgun.domain"),
        ({"SES__REGION": "x.evil.example/"}, "ses.region"),
        ({"RETRY_HOURS": "-1"}, "retry_hours"),
    ],
)
def test_settings_when_wrong_then_says_where_and_what(variables: dict[str, str], said: str) -> None:
    assert said in complaint(**variables)


SMTP = {"providers": ["smtp"], "smtp": {"host": "mx.example.com"}}


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({}, "TENANTRY_MAIL__PROVIDERS"),
        ({**SMTP, "providers": ["smtp", "file"], "from_address": "a@acme.example"}, "TENANTRY_MAIL__PROVIDERS"),
        (SMTP, "TENANTRY_MAIL__FROM_ADDRESS"),
    ],
)
def test_settings_when_production_would_lose_mail_with_them_then_refused_with_the_remedy(
    values: dict[str, Any], said: str
) -> None:
    with pytest.raises(ValidationError, match=said):
        Settings.model_validate(values, context={"production": True})
    Settings.model_validate(values)
    Settings.model_validate({**SMTP, "from_address": "a@acme.example"}, context={"production": True})
