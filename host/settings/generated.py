"""Generate the signing secret in development and store it in the data folder, readable by its owner only."""

from __future__ import annotations

import os
from pathlib import Path
from secrets import token_urlsafe

from pydantic import SecretStr

from host.errors import ConfigurationError
from host.settings.private import private_folder
from host.settings.sections import Settings


def secrets(settings: Settings) -> Settings:
    """The same settings with `identity.secret` filled in when it was unset.

    Development generates it once and keeps it in the data folder (mode 0600), so that sign-ins outlive a restart.

    Raises:
        ConfigurationError: production has no secret, or the data folder cannot be written.
    """
    if settings.identity.secret.get_secret_value():
        return settings
    if settings.app.production:
        raise ConfigurationError(
            "identity.secret is not set: production does not start with a generated one. Set "
            "TENANTRY_IDENTITY__SECRET (or TENANTRY_IDENTITY__SECRET_FILE) to the output of `openssl rand -base64 48`"
        )
    secret = _stored_secret(settings.data.dir)
    identity = settings.identity.model_copy(update={"secret": SecretStr(secret)})
    return settings.model_copy(update={"identity": identity})


def _stored_secret(folder: Path) -> str:
    file = folder / "secrets" / "identity"
    try:
        private_folder(folder)
        private_folder(file.parent)
        _create(file)
        return file.read_text("ascii").strip()
    except OSError as error:
        raise ConfigurationError(
            f"the generated secret cannot be kept in {file}: {error}. Make the folder writable, or name another one "
            "with TENANTRY_DATA__DIR"
        ) from error


def _create(file: Path) -> None:
    """Write a temporary file and link it into place: of two processes that start together one wins."""
    if file.exists():
        return
    aside = file.with_name(f"{file.name}.{os.getpid()}")
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as stream:
        stream.write(token_urlsafe(48))
    try:
        os.link(aside, file)
    except FileExistsError:
        pass
    finally:
        aside.unlink()
