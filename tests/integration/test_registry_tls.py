"""What is found wrong with a server's certificate is what Go finds, on real sockets."""

from __future__ import annotations

import datetime as dt
import ipaddress
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

from tests.oracle.proxies import WireOracle
from tests.parts.sight import locate_in_sight
from tests.scripted.server import Talker, answer, serving
from webhook.deadline import Deadline
from webhook.registry.clients import MAX_CLIENTS
from webhook.registry.outcome import Cause
from webhook.registry.settings import Egress, RegistrySettings
from webhook.registry.transport import Transport
from webhook.registry.wire import Ask, Reply, Trouble, Trust

LOCAL = RegistrySettings(connect=5.0, egress=Egress(local=True))
SOON = Deadline.after(600.0)
NOW = dt.datetime.now(dt.UTC)
HOUR = dt.timedelta(hours=1)
ANY_USE = ObjectIdentifier("2.5.29.37.0")
USAGES = ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment",
          "key_agreement", "key_cert_sign", "crl_sign", "encipher_only",
          "decipher_only")  # fmt: skip
Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


@dataclass(frozen=True)
class Made:
    """One certificate with its key; `signer` None: by itself."""

    certificate: x509.Certificate
    key: Key

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        return self.key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )


@dataclass(frozen=True)
class Shape:
    """How a certificate is made: everything that may be wrong with one."""

    name: str = "leaf"
    sans: tuple[str, ...] | None = ()
    begins: dt.timedelta = -HOUR
    ends: dt.timedelta = 24 * HOUR
    ca: bool | None = None
    length: int | None = None
    uses: tuple[ObjectIdentifier, ...] | None = None
    usage: tuple[str, ...] | None = None
    bits: int | None = None
    within: str | None = None
    strange: bool = False


def made(shape: Shape, signer: Made | None = None) -> Made:
    key: Key = (
        ec.generate_private_key(ec.SECP256R1())
        if shape.bits is None
        else rsa.generate_private_key(65537, shape.bits)
    )
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, shape.name)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(signer.certificate.subject if signer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW + shape.begins)
        .not_valid_after(NOW + shape.ends)
    )
    for extension, critical in extensions(shape):
        builder = builder.add_extension(extension, critical=critical)
    return Made(builder.sign(signer.key if signer else key, hashes.SHA256()), key)


def extensions(shape: Shape) -> Iterator[tuple[x509.ExtensionType, bool]]:
    if shape.sans:
        yield x509.SubjectAlternativeName([san(text) for text in shape.sans]), False
    if shape.ca is not None:
        yield x509.BasicConstraints(shape.ca, shape.length), True
    if shape.uses is not None:
        yield x509.ExtendedKeyUsage(shape.uses), False
    if shape.usage is not None:
        yield x509.KeyUsage(**{name: name in shape.usage for name in USAGES}), True
    if shape.within is not None:
        yield x509.NameConstraints([x509.DNSName(shape.within)], None), True
    if shape.strange:
        yield x509.UnrecognizedExtension(ObjectIdentifier("1.2.3.4.5"), b"\x05\x00"), True


