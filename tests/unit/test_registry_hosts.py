"""Which hosts a certs.d makes of a registry; the tests against containerd itself say more."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.oracle.hosts_documents import DAMAGED
from tests.unit.pems import CERTIFICATE, KEY, OTHER_KEY, PKCS8_KEY
from webhook.registry import hosts
from webhook.registry.gopem import holds_certificate, is_key_pair
from webhook.registry.hosts import (
    HostsFault,
    RegistryHost,
    is_configured,
    registry_hosts,
)
from webhook.registry.hosts_disk import MOST_BYTES
from webhook.registry.wire import Trust

REGISTRY = "reg.io"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / REGISTRY
    made.mkdir()
    return made


def found(folder: Path, document: str | None = None) -> tuple[RegistryHost, ...]:
    if document is not None:
        (folder / "hosts.toml").write_text(document)
    got = registry_hosts(REGISTRY, folder.parent)
    assert isinstance(got, tuple), got
    return got


def fault(folder: Path, document: str | None = None) -> str:
    if document is not None:
        (folder / "hosts.toml").write_text(document)
    got = registry_hosts(REGISTRY, folder.parent)
    assert isinstance(got, HostsFault), got
    return got.detail


def test_mirrors_come_in_the_files_order_and_the_server_last(folder: Path) -> None:
    document = """
server = "https://upstream.io"
[host."https://b.mirror:5000/proxy"]
capabilities = ["pull"]
[host."http://a.mirror"]
"""
    assert found(folder, document) == (
        RegistryHost("https", "b.mirror:5000", "/proxy/v2", can_resolve=False, own=False),
        RegistryHost("http", "a.mirror", "/v2", own=False),
        RegistryHost("https", "upstream.io", "/v2", own=False),
    )


def test_a_file_without_server_ends_at_the_registry_itself(folder: Path) -> None:
    *mirrors, last = found(folder, '[host."https://mirror"]\noverride_path = true')
    assert mirrors == [RegistryHost("https", "mirror", "", own=False)]
    assert last == RegistryHost("https", REGISTRY, "/v2")


def test_there_is_always_a_host(folder: Path) -> None:
    assert (
        found(folder, "") == found(folder, "# nothing") == (RegistryHost("https", REGISTRY, "/v2"),)
    )
    assert registry_hosts(REGISTRY, None) == found(folder)


def test_trust_is_what_the_file_says_of_each_host(folder: Path) -> None:
    for name, content in {"ca.pem": CERTIFICATE, "c.pem": CERTIFICATE, "k.pem": KEY}.items():
        (folder / name).write_bytes(content)
    document = """
