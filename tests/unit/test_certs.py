import re
import socket
import ssl
import stat
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from certs.authority import Authority, issue, new_authority
from certs.files import Paths, ensure_self_signed, write_identity
from certs.inspect import UnreadableCertificate, certificate_facts, key_matches, signed_by

NAMES = ["pullproof.pullproof.svc", "localhost", "127.0.0.1", "::1"]


@pytest.fixture(scope="module")
def authority() -> Authority:
    return new_authority()


def handshake(paths: Paths, hostname: str) -> str | None:
    """Return the TLS version that a strict client and a server with this identity agree on."""
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(paths.certificate, paths.key)
    strict = ssl.create_default_context(cafile=str(paths.ca))
    strict.verify_flags |= ssl.VERIFY_X509_STRICT
    here, there = socket.socketpair()
    there.settimeout(5)

    def serve() -> None:
        try:
            with serving.wrap_socket(there, server_side=True):
                pass
        except (ssl.SSLError, OSError):
            there.close()

    server = threading.Thread(target=serve)
    server.start()
    try:
        here.settimeout(5)
        with strict.wrap_socket(here, server_hostname=hostname) as client:
            return client.version()
    finally:
        here.close()
        server.join(5)
        there.close()


@pytest.mark.parametrize("name", NAMES)
def test_a_strict_client_accepts_every_name_that_was_asked_for(
    authority: Authority, tmp_path: Path, name: str
) -> None:
    paths = write_identity(tmp_path, authority.certificate, issue(authority, NAMES))
    assert handshake(paths, name) == "TLSv1.3"


def test_a_strict_client_refuses_a_name_that_was_not_asked_for(
    authority: Authority, tmp_path: Path
) -> None:
    paths = write_identity(tmp_path, authority.certificate, issue(authority, NAMES))
    with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
        handshake(paths, "other.svc")


def test_certificates_start_an_hour_ago_and_last_a_year_and_ten_years() -> None:
    now = datetime(2030, 1, 1, 12, tzinfo=UTC)
    authority = new_authority(now=now)
    leaf = certificate_facts(issue(authority, NAMES, now=now).certificate)
    ca = certificate_facts(authority.certificate)
    assert leaf.not_before == ca.not_before == now - timedelta(hours=1)
    assert leaf.not_after == now + timedelta(days=365)
    assert ca.not_after == now + timedelta(days=3652)


def test_a_leaf_never_outlives_its_authority() -> None:
    authority = new_authority(lifetime=timedelta(days=3))
    leaf = certificate_facts(issue(authority, NAMES).certificate)
    assert leaf.not_after == certificate_facts(authority.certificate).not_after


def test_a_leaf_serves_and_signs_nothing(authority: Authority) -> None:
    leaf = x509.load_pem_x509_certificate(issue(authority, NAMES).certificate)
    usage = leaf.extensions.get_extension_for_class(x509.KeyUsage)
    assert usage.critical
    assert usage.value.digital_signature
    assert not usage.value.key_cert_sign
    assert not leaf.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    eku = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert [purpose.dotted_string for purpose in eku] == ["1.3.6.1.5.5.7.3.1"]


@pytest.mark.parametrize("names", [[], [""], ["a b"], ["bücher.example"], ["a\nb"]])
def test_what_is_no_name_is_refused(authority: Authority, names: list[str]) -> None:
    with pytest.raises(ValueError, match="name"):
        issue(authority, names)


def test_no_private_key_is_ever_printed(authority: Authority) -> None:
    pair = issue(authority, NAMES)
    for holder in (authority, pair):
        assert "PRIVATE" not in repr(holder)
        assert not re.search("key=", repr(holder))


def test_the_facts_of_a_pair_are_read_back(authority: Authority) -> None:
    pair, other = issue(authority, NAMES), issue(authority, NAMES)
    facts = certificate_facts(pair.certificate)
    assert facts.names == tuple(NAMES)
    assert facts.covers(["LOCALHOST", "0:0::1"])
    assert not facts.covers(["localhost", "elsewhere"])
    assert key_matches(pair.certificate, pair.key)
    assert not key_matches(pair.certificate, other.key)
    assert signed_by(pair.certificate, authority.certificate)
    assert not signed_by(pair.certificate, new_authority().certificate)


def test_what_cannot_be_read_is_said_plainly_and_never_quoted(authority: Authority) -> None:
    pair = issue(authority, NAMES)
    with pytest.raises(UnreadableCertificate, match="no PEM certificate"):
        certificate_facts(b"hunter2")
    with pytest.raises(UnreadableCertificate) as caught:
        key_matches(pair.certificate, b"hunter2")
    assert "hunter2" not in str(caught.value)


def test_only_the_owner_may_read_the_key(authority: Authority, tmp_path: Path) -> None:
    paths = write_identity(tmp_path / "new", authority.certificate, issue(authority, NAMES))
    assert stat.S_IMODE(paths.key.stat().st_mode) == 0o600
    assert stat.S_IMODE(paths.certificate.stat().st_mode) == 0o644
    assert sorted(path.name for path in paths.key.parent.iterdir()) == [
        "ca.crt",
        "tls.crt",
        "tls.key",
    ]


def test_a_self_signed_identity_is_used_again_while_it_holds(tmp_path: Path) -> None:
    first = ensure_self_signed(tmp_path, NAMES)
    written = first.certificate.read_bytes()
    again = ensure_self_signed(tmp_path, ["localhost"])
    assert again == first
    assert again.certificate.read_bytes() == written
    assert handshake(again, "localhost") == "TLSv1.3"


def test_a_self_signed_identity_is_issued_anew_when_a_name_is_missing(tmp_path: Path) -> None:
    first = ensure_self_signed(tmp_path, ["localhost"]).certificate.read_bytes()
    paths = ensure_self_signed(tmp_path, ["localhost", "10.0.0.1"])
    assert paths.certificate.read_bytes() != first
    assert certificate_facts(paths.certificate.read_bytes()).covers(["10.0.0.1"])


def test_a_self_signed_identity_is_issued_anew_before_it_expires(tmp_path: Path) -> None:
    then = datetime.now(UTC) - timedelta(days=364, hours=12)
    first = ensure_self_signed(tmp_path, NAMES, now=then).certificate.read_bytes()
    paths = ensure_self_signed(tmp_path, NAMES)
    assert paths.certificate.read_bytes() != first
    assert certificate_facts(paths.certificate.read_bytes()).valid_at(datetime.now(UTC))


@pytest.mark.parametrize("broken", ["ca.crt", "tls.crt", "tls.key"])
def test_a_self_signed_identity_is_issued_anew_when_a_file_is_damaged(
    tmp_path: Path, broken: str
) -> None:
    ensure_self_signed(tmp_path, NAMES)
    (tmp_path / broken).write_bytes(b"half")
    paths = ensure_self_signed(tmp_path, NAMES)
    assert handshake(paths, "localhost") == "TLSv1.3"


def test_a_key_of_another_certificate_is_replaced(tmp_path: Path, authority: Authority) -> None:
    paths = ensure_self_signed(tmp_path, NAMES)
    paths.key.write_bytes(issue(authority, NAMES).key)
    ensure_self_signed(tmp_path, NAMES)
    assert key_matches(paths.certificate.read_bytes(), paths.key.read_bytes())
