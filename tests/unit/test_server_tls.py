import logging
import os
import socket
import ssl
from pathlib import Path

import pytest

from certs.authority import Authority, issue, new_authority
from certs.files import Paths, write_identity
from certs.inspect import certificate_facts
from webhook.server.logs import OneLine, fault
from webhook.server.settings import CannotStart
from webhook.server.tls import BoundedSocket, Identity


@pytest.fixture(scope="module")
def authority() -> Authority:
    return new_authority()


@pytest.fixture
def paths(authority: Authority, tmp_path: Path) -> Paths:
    return write_identity(tmp_path, authority.certificate, issue(authority, ["one.svc"]))


def shown(identity: Identity) -> tuple[str, ...]:
    """Return the names in the certificate that a peer is shown."""
    here, there = socket.socketpair()
    trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    here.setblocking(False)
    there.setblocking(False)
    server = identity.wrap(there)
    client = trusting.wrap_socket(here, do_handshake_on_connect=False)
    with server, client:
        assert isinstance(server, BoundedSocket)
        for _ in range(4):
            for side in (client, server):
                try:
                    side.do_handshake()
                except ssl.SSLWantReadError:
                    continue
        certificate = client.getpeercert(binary_form=True)
    assert certificate is not None
    return certificate_facts(ssl.DER_cert_to_PEM_cert(certificate).encode()).names


def test_a_new_pair_is_used_with_no_signal(authority: Authority, paths: Paths) -> None:
    identity = Identity(paths.certificate, paths.key)
    assert shown(identity) == ("one.svc",)
    write_identity(paths.ca.parent, authority.certificate, issue(authority, ["two.svc"]))
    assert shown(identity) == ("two.svc",)


def test_a_half_written_pair_leaves_the_last_good_one_and_one_line(
    authority: Authority, paths: Paths, caplog: pytest.LogCaptureFixture
) -> None:
    identity = Identity(paths.certificate, paths.key)
    two = issue(authority, ["two.svc"])
    paths.certificate.write_bytes(two.certificate)
    for _ in range(3):
        assert shown(identity) == ("one.svc",)
    assert len(caplog.records) == 1
    assert "does not belong to" in caplog.text
    paths.key.write_bytes(two.key)
    assert shown(identity) == ("two.svc",)


@pytest.mark.parametrize("content", [b"", b"half", b"-----BEGIN CERTIFICATE-----\nMII"])
def test_damaged_files_leave_the_last_good_pair(paths: Paths, content: bytes) -> None:
    identity = Identity(paths.certificate, paths.key)
    for path in (paths.certificate, paths.key):
        path.write_bytes(content)
        assert shown(identity) == ("one.svc",)


def test_files_that_vanish_and_come_back_cost_nothing(
    authority: Authority, paths: Paths, caplog: pytest.LogCaptureFixture
) -> None:
    identity = Identity(paths.certificate, paths.key)
    paths.key.unlink()
    assert shown(identity) == shown(identity) == ("one.svc",)
    assert len(caplog.records) == 1
    write_identity(paths.ca.parent, authority.certificate, issue(authority, ["two.svc"]))
    assert shown(identity) == ("two.svc",)


def test_a_folder_that_is_swapped_as_the_kubelet_does_is_followed(
    authority: Authority, tmp_path: Path
) -> None:
    for name in ("one", "two"):
        write_identity(
            tmp_path / f"..{name}", authority.certificate, issue(authority, [f"{name}.svc"])
        )
    data = tmp_path / "..data"
    data.symlink_to("..one")
    identity = Identity(data / "tls.crt", data / "tls.key")
    assert shown(identity) == ("one.svc",)
    (tmp_path / "new").symlink_to("..two")
    os.replace(tmp_path / "new", data)  # noqa: PTH105  # the very call that is meant
    assert shown(identity) == ("two.svc",)


def test_a_start_without_a_usable_pair_says_why(authority: Authority, paths: Paths) -> None:
    with pytest.raises(CannotStart, match=r"absent\.crt: No such file"):
        Identity(paths.ca.parent / "absent.crt", paths.key)
    paths.key.write_bytes(issue(authority, ["two.svc"]).key)
    with pytest.raises(CannotStart, match=r"the key in .* does not belong to"):
        Identity(paths.certificate, paths.key)
    paths.certificate.write_bytes(b"hunter2")
    with pytest.raises(CannotStart, match="no usable certificate") as caught:
        Identity(paths.certificate, paths.key)
    assert "hunter2" not in str(caught.value)


def test_a_log_line_is_one_line_and_an_exception_leaves_no_words() -> None:
    try:
        raise ValueError("password hunter2")
    except ValueError as error:
        assert fault(error).startswith("ValueError at test_server_tls.py:")
        record = logging.LogRecord(
            "x", logging.ERROR, "f.py", 1, "a\nb %s", ("\x1b[2J",), (ValueError, error, None)
        )
        line = OneLine().format(record)
    assert line.endswith("ERROR a\\x0ab \\x1b[2J: ValueError at test_server_tls.py:" + line[-3:])
    assert "\n" not in line
    assert "hunter2" not in line
