"""Settings of the mail provider `smtp`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, SecretStr

from host.sdk import Duration, TextForm

from .spec import Domain, Pacing

Host = Annotated[str, TextForm(r"[A-Za-z0-9._:-]{0,253}", "a host name or an address")]
Tls = Literal["none", "starttls", "tls"]


class SmtpSettings(Pacing):
    host: Host = Field(default="", description="Name or address of the SMTP server.")
    port: int | None = Field(
        default=None,
        ge=1,
        le=65535,
        description="Port of the SMTP server; empty: 587, or 465 with tls, or 25 with none.",
    )
    username: str = Field(default="", description="User name to sign in with; empty: no sign-in.")
    password: SecretStr = SecretStr("")
    tls: Tls = Field(
        default="starttls",
        description="Encryption: starttls (default) is required after connecting; tls from the start; none.",
    )
    timeout: Duration = Field(
        default=30.0, le=300, description="Seconds the server may take for each answer; default 30."
    )
    ca_file: str = Field(
        default="", description="PEM file of certificates to trust instead of the system's; empty: the system's."
    )
    ehlo_name: Domain = Field(default="", description="Host name sent in EHLO; empty: the domain of `from_address`.")
