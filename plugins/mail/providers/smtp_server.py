"""Hand messages to a mail server over SMTP (RFC 5321)."""

from __future__ import annotations

import asyncio
import re
import ssl

from aiosmtplib import (
    SMTP,
    SMTPAuthenticationError,
    SMTPDataError,
    SMTPException,
    SMTPNotSupported,
    SMTPRecipientRefused,
    SMTPRecipientsRefused,
    SMTPResponseException,
    SMTPSenderRefused,
)

from ..outgoing import Outgoing
from .contract import Kind, ProviderUnavailable, Receipt, Refused, refuse_smtputf8, written
from .public_hosts import connected
from .smtp_connections import CLOSING, Connections, drop
from .smtp_settings import SmtpSettings
from .spec import Setup

PORTS = {"starttls": 587, "tls": 465, "none": 25}

_NOT_THE_ADDRESS = frozenset({500, 502, 503, 504, 530})  # commands and parameters, not mailboxes (RFC 5321, 4.2.2)
_ENHANCED = re.compile(r"\s*([245]\.\d{1,3}\.\d{1,3})\s*")  # RFC 3463
_QUEUED_AS = re.compile(r"\b(?:queued as|id=)\s*([\w.@<>-]{1,200})", re.IGNORECASE)


class SmtpProvider:
    """A mail server, over pooled connections.

    It is told our name in EHLO; strict servers want one that exists (RFC 5321 section 4.1.1.1). A server that a tenant
    names has to be at a public address (see public_hosts.py), with a certificate that the whole world trusts.
    """

    name = "smtp"

    def __init__(self, settings: SmtpSettings, setup: Setup) -> None:
        self._settings = settings
        self._ehlo_name = settings.ehlo_name or setup.sender_domain
        self._public_only = setup.public_only
        self._ca_file = None if setup.own else settings.ca_file or None
        self._port = settings.port or PORTS[settings.tls]
        self._tls: ssl.SSLContext | None = None
        self._connections = Connections(self._connect)

    async def deliver(self, outgoing: Outgoing) -> Receipt:
        """Hand the message over. A 5xx answer is permanent and a 4xx one temporary, for each recipient by itself; 421
        and a lost connection raise ProviderUnavailable. When the connection is lost before the answer to the message,
        it is uncertain whether it was taken: it is sent again, with the same Message-ID."""
        content, complete = written(outgoing), False
        try:
            async with self._connections.lent(lambda client: _begin(client, outgoing, len(content))) as client:
                refused = await _recipients(client, outgoing)
                complete = True
                answer = await client.data(content)
        except (SMTPException, OSError) as error:
            verdict = self._verdict(error)
            if isinstance(verdict, ProviderUnavailable):
                verdict.uncertain = complete and not isinstance(error, SMTPResponseException)
            raise verdict from error
        queued = _QUEUED_AS.search(answer.message)
        refusals = {refusal.recipient: _refused(refusal.code, refusal.message, "address") for refusal in refused}
        return Receipt(self.name, queued[1] if queued else "", refusals)

    async def check(self) -> str | None:
        """Whether the server answers, with TLS and signed in as set."""
        try:
            async with self._connections.lent(SMTP.noop):
                pass
        except (SMTPException, OSError) as error:
            return str(self._verdict(error))
        except (Refused, ProviderUnavailable) as error:
            return str(error)
        return None

    async def close(self) -> None:
        """Close the connections."""
        await self._connections.close()

    async def _connect(self) -> SMTP:
        settings = self._settings
        if settings.tls != "none" and self._tls is None:
            self._tls = await asyncio.to_thread(ssl.create_default_context, cafile=self._ca_file)
        connection = await connected(settings.host, self._port, settings.timeout) if self._public_only else None
        client = SMTP(
            hostname=settings.host,
            port=None if connection else self._port,
            sock=connection,
            username=settings.username or None,
            password=settings.password.get_secret_value() if settings.username else None,
            local_hostname=self._ehlo_name,
            timeout=settings.timeout,
            use_tls=settings.tls == "tls",
            start_tls=settings.tls == "starttls",
            tls_context=self._tls,
        )
        try:
            await client.connect()
            if client.is_ehlo_or_helo_needed:
                await client.ehlo()
        except BaseException:
            drop(client, client.transport)
            if connection:
                connection.close()
            raise
        return client

    def _verdict(self, error: Exception) -> Refused | ProviderUnavailable:
        """Map an error of aiosmtplib to one of ours."""
        where = f"{self._settings.host}:{self._port}"
        if isinstance(error, SMTPRecipientsRefused):
            return _all_refused(error.recipients)
        if isinstance(error, SMTPResponseException):
            return _answered(error, where)
        cause = error if isinstance(error, ssl.SSLError) else error.__cause__
        if isinstance(cause, ssl.SSLError):
            return Refused(f"{where} has no trusted TLS certificate: {cause.reason}", permanent=True, kind="provider")
        if isinstance(error, OSError):  # SMTPServerDisconnected, SMTPConnectError and SMTPTimeoutError are among these
            return ProviderUnavailable(f"{where} cannot be reached, or the connection was lost: {error}")
        if isinstance(error, SMTPNotSupported):
            return Refused(str(error), permanent=True, kind="provider")
        return Refused(f"{where}: {error}", permanent=True, kind="provider")


