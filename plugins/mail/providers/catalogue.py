"""All mail providers; a new one is a module with its record, `PROVIDER`, and one line here."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from host.sdk import Providers

from .spec import MailProvider

_MODULES = (
    "file",
    "smtp",
    "sendgrid",
    "mailgun",
    "ses",
)

PROVIDERS: Providers[MailProvider[Any]] = Providers(
    *(import_module(f"{__package__}.{name}").PROVIDER for name in _MODULES)
)
