"""The client for untrusted addresses, over real sockets: what it reaches and follows."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from host.outbound.client import PublicClient
from host.outbound.errors import OutboundError
from tests.outbound.conftest import HOME, Peer, answering, redirecting, refused, reply

# -- where it goes ---------------------------------------------------------------------------------------

INNER = [
    *("127.0.0.1", "127.1", "127.0.1", "0", "0.0.0.0", "2130706433", "0x7f000001", "0x7f.1"),
    *("0177.0.0.1", "017700000001"),
    *("0x7f.0x0.0x0.0x1", "127.000.000.001", "127.8.8.8", "localhost", "LOCALHOST", "localhost.", "10.0.0.1", "10.1"),
    *("172.16.0.1", "192.168.0.1", "192.168.257", "169.254.169.254", "0xa9fea9fe", "2852039166", "0251.0376.0251.0376"),
    *("100.64.0.1", "198.18.0.1", "192.0.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255", "[::]", "[::1]"),
    *("[0:0:0:0:0:0:0:1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::ffff:a9fe:a9fe]", "[64:ff9b::7f00:1]"),
    *("[64:ff9b:1::7f00:1]", "[2002:7f00:1::]", "[::127.0.0.1]", "[fe80::1]", "[fe80::1%25eth0]"),
    *("[fd00::1]", "[fec0::1]", "[ff02::1]", "[100::1]", "[2001:db8::1]"),
    *("127。0。0。1", "１２７.0.0.1", "①②⑦.0.0.1", "%31%32%37.0.0.1"),
    *("no-such-name.invalid", "a..b", "-", "%00", "a" * 70),
]  # fmt: skip


@pytest.mark.parametrize("host", INNER)
async def test_address_when_it_leads_inside_however_it_is_written_then_refused_unasked(peer: Peer, host: str) -> None:
    error = await refused(peer.url("/token-4711", host), inner_networks=())
    assert error.kind == "address"
    assert error.what in ("this does not lead to a server on the public internet", "this is no web address")
    assert "4711" not in str(error)
    assert peer.connections == 0


async def test_addresses_when_unknown_or_inside_then_nothing_tells_which(peer: Peer) -> None:
    inside = await refused(peer.url("/", "localhost"), inner_networks=())
    unknown = await refused(peer.url("/", "no-such-name.invalid"), inner_networks=())
    assert str(inside).replace("localhost", "X") == str(unknown).replace("no-such-name.invalid", "X")


@pytest.mark.parametrize(
    "url",
    [
        "ftp://127.0.0.1/",
        "file:///etc/passwd",
        "gopher://127.0.0.1:70/",
        "//127.0.0.1/",
        "foo",
        "",
        "http://",
        "http:///x",
    ],
)
async def test_address_when_it_is_not_of_the_web_then_refused(url: str) -> None:
    assert (await refused(url)).kind == "address"


async def test_address_when_it_holds_credentials_then_refused_and_they_are_not_shown(peer: Peer) -> None:
    error = await refused(f"http://ada:hunter2@127.0.0.1:{peer.port}/")
    assert (error.kind, error.where, "hunter2" in str(error)) == ("address", f"127.0.0.1:{peer.port}", False)
    assert peer.connections == 0


async def test_client_when_a_network_is_allowed_then_reaches_it_and_only_it(peer: Peer) -> None:
    async with PublicClient(inner_networks=HOME) as client:
        answer = await client.post(peer.url("/a?b=c"), json={})
        assert (answer.status_code, answer.text) == (200, "hello")
    assert f"Host: 127.0.0.1:{peer.port}" in peer.asked[0]
    assert (await refused(peer.url("/", "127.0.0.2"))).kind == "address"


async def test_client_when_the_environment_names_proxies_and_passwords_then_they_are_not_used(
    peer: Peer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login ada password hunter2")
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    async with PublicClient(inner_networks=HOME) as client:
        assert (await client.get(peer.url())).text == "hello"
    assert "authorization" not in peer.asked[0].lower()


async def test_client_when_a_server_sets_cookies_then_they_are_forgotten(peer: Peer) -> None:
    async with PublicClient(inner_networks=HOME) as client:
        await client.get(peer.url())
        await client.get(peer.url())
    assert "cookie" not in peer.asked[1].lower()


# -- what names mean -------------------------------------------------------------------------------------


async def test_name_when_it_resolves_otherwise_the_second_time_then_the_checked_address_is_used(
    peer: Peer, resolver: dict[str, list[list[str]]]
) -> None:
    resolver["rebind.example"] = [["127.0.0.1"], ["127.0.0.2"]]
    async with PublicClient(inner_networks=HOME) as client:
        assert (await client.get(peer.url("/", "rebind.example"))).status_code == 200
    assert resolver["rebind.example"] == [["127.0.0.2"]]  # asked once
    assert f"Host: rebind.example:{peer.port}" in peer.asked[0]


async def test_name_when_a_redirect_leads_to_it_again_then_it_is_checked_again(
    peer: Peer, resolver: dict[str, list[list[str]]]
) -> None:
    resolver["rebind.example"] = [["127.0.0.1"], ["127.0.0.2"]]
    peer.handler = answering(reply("302 Found", b"", "Location: /again", "Connection: close"))
    error = await refused(peer.url("/", "rebind.example"))
    assert (error.kind, len(peer.asked)) == ("address", 1)


async def test_name_when_it_has_inner_addresses_too_then_only_the_others_are_tried(
    peer: Peer, resolver: dict[str, list[list[str]]]
) -> None:
    resolver["mixed.example"] = [["127.0.0.2", "127.0.0.1"]]
    async with PublicClient(inner_networks=HOME) as client:
        assert (await client.get(peer.url("/", "mixed.example"))).status_code == 200
    resolver["dead.example"] = [["127.0.0.3", "127.0.0.1"]]
    async with PublicClient(inner_networks=(*HOME, ip_network("127.0.0.3/32"))) as client:
        assert (await client.get(peer.url("/", "dead.example"))).status_code == 200  # the first does not answer


async def test_names_when_they_have_one_address_then_each_has_its_own_connections(
    peer: Peer, resolver: dict[str, list[list[str]]]
) -> None:
    resolver["a.example"] = resolver["b.example"] = [["127.0.0.1"]]
    async with PublicClient(inner_networks=HOME) as client:
        for host in ("a.example", "b.example", "a.example"):
            await client.get(peer.url("/", host))
    assert peer.connections == 2


async def test_names_when_their_servers_never_answer_then_other_work_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    answered = threading.Event()

    def resolve(*_: object, **__: object) -> list[object]:
        answered.wait(30)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    try:
        lookups = [asyncio.create_task(refused(f"http://{number}.example/", seconds=1)) for number in range(60)]
        await asyncio.sleep(0.2)
        async with asyncio.timeout(0.7):
            assert await asyncio.to_thread(lambda: "done") == "done"
        assert {error.kind for error in await asyncio.gather(*lookups)} == {"time"}
    finally:
        answered.set()


async def test_tls_when_the_address_is_pinned_then_the_certificate_is_that_of_the_name(
    resolver: dict[str, list[list[str]]], tmp_path: Path
) -> None:
    resolver["hooks.example"] = resolver["other.example"] = [["127.0.0.1"]]
    peer, names, context = Peer(), [], ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate = _certificate(tmp_path, "hooks.example")
    context.load_cert_chain(certificate)
    context.sni_callback = lambda _, name, __: names.append(name)  # type: ignore[assignment]
    server = await asyncio.start_server(peer.serve, "127.0.0.1", 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    trusting = ssl.create_default_context(cafile=certificate)
    async with PublicClient(inner_networks=HOME, ssl_context=trusting) as client:
        assert (await client.get(f"https://hooks.example:{port}/")).text == "hello"
        assert (names, f"Host: hooks.example:{port}" in peer.asked[0]) == (["hooks.example"], True)
        with pytest.raises(OutboundError, match=r"(?i)certificate") as caught:
            await client.get(f"https://other.example:{port}/")
    assert caught.value.kind == "connection"
    assert (await refused(f"https://hooks.example:{port}/")).kind == "connection"  # nobody vouches for it
    await peer.end(server)


def _certificate(folder: Path, host: str) -> Path:
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    encoding = serialization.Encoding.PEM
    plain = key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    file = folder / f"{host}.pem"
    file.write_bytes(plain + made.public_bytes(encoding))
    return file


# -- redirects -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("to", "kind"),
    [
        ("http://127.0.0.2:{port}/", "address"),
        ("http://169.254.169.254/latest/meta-data", "address"),
        ("http://[::1]:{port}/", "address"),
        ("http://ada:hunter2@127.0.0.1:{port}/", "address"),
        ("ftp://127.0.0.1/", "address"),
        ("file:///etc/passwd", "address"),
        ("http://exa mple:x/", "answer"),
        ("/around", "redirects"),
    ],
)
async def test_redirect_when_it_leads_where_nobody_may_go_then_refused(peer: Peer, to: str, kind: str) -> None:
    peer.handler = redirecting(to.format(port=peer.port))
    error = await refused(peer.url())
    assert error.kind == kind
    assert len(peer.asked) == (6 if kind == "redirects" else 1)


async def test_redirect_when_it_leads_on_then_followed_unless_told_not_to(peer: Peer) -> None:
    async def once(peer: Peer, writer: asyncio.StreamWriter, path: str) -> None:
        writer.write(reply("301 Moved", b"", "Location: /there") if path == "/" else reply("200 OK", b"there"))

    peer.handler = once
    async with PublicClient(inner_networks=HOME) as client:
        assert (await client.get(peer.url())).text == "there"
    async with PublicClient(inner_networks=HOME, redirects=0) as client:
        assert (await client.get(peer.url())).status_code == 301


async def test_server_when_nobody_listens_then_said_so() -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    assert (await refused(f"http://127.0.0.1:{port}/")).kind == "connection"
