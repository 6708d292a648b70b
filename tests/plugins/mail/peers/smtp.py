"""A mail server: aiosmtpd in a thread of its own, with TLS and passwords, that refuses and fails when it is told to."""

from __future__ import annotations

import asyncio
import ipaddress
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from .taken import NOBODY, SPAM, Mood, Taken, from_mime

USERNAME, PASSWORD = "relay@acme.example", "päss wörd of the test"

Tls = Literal["none", "starttls", "tls"]


@dataclass
class SmtpPeer:
    """What it does, and what it took. Read and written from two threads, one side at a time."""

    host: str = "127.0.0.1"
    port: int = 0
    ca_file: str = ""
    tls: Tls = "starttls"
    mood: Mood = "well"
    taken: list[Taken] = field(default_factory=list)
    answers: dict[str, str] = field(default_factory=dict)  # command, or a recipient -> answer, such as "451 later"
    hang_up_after_data: bool = False
    connections: int = 0
    greeted: list[str] = field(default_factory=list)
    utf8: bool = True
    transports: set[asyncio.BaseTransport] = field(default_factory=set, repr=False)
    seconds: float = 0.0  # that it thinks about a message
    stale: str = ""  # what connections that took a message answer to the next MAIL; "abort": nothing

    # -- aiosmtpd's handler ------------------------------------------------------------------------------

    async def handle_EHLO(
        self, server: SMTP, session: Session, envelope: Envelope, hostname: str, responses: list[str]
    ) -> list[str]:
        session.host_name = hostname
        self.greeted.append(hostname)
        assert server.transport is not None
        self.transports.add(server.transport)
        self.connections += self.tls != "starttls" or session.ssl is not None  # after STARTTLS it greets again
        return [each for each in responses if self.utf8 or "SMTPUTF8" not in each]

    async def handle_MAIL(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if self.mood == "away":
            assert server.transport is not None
            server.transport.abort()
            return "421 gone"
        if self.mood == "throttled":
            return "421 4.7.0 too many messages"
        if self.stale and getattr(session, "used", False):
            assert server.transport is not None
            if self.stale == "abort":
                server.transport.abort()
            return self.stale
        if "MAIL" in self.answers:
            return self.answers["MAIL"]
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 2.1.0 ok"

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if address in self.answers:
            return self.answers[address]
        if address.startswith(NOBODY):
            return "550 5.1.1 no such user"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 ok"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        assert isinstance(envelope.content, bytes)
        taken = from_mime(envelope.content, envelope.rcpt_tos)
        await asyncio.sleep(self.seconds)
        if "DATA" in self.answers:
            return self.answers["DATA"]
        if taken.subject == SPAM:
            return "554 5.6.0 we do not want this"
        self.taken.append(taken)
        session.used = True  # type: ignore[attr-defined]
        if self.hang_up_after_data:
            await server.push("250 2.0.0 Ok: queued as LAST1")
            assert server.transport is not None
            server.transport.close()
        return f"250 2.0.0 Ok: queued as Q{len(self.taken)}"

    async def hang_up(self) -> None:
        """End all connections."""
        for transport in self.transports:
            assert isinstance(transport, asyncio.WriteTransport)
            transport.abort()
        await asyncio.sleep(0.01)

    def authenticate(self, server: Any, session: Session, envelope: Envelope, mechanism: str, data: Any) -> AuthResult:
        right = isinstance(data, LoginPassword) and data == LoginPassword(USERNAME.encode(), PASSWORD.encode())
        return AuthResult(success=right and self.mood != "locked", handled=False)


class _AnyPort(Controller):
    """On a free port, which it then knows."""

    def _trigger_server(self) -> None:
        self.port = self.server.sockets[0].getsockname()[1]
        super()._trigger_server()


@contextmanager
def smtp_server(folder: Path, tls: Tls = "starttls", *, auth: bool = True) -> Iterator[SmtpPeer]:
    """A server on a port of its own, closed after the block."""
    peer = SmtpPeer(tls=tls)
    certificate, key = make_certificate(folder)
    peer.ca_file = str(certificate)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    options: dict[str, Any] = {"tls_context": context, "require_starttls": True} if tls == "starttls" else {}
    if auth:
        options |= {"auth_required": True, "authenticator": peer.authenticate, "auth_require_tls": tls == "starttls"}
    controller = _AnyPort(
        peer,
        hostname=peer.host,
        port=0,
        enable_SMTPUTF8=True,
        ssl_context=context if tls == "tls" else None,
        ready_timeout=30,
        **options,
    )
    controller.start()
    peer.port = controller.port
    try:
        yield peer
    finally:
        asyncio.run_coroutine_threadsafe(peer.hang_up(), controller.loop).result(10)
        controller.stop()


def make_certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate of our own for localhost, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    certificate_file, key_file = folder / "certificate.pem", folder / "key.pem"
    certificate_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return certificate_file, key_file