def san(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        return x509.DNSName(text)


ROOT = Shape("root", ca=True)
MIDDLE = Shape("middle", ca=True)
LEAF = Shape(sans=("reg.example",))


@dataclass(frozen=True)
class Case:
    """One server: its leaf, who signed it, what is trusted and what is sent."""

    leaf: Shape = LEAF
    root: Shape = ROOT
    middle: Shape | None = None
    host: str = "reg.example"
    sends_middle: bool = True
    trusts: str = "root"


def leaf(**wrong: object) -> Case:
    return Case(replace(LEAF, **wrong))  # type: ignore[arg-type]  # the fields of a Shape


OLD: dict[str, object] = {"begins": -48 * HOUR, "ends": -24 * HOUR}
CASES = {
    "good": Case(),
    "expired": leaf(**OLD),
    "not yet valid": leaf(begins=HOUR),
    "wrong name": Case(host="other.example"),
    "only a common name": Case(replace(LEAF, name="reg.example", sans=())),
    "a wildcard": Case(replace(LEAF, sans=("*.example",)), host="reg.example"),
    "a wildcard of two labels": Case(replace(LEAF, sans=("*.a.example",)), host="reg.a.example"),
    "a wildcard for more labels": Case(replace(LEAF, sans=("*.example",)), host="a.reg.example"),
    "a wildcard for none": Case(replace(LEAF, sans=("*.reg.example",))),
    "a wildcard inside": Case(replace(LEAF, sans=("reg.*.example",)), host="reg.a.example"),
    "a partial wildcard": Case(replace(LEAF, sans=("r*.a.example",)), host="reg.a.example"),
    "a bare wildcard": Case(replace(LEAF, sans=("*",)), host="example"),
    "a wildcard of a punycode label": Case(
        replace(LEAF, sans=("*.a.example",)), host="xn--bcher-kva.a.example"
    ),
    "a punycode name": Case(
        replace(LEAF, sans=("xn--bcher-kva.example",)), host="xn--bcher-kva.example"
    ),
    "capitals": Case(replace(LEAF, sans=("REG.Example",))),
    "an underscore": Case(replace(LEAF, sans=("my_reg.example",)), host="my_reg.example"),
    "a dot behind the host": Case(host="reg.example."),
    "a dot behind the name": Case(replace(LEAF, sans=("reg.example.",))),
    "a dot behind both": Case(replace(LEAF, sans=("reg.example.",)), host="reg.example."),
    "a single label": Case(replace(LEAF, sans=("registry",)), host="registry"),
    "an address": Case(replace(LEAF, sans=("127.0.0.1",)), host="127.0.0.1"),
    "another address": Case(replace(LEAF, sans=("127.0.0.2",)), host="127.0.0.1"),
    "an address as a name": Case(replace(LEAF, name="127.0.0.1", sans=()), host="127.0.0.1"),
    "unknown authority": Case(trusts="nobody"),
    "self-signed and trusted": Case(trusts="leaf"),
    "self-signed": Case(replace(LEAF, ca=True), trusts="nobody", root=replace(ROOT, name="leaf")),
    "expired and of nobody": replace(leaf(**OLD), trusts="nobody"),
    "expired and of another name": replace(leaf(**OLD), host="other.example"),
    "of another name and of nobody": Case(host="other.example", trusts="nobody"),
    "all three": replace(leaf(**OLD), host="other.example", trusts="nobody"),
    "an intermediate": Case(middle=MIDDLE),
    "a missing intermediate": Case(middle=MIDDLE, sends_middle=False),
    "a trusted intermediate": Case(middle=MIDDLE, sends_middle=False, trusts="middle"),
    "an expired intermediate": Case(middle=replace(MIDDLE, **OLD)),  # type: ignore[arg-type]  # ditto
    "an expired root": Case(root=replace(ROOT, **OLD)),  # type: ignore[arg-type]  # ditto
    "an intermediate that is no CA": Case(middle=replace(MIDDLE, ca=False)),
    "an intermediate that says nothing of CA": Case(middle=replace(MIDDLE, ca=None)),
    "a root that says nothing of CA": Case(root=replace(ROOT, ca=None)),
    "a root that is no CA": Case(root=replace(ROOT, ca=False)),
    "a root too short": Case(root=replace(ROOT, length=0), middle=MIDDLE),
    "a root that may not sign": Case(root=replace(ROOT, usage=("crl_sign",))),
    "RSA of 1024 bits": leaf(bits=1024),
    "RSA of 2048 bits": leaf(bits=2048),
    "a root of 1024 bits": Case(root=replace(ROOT, bits=1024)),
    "for servers": leaf(uses=(ExtendedKeyUsageOID.SERVER_AUTH,)),
    "for clients": leaf(uses=(ExtendedKeyUsageOID.CLIENT_AUTH,)),
    "a root for clients": Case(root=replace(ROOT, uses=(ExtendedKeyUsageOID.CLIENT_AUTH,))),
    "for clients and of another name": replace(
        leaf(uses=(ExtendedKeyUsageOID.CLIENT_AUTH,)), host="other.example"
    ),
    "within its constraints": Case(root=replace(ROOT, within="example")),
    "outside its constraints": Case(root=replace(ROOT, within="elsewhere.test")),
    "an unknown critical extension": leaf(strange=True),
}
STRANGER = Case(root=replace(ROOT, name="stranger"))
STRICTER = {
    "for anything": leaf(uses=(ANY_USE,)),
    "a leaf that may only sign": leaf(usage=("key_cert_sign", "crl_sign"), ca=True),
}
"""OpenSSL holds a server's certificate to uses that Go does not ask for."""


@pytest.fixture(scope="module")
def wire(pytestconfig: pytest.Config) -> Iterator[WireOracle]:
    locate_in_sight(pytestconfig, ["proxyoracle"])
    with WireOracle() as running:
        yield running


@pytest.fixture
def transport(monkeypatch: pytest.MonkeyPatch) -> Iterator[Transport]:
    """Every name is this machine's here."""
    real = socket.getaddrinfo

    def here(host: str, *rest: Any, **named: Any) -> object:
        return real("127.0.0.1" if "example" in host or "." not in host else host, *rest, **named)

    monkeypatch.setattr(socket, "getaddrinfo", here)
    transport = Transport(LOCAL)
    yield transport
    transport.close()


def talk(one: Talker) -> None:
    while one.hear():
        one.say(answer("200 OK", b"ok"))


@dataclass(frozen=True)
class Files:
    chain: Path
    key: Path
    roots: Path


def files_of(case: Case, folder: Path) -> Files:
    root = made(case.root)
    middle = made(case.middle, root) if case.middle else None
    own = case.root.name == case.leaf.name
    one = made(case.leaf, None if own else middle or root)
    nobody = made(replace(ROOT, name="nobody"))
    trusted = {"root": root, "leaf": one, "nobody": nobody, "middle": middle or root}[case.trusts]
    chain = one.pem + (middle.pem if middle and case.sends_middle else b"")
    files = Files(folder / "chain.pem", folder / "key.pem", folder / "roots.pem")
    for path, content in zip(
        (files.chain, files.key, files.roots), (chain, one.key_pem, trusted.pem), strict=True
    ):
        path.write_bytes(content)
    return files


def context_of(files: Files) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    context.load_cert_chain(files.chain, files.key)
    return context


def ours(transport: Transport, host: str, port: int, trust: Trust) -> str:
    ask = Ask("GET", f"https://{host}:{port}/", limit=10, trust=trust)
    got = transport.send(ask, Deadline.after(5.0))
    return got.cause.value if isinstance(got, Trouble) else ""


def both(
    wire: WireOracle, transport: Transport, case: Case, folder: Path
) -> tuple[str, str, dict[str, object]]:
    files = files_of(case, folder)
    with serving(talk, context_of(files)) as server:
        said = wire.tls(server.port, case.host, files.roots.read_text())
        trust = Trust(cas=(files.roots,))
        return ours(transport, case.host, server.port, trust), said.get("kind", ""), said


@pytest.mark.parametrize("name", CASES)
def test_a_certificate_has_the_fault_that_go_names(
    wire: WireOracle, transport: Transport, tmp_path: Path, name: str
) -> None:
    """Go looks at the time, then at the names, then at the chain, then at the use."""
    we, they, said = both(wire, transport, CASES[name], tmp_path)
    assert we == they, said


@pytest.mark.parametrize("name", STRICTER)
def test_where_openssl_is_stricter_it_is_known(
    wire: WireOracle, transport: Transport, tmp_path: Path, name: str
) -> None:
    we, they, said = both(wire, transport, STRICTER[name], tmp_path)
    assert (we, they) == ("tls-failing", ""), said


def versions(least: ssl.TLSVersion, most: ssl.TLSVersion) -> Callable[[ssl.SSLContext], None]:
    def change(context: ssl.SSLContext) -> None:
        context.minimum_version, context.maximum_version = least, most

    return change


def ciphers(names: str) -> Callable[[ssl.SSLContext], None]:
    def change(context: ssl.SSLContext) -> None:
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers(names)

    return change


CHANGES: dict[str, Callable[[ssl.SSLContext], None]] = {
    "TLS 1.2 alone": versions(ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_2),
    "TLS 1.3 alone": versions(ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_3),
    "CBC with SHA-1": ciphers("ECDHE-RSA-AES128-SHA:@SECLEVEL=0"),
    "CBC with SHA-256": ciphers("ECDHE-RSA-AES128-SHA256:@SECLEVEL=0"),
    "no forward secrecy": ciphers("AES128-GCM-SHA256:@SECLEVEL=0"),
    "DHE": ciphers("DHE-RSA-AES128-GCM-SHA256:@SECLEVEL=0"),
    "ChaCha20": ciphers("ECDHE-RSA-CHACHA20-POLY1305"),
    "HTTP/2 alone": lambda context: context.set_alpn_protocols(["h2"]),
    "an unknown protocol": lambda context: context.set_alpn_protocols(["x"]),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_server_is_spoken_to_where_go_speaks_to_it(
    wire: WireOracle, transport: Transport, tmp_path: Path, change: str
) -> None:
    files = files_of(leaf(bits=2048), tmp_path)
    context = context_of(files)
    CHANGES[change](context)
    with serving(talk, context) as server:
        they = wire.tls(server.port, "reg.example", files.roots.read_text())
        we = ours(transport, "reg.example", server.port, Trust(cas=(files.roots,)))
    assert we == they.get("kind", ""), they


@pytest.mark.parametrize("version", ["TLSv1", "TLSv1_1"])
def test_what_is_older_than_tls_1_2_is_not_spoken(
    wire: WireOracle, transport: Transport, tmp_path: Path, version: str
) -> None:
    files = files_of(leaf(bits=2048), tmp_path)
    context = context_of(files)
    with pytest.warns(DeprecationWarning):
        context.minimum_version = context.maximum_version = ssl.TLSVersion[version]
    with serving(talk, context) as server:
        they = wire.tls(server.port, "reg.example", files.roots.read_text())
        we = ours(transport, "reg.example", server.port, Trust(cas=(files.roots,)))
    assert we == they["kind"] == Cause.TLS_FAILING.value


def test_a_name_is_sent_for_names_alone(transport: Transport, tmp_path: Path) -> None:
    """SNI names no IP address, and no trailing dot (``hostnameInSNI``)."""
    files = files_of(Case(replace(LEAF, sans=("reg.example", "127.0.0.1"))), tmp_path)
    context = context_of(files)
    heard: list[str | None] = []
    context.sni_callback = lambda _socket, name, _context: heard.append(name)
    with serving(talk, context) as server:
        for host in ("reg.example", "reg.example.", "127.0.0.1"):
            assert ours(transport, host, server.port, Trust(cas=(files.roots,))) == ""
    assert heard == ["reg.example", "reg.example", None]


def test_no_request_goes_to_a_server_that_is_not_trusted(
    transport: Transport, tmp_path: Path
) -> None:
    for name in ("unknown authority", "wrong name", "expired", "all three"):
        files = files_of(CASES[name], tmp_path)
        with serving(talk, context_of(files)) as server:
            assert ours(transport, CASES[name].host, server.port, Trust(cas=(files.roots,)))
            assert server.requests == []


def test_a_certificate_that_nobody_looks_at_may_be_anything(
    transport: Transport, tmp_path: Path
) -> None:
    for name in ("all three", "for clients", "only a common name"):
        files = files_of(CASES[name], tmp_path)
        with serving(talk, context_of(files)) as server:
            assert ours(transport, CASES[name].host, server.port, Trust(verify=False)) == ""


# -- who we are ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Mutual:
    server: ssl.SSLContext
    roots: Path
    pair: tuple[Path, Path]
    both: Path


@pytest.fixture(params=[ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def mutual(request: pytest.FixtureRequest, tmp_path: Path) -> Mutual:
    files = files_of(Case(), tmp_path)
    issuer = made(replace(ROOT, name="clients"))
    client = made(Shape("client", uses=(ExtendedKeyUsageOID.CLIENT_AUTH,)), issuer)
    written = {"ca": issuer.pem, "cert": client.pem, "key": client.key_pem}
    for name, content in {**written, "both": client.pem + client.key_pem}.items():
        (tmp_path / f"client-{name}").write_bytes(content)
    context = context_of(files)
    context.minimum_version = context.maximum_version = request.param
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(tmp_path / "client-ca")
    pair = tmp_path / "client-cert", tmp_path / "client-key"
    return Mutual(context, files.roots, pair, tmp_path / "client-both")


def test_a_client_certificate_is_shown_to_who_wants_one(
    transport: Transport, mutual: Mutual
) -> None:
    with serving(talk, mutual.server) as server:
        for clients in ((mutual.pair,), ((mutual.both, None),)):
            trust = Trust(cas=(mutual.roots,), clients=clients)
            assert ours(transport, "reg.example", server.port, trust) == ""
        without = ours(transport, "reg.example", server.port, Trust(cas=(mutual.roots,)))
        assert without in (Cause.TLS_FAILING, Cause.RESET)


def test_a_client_certificate_that_cannot_be_read_proves_nothing(
    transport: Transport, mutual: Mutual, tmp_path: Path
) -> None:
    cert, key = mutual.pair
    other = made(LEAF)
    (tmp_path / "other").write_bytes(other.key_pem)
    (tmp_path / "locked").write_bytes(
        other.key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )
    missing = tmp_path / "missing"
    for pair in (
        *((cert, tmp_path / "other"), (cert, tmp_path / "locked"), (cert, None), (cert, missing)),
        *((missing, key), (missing, None), (key, cert), (tmp_path, None)),
    ):
        trust = Trust(cas=(mutual.roots,), clients=(pair,))
        assert ours(transport, "reg.example", 1, trust) == Cause.EGRESS_REFUSED


def test_files_are_read_anew_when_they_change(transport: Transport, tmp_path: Path) -> None:
    good, bad = tmp_path / "good", tmp_path / "bad"
    good.mkdir()
    bad.mkdir()
    files, stranger = files_of(Case(), good), files_of(STRANGER, bad)
    trust = Trust(cas=(tmp_path / "ca.pem",))
    with serving(talk, context_of(files)) as server:
        for content, cause in (
            (stranger.roots.read_bytes(), Cause.CERTIFICATE_UNKNOWN_AUTHORITY),
            (files.roots.read_bytes() + b"\n", ""),
            (b"nothing", Cause.EGRESS_REFUSED),
            (stranger.roots.read_bytes() + files.roots.read_bytes(), ""),
        ):
            trust.cas[0].write_bytes(content)
            assert ours(transport, "reg.example", server.port, trust) == cause
        trust.cas[0].unlink()
        assert ours(transport, "reg.example", server.port, trust) == Cause.EGRESS_REFUSED


def test_several_authorities_are_trusted_beside_each_other(
    transport: Transport, tmp_path: Path
) -> None:
    all_files = []
    for name, case in (("a", Case()), ("b", STRANGER)):
        (tmp_path / name).mkdir()
        all_files.append(files_of(case, tmp_path / name))
    trust = Trust(cas=tuple(files.roots for files in all_files))
    for files in all_files:
        with serving(talk, context_of(files)) as server:
            assert ours(transport, "reg.example", server.port, trust) == ""


def test_there_are_only_so_many_clients_and_none_is_closed_in_use(transport: Transport) -> None:
    started, go_on = threading.Event(), threading.Event()

    def slow(one: Talker) -> None:
        while request := one.hear():
            if b"/slow" in request:
                started.set()
                go_on.wait(20)
            one.say(answer("200 OK", b"ok"))

    def get(path: str, number: int) -> Reply | Trouble:
        trust = Trust(dial_seconds=100.0 + number)
        return transport.send(Ask("GET", server.url(path), limit=10, trust=trust), SOON)

    got: list[Reply | Trouble] = []
    with serving(slow) as server:
        under_way = threading.Thread(target=lambda: got.append(get("/slow", 0)))
        under_way.start()
        assert started.wait(5)
        for number in range(1, MAX_CLIENTS + 10):
            assert isinstance(get("/", number), Reply)
        go_on.set()
        under_way.join(5)
    assert len(transport._clients._kept) == MAX_CLIENTS
    assert isinstance(got[0], Reply)