async def _begin(client: SMTP, outgoing: Outgoing, size: int) -> None:
    """Send MAIL, with the size where the server supports it (RFC 1870)."""
    options = [f"SIZE={size}"] if client.supports_extension("size") else []
    if outgoing.needs_smtputf8:
        if not client.supports_extension("smtputf8"):
            refuse_smtputf8(outgoing, "this server")
        options.append("SMTPUTF8")
    await client.mail(outgoing.sender.email, options=options, encoding="utf-8" if outgoing.needs_smtputf8 else "ascii")


async def _recipients(client: SMTP, outgoing: Outgoing) -> list[SMTPRecipientRefused]:
    """Send RCPT for each recipient; returns those that were refused, never all.

    Raises:
        SMTPRecipientsRefused: all were refused.
    """
    refused = []
    for email in outgoing.recipients:
        try:
            await client.rcpt(email, encoding="utf-8" if outgoing.needs_smtputf8 else "ascii")
        except SMTPRecipientRefused as error:
            refused.append(error)
            if error.code == CLOSING:
                raise
    if len(refused) == len(outgoing.recipients):
        raise SMTPRecipientsRefused(refused)
    return refused


def _answered(error: SMTPResponseException, where: str) -> Refused | ProviderUnavailable:
    code, text = error.code, error.message
    if isinstance(error, SMTPAuthenticationError):
        if code < 500:
            return ProviderUnavailable(f"{where} cannot check the password now: {code} {text}")
        return _refused(code, text, "provider", f"{where} refuses the username or password: ")
    if isinstance(error, SMTPSenderRefused | SMTPDataError) and code not in (CLOSING, 503):
        if code in (530, 535):
            return _refused(code, text, "provider", f"{where} wants a username and password: ")
        return _refused(code, text, "content" if code >= 500 else "provider")
    return ProviderUnavailable(f"{where}: {code} {text}")  # 421, a connection in the wrong state, no greeting


def _all_refused(recipients: list[SMTPRecipientRefused]) -> Refused:
    refusals = {refusal.recipient: _refused(refusal.code, refusal.message, "address") for refusal in recipients}
    verdicts = list(refusals.values())
    # While one of them may be taken later, the message is tried again; else the first refusal counts for all.
    verdict = next((refusal for refusal in verdicts if not refusal.permanent), verdicts[0])
    return Refused(
        verdict.reason, permanent=verdict.permanent, kind=verdict.kind, code=verdict.code, recipients=refusals
    )


def _refused(code: int, text: str, kind: Kind, about: str = "") -> Refused:
    """A refusal with its code, and with the enhanced code (RFC 3463) where the server gives one."""
    enhanced = _ENHANCED.match(text)
    permanent = code >= 500
    if kind == "address" and permanent:
        if code == 552:  # too many recipients, or a full mailbox: RFC 5321 section 4.5.3.1.10 has it tried again
            permanent = False
        elif code in _NOT_THE_ADDRESS or (enhanced and enhanced[1].startswith(("5.3", "5.4", "5.5", "5.7"))):
            # About the server, the route, the protocol (our EHLO name) or a policy (no relaying, blocked), not about
            # the address: another provider may be allowed to send, and this one once its settings are corrected.
            kind, permanent = "provider", False
    plain = text[enhanced.end() :] if enhanced else text
    shown = f"{code} {enhanced[1]}" if enhanced else str(code)
    reason = about + plain.encode(errors="replace").decode()[:500]
    return Refused(reason, permanent=permanent, kind=kind, code=shown)
