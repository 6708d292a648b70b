"""Mail provider `smtp`: any mail server, such as the one of the organisation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field, SecretStr

from host.sdk import Title

from .contract import Provider, ProviderUnavailable, Refused
from .public_hosts import SMTP_PORTS, public_addresses
from .smtp_settings import Host, SmtpSettings, Tls
from .spec import Account, MailProvider, Password, Setup


class SmtpAccount(Account):
    """A mail server. Without a port: 587, or 465 with tls, or 25 with none."""

    host: Annotated[Host, Field(min_length=1)]
    port: Annotated[int, Field(ge=1, le=65535)] | None = None
    username: Title = ""
    password: Password = SecretStr("")
    tls: Tls = "starttls"


def _create(settings: SmtpSettings, setup: Setup) -> Provider:
    from .smtp_server import SmtpProvider

    return SmtpProvider(settings, setup)


async def _check_account(account: Mapping[str, Any]) -> Mapping[str, str]:
    """Why an organisation may not send through this server, by field."""
    host, port = str(account["host"]), account["port"]
    wrong: dict[str, str] = {}
    if port is not None and port not in SMTP_PORTS:
        wrong["port"] = f"Mail servers listen at {', '.join(map(str, SMTP_PORTS))}."
    if account["tls"] == "none" and account["username"]:
        wrong["tls"] = "A password goes over TLS only: starttls or tls."
    try:
        await public_addresses(host, port or SMTP_PORTS[0])
    except (Refused, ProviderUnavailable) as error:
        wrong["host"] = str(error)
    return wrong


PROVIDER = MailProvider(
    name="smtp",
    title="SMTP",
    settings=SmtpSettings,
    required=("host",),
    account=SmtpAccount,
    create=_create,
    check_account=_check_account,
)