dial_timeout = "1m30s"
[host."https://a"]
ca = ["ca.pem", "sub/../ca.pem"]
client = [["c.pem", "k.pem"]]
[host."http://b"]
skip_verify = true
[host."http://c:80"]
skip_verify = true
"""
    ca = folder / "ca.pem"
    a, b, c, last = found(folder, document)
    assert a.trust == Trust(cas=(ca, ca), clients=((folder / "c.pem", folder / "k.pem"),))
    assert (b.scheme, b.fall_back, b.trust) == ("https", True, Trust(verify=False))
    assert (c.scheme, c.fall_back) == ("http", False)
    assert last.trust == Trust(dial_seconds=90.0)


@pytest.mark.parametrize(("text", "seconds"), [("0", None), ("-3s", -3.0), ("1.5ms", 0.0015)])
def test_a_timeout_of_nothing_is_none_and_one_that_is_over_stays_so(
    folder: Path, text: str, seconds: float | None
) -> None:
    assert found(folder, f'dial_timeout = "{text}"')[0].trust.dial_seconds == seconds


def test_headers_lose_the_blanks_around_their_values_as_go_writes_them(folder: Path) -> None:
    document = '[header]\nx-team = " \\tlab team  "\n'
    assert found(folder, document)[0].headers == (("x-team", "lab team"),)


def test_headers_keep_their_order_and_are_not_printed(folder: Path) -> None:
    document = '[host.m.header]\nX-Token = "s3cret"\na = ["1", "2"]\n'
    mirror = found(folder, document)[0]
    assert mirror.headers == (("X-Token", "s3cret"), ("a", "1"), ("a", "2"))
    assert "s3cret" not in repr(found(folder))


@pytest.mark.parametrize(
    ("document", "told"),
    [
        ('ca = "absent.pem"', "No such file or directory"),
        ('ca = "hosts.toml"', "no certificate in the CA file"),
        ('client = "pair.pem"', "no certificate with its key in"),
        ('ca = "a\\u0000b"', "Invalid argument"),
        ('ca = "pipe"', "a pipe, not a file"),
    ],
)
def test_what_containerd_cannot_load_is_told_without_its_content(
    folder: Path, document: str, told: str
) -> None:
    (folder / "pair.pem").write_bytes(CERTIFICATE + OTHER_KEY)
    os.mkfifo(folder / "pipe")
    detail = fault(folder, document)
    assert told in detail
    assert "-----" not in detail
    assert "\n" not in detail


@pytest.mark.parametrize(
    "document", ["capabilities = 1", "[", "\0", 'x = "' + "\u00e9" * MOST_BYTES + '"']
)
def test_a_refused_file_leaves_the_certificate_files(folder: Path, document: str) -> None:
    (folder / "a.crt").write_bytes(CERTIFICATE)
    (folder / "a.cert").write_bytes(CERTIFICATE)
    (folder / "a.key").write_bytes(PKCS8_KEY)
    (host,) = found(folder, document)
    assert host.own
    assert host.trust == Trust(
        cas=(folder / "a.crt",), clients=((folder / "a.cert", folder / "a.key"),)
    )


@settings(max_examples=300, deadline=None)
@given(DAMAGED | st.binary(max_size=60))
def test_no_bytes_raise(tmp_path_factory: pytest.TempPathFactory, document: bytes) -> None:
    """Any error of a file is "containerd takes no notice of it"; none is ours."""
    root = tmp_path_factory.getbasetemp()
    (root / REGISTRY).mkdir(exist_ok=True)
    (root / REGISTRY / "hosts.toml").write_bytes(document)
    assert registry_hosts(REGISTRY, root)


# -- read again when something has changed -------------------------------------------------------


def test_a_changed_file_counts_at_once(folder: Path) -> None:
    assert found(folder, 'server = "https://a.io"')[0].host == "a.io"
    assert found(folder, 'server = "https://b.io"')[0].host == "b.io"
    (folder / "hosts.toml").unlink()
    assert found(folder)[0].host == REGISTRY


def test_a_swapped_config_map_counts_at_once(folder: Path) -> None:
    for name in ("..1", "..2"):
        (folder / name).mkdir()
        (folder / name / "hosts.toml").write_text(f'server = "https://{name[2:]}.io"')
    (folder / "..data").symlink_to("..1")
    (folder / "hosts.toml").symlink_to("..data/hosts.toml")
    assert found(folder)[0].host == "1.io"
    (folder / "..new").symlink_to("..2")
    (folder / "..new").rename(folder / "..data")
    assert found(folder)[0].host == "2.io"


def test_a_changed_ca_counts_at_once(folder: Path) -> None:
    (folder / "ca.pem").write_bytes(CERTIFICATE)
    assert found(folder, 'ca = "ca.pem"')
    (folder / "ca.pem").write_bytes(b"")
    assert fault(folder)
    (folder / "ca.pem").write_bytes(CERTIFICATE)
    assert found(folder)


def test_a_new_certificate_file_and_a_new_folder_count_at_once(tmp_path: Path) -> None:
    (tmp_path / "_default").mkdir()
    assert registry_hosts(REGISTRY, tmp_path) == registry_hosts(REGISTRY, None)
    (tmp_path / "_default" / "a.crt").write_bytes(CERTIFICATE)
    (default,) = found(tmp_path / REGISTRY)
    assert default.trust.cas == (tmp_path / "_default" / "a.crt",)
    (tmp_path / REGISTRY).mkdir()
    assert found(tmp_path / REGISTRY) == registry_hosts(REGISTRY, None)


def test_an_unchanged_file_is_not_read_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = found(folder, 'server = "https://a.io"')
    monkeypatch.setattr(hosts, "parse_hosts_file", None)
    assert found(folder) is first


def test_what_is_remembered_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    memory = hosts._Memory()
    monkeypatch.setattr(hosts, "_REMEMBERED", memory)
    for number in range(hosts.MOST_REMEMBERED + 5):
        registry_hosts(f"r{number}.io", tmp_path)
    assert len(memory._found) == hosts.MOST_REMEMBERED


# -- whether a registry was had in mind ----------------------------------------------------------


def test_a_folder_of_its_own_means_that_a_registry_is_known(folder: Path) -> None:
    assert is_configured(REGISTRY, folder.parent)
    assert not is_configured("other.io", folder.parent)
    assert not is_configured(REGISTRY, None)


def test_the_default_folder_means_it_where_it_names_a_host(tmp_path: Path) -> None:
    (tmp_path / "_default").mkdir()
    assert not is_configured(REGISTRY, tmp_path)
    (tmp_path / "_default" / "hosts.toml").write_text("[host.mirror]")
    assert is_configured(REGISTRY, tmp_path)


# -- PEM files -----------------------------------------------------------------------------------

LOADED = load_pem_private_key(KEY, None)
ENCRYPTED = LOADED.private_bytes(
    Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")
)
ED25519 = ed25519.Ed25519PrivateKey.generate().private_bytes(
    Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
)


@pytest.mark.parametrize(
    ("key", "fits"),
    [
        *((KEY, True), (PKCS8_KEY, True), (b"text\n" + KEY, True), (CERTIFICATE + KEY, True)),
        *(
            (OTHER_KEY, False),
            (ED25519, False),
            (ENCRYPTED, False),
            (CERTIFICATE, False),
            (b"", False),
        ),
        *((KEY + OTHER_KEY, True), (OTHER_KEY + KEY, False), (KEY.replace(b"EC ", b""), True)),
    ],
)
def test_a_key_fits_its_certificate_alone(key: bytes, *, fits: bool) -> None:
    assert is_key_pair(CERTIFICATE, key) is fits
    assert not is_key_pair(b"", key)


@pytest.mark.parametrize(
    ("pem", "holds"),
    [
        (CERTIFICATE, True),
        (b"subject=x\n" + CERTIFICATE.replace(b"\n", b" \r\n"), True),
        (KEY + CERTIFICATE, True),
        (b"-----BEGIN CERTIFICATE-----\n" + CERTIFICATE, True),
        (CERTIFICATE.replace(b"-----\n", b"-----\nA: b\n\n", 1), False),
        (b" " + CERTIFICATE, False),
        (CERTIFICATE.replace(b"-----END", b"----END"), False),
        (CERTIFICATE.replace(b"CERTIFICATE", b"TRUSTED CERTIFICATE"), False),
        (b"-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n", False),
        (KEY, False),
        (b"", False),
    ],
)
def test_a_ca_file_holds_a_certificate_or_is_of_no_use(pem: bytes, *, holds: bool) -> None:
    assert holds_certificate(pem) is holds
