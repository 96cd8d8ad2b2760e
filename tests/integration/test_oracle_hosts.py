"""Our reading of a certs.d is containerd's, whatever stands in it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.oracle.hosts import HostsOracle, our_hosts
from tests.oracle.hosts_documents import DAMAGED, DOCUMENTS, FILES, REGISTRIES
from tests.parts.sight import locate_in_sight
from tests.unit.pems import CERTIFICATE, KEY, OTHER_KEY
from webhook.registry.godata import parse_duration

REGISTRY = "reg.io:5000"


@pytest.fixture(scope="module")
def containerd(pytestconfig: pytest.Config) -> Iterator[HostsOracle]:
    locate_in_sight(pytestconfig, ["hostsoracle"])
    with HostsOracle() as running:
        yield running


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("certs.d")


class Folder:
    """A registry's folder, with certificates that count once the hosts.toml is refused."""

    def __init__(self, root: Path, registry: str = REGISTRY) -> None:
        self.root = root
        self.registry = registry
        self.path = root / registry
        if not self.path.exists():
            self.path.mkdir()
            contents = CERTIFICATE, CERTIFICATE, KEY, CERTIFICATE + KEY
            for name, content in zip(FILES, contents, strict=True):
                (self.path / name).write_bytes(content)
            (self.path / "fallen-back.crt").write_bytes(CERTIFICATE)
            (self.path / "other-key.pem").write_bytes(OTHER_KEY)

    def write(self, document: bytes) -> None:
        (self.path / "hosts.toml").write_bytes(document)

    def agrees(self, containerd: HostsOracle) -> None:
        theirs = containerd.hosts(self.registry, self.root)
        assert our_hosts(self.registry, self.root) == theirs


@settings(max_examples=500, deadline=None)
@given(registry=REGISTRIES, document=DOCUMENTS)
def test_any_file_is_read_as_containerd_reads_it(
    containerd: HostsOracle, root: Path, registry: str, document: bytes
) -> None:
    """`ConfigureHosts`: the same hosts in the same order, or the same certificates alone."""
    folder = Folder(root, registry)
    folder.write(document)
    folder.agrees(containerd)


@settings(max_examples=500, deadline=None)
@given(registry=REGISTRIES, document=DAMAGED)
def test_a_damaged_file_is_refused_where_containerd_refuses_it(
    containerd: HostsOracle, root: Path, registry: str, document: bytes
) -> None:
    """`parseHostsFile`: any error at all, and the whole file counts for nothing."""
    folder = Folder(root, registry)
    folder.write(document)
    folder.agrees(containerd)


DEEP = 3000
TABLE = {
    "empty": "",
    "blank": "\n",
    "a byte order mark": '\ufeffserver = "https://a.io"',
    "no server": '[host."https://a.io"]',
    "subtable first": '[host."https://a.io".header]\nA = "b"\n[host."https://a.io"]\nca = "ca.pem"',
    "a host that comes back": '[host."a.io"]\n[host."b.io"]\n[host."a.io".header]\nX = "y"',
    "the empty host first": '[host.""]\n[host."a.io"]',
    "the empty host second": '[host."a.io"]\n[host.""]',
    "dotted keys name no host": 'host."a.io".skip_verify = true',
    "inline tables name no host": 'host = { "a.io" = { skip_verify = true } }',
    "under [host] too": '[host]\n"a.io" = { skip_verify = true }\n"b.io".ca = []',
    "a header after dotted keys": 'host."a.io".ca = []\n[host."a.io".header]\nA = "b"',
    "a table after dotted keys": 'host."a.io".ca = []\n[host."a.io"]',
    "capitals": '[HOST."a.io"]\nSKIP_VERIFY = true\n[host."b.io"]\nSkip_Verify = true',
    "capitals make another key": '[host."a.io"]\nca = "nope"\nCA = "ca.pem"',
    "the Kelvin sign": '[host."a.io"]\n"s\u212aip_verify" = true',
    "a dotless capital": '[host."a.io"]\n"cl\u0130ent" = "both.pem"',
    "another table": '[hosts."a.io"]\n[host."b.io"]',
    "an array of tables": "[[host]]\nx = 1",
    "an array of unknown tables": "[[unknown]]\nx = 1\n[[unknown]]\nx = 1",
    "an array of hosts": '[[host."a.io"]]',
    "a host that is text": '[host]\n"a.io" = "b.io"',
    "a server that is a number": "server = 5",
    "a server of capitals": 'SERVER = "https://a.io"',
    "an unknown capability": '[host."a.io"]\ncapabilities = ["pull", "delete"]',
    "an unknown capability of no listed host": 'host."a.io".capabilities = ["delete"]',
    "capabilities as text": 'capabilities = "pull"',
    "capabilities of the server": 'server = "https://a.io"\ncapabilities = ["resolve"]',
    "capabilities of nobody": 'capabilities = ["push"]',
    "an impossible date, unknown": "built = 2024-02-31\n[host.x]",
    "an impossible date, unlisted": "host.x.ca = 2024-02-31\n[host.y]",
    "a possible date, unlisted": "host.x.ca = 2024-02-29\n[host.y]",
    "a large number, unknown": "n = 123456789012345678901234567890\n[host.y]",
    "a large number, unlisted": "host.x.ca = 123456789012345678901234567890\n[host.y]",
    "seconds left out": "at = 12:30\n[host.y]",
    "escapes of TOML 1.1": 'server = "https:\\x2f\\x2fa.io"',
    "lines in inline tables": '[host."a.io"]\nheader = {\n A = "b", # c\n}',
    "keys that stand twice": "unknown = 1\nunknown = 2",
    "tables that stand twice": '[host."a.io"]\n[host."a.io"]',
    "deeply nested": "x = " + "[" * DEEP + "]" * DEEP + '\n[host."a.io"]',
    "deeply nested tables": "x = " + "{a=" * DEEP + "1" + "}" * DEEP + '\n[host."a.io"]',
    "too deeply nested": "x = " + "[" * 10_001 + "]" * 10_001 + '\n[host."a.io"]',
    "as deep as it goes": "x = " + "[" * 10_000 + "]" * 10_000 + '\n[host."a.io"]',
    "no newline behind a table": '[host."a.io"] skip_verify = true',
    "a lone carriage return": '[host."a.io"]\rskip_verify = true',
    "http with TLS": '[host."http://a.io"]\nskip_verify = false',
    "http with an empty list of CAs": '[host."http://a.io"]\nca = []',
    "http with an empty list of clients": '[host."http://a.io"]\nclient = []',
    "http with TLS on port 80": '[host."http://a.io:80"]\nskip_verify = true',
    "override_path": '[host."https://a.io/x/"]\noverride_path = true\n[host."b.io"]\n'
    "override_path = true",
    "a key of another certificate": '[host."a.io"]\nclient = [["cert.pem", "other-key.pem"]]',
    "a key alone": '[host."a.io"]\nclient = "key.pem"',
    "files in the wrong order": '[host."a.io"]\nclient = [["key.pem", "cert.pem"]]',
    "a CA without certificate": 'ca = "key.pem"',
    "a CA that is a folder": 'ca = ""',
    "a path with a NUL": 'ca = "a\\u0000b"',
    "a path through parents": 'ca = "x/../ca.pem"',
    "headers": '[host."a.io".header]\nb = ["c", "d"]\nB = "e"\nempty = []',
    "a header that is a table": '[host."a.io".header.x]\ny = "z"',
    "a timeout of another tongue": 'dial_timeout = "1 second"',
}


@pytest.mark.parametrize("document", TABLE.values(), ids=TABLE.keys())
@pytest.mark.parametrize("registry", [REGISTRY, "localhost:5000"])
def test_every_quirk_of_the_table_is_containerds(
    containerd: HostsOracle, root: Path, registry: str, document: str
) -> None:
    folder = Folder(root, registry)
    folder.write(document.encode())
    folder.agrees(containerd)


URLS = [
    *("a.io", "a.io/", "a.io/v2", "a.io/v2/", "a.io/x/v2", "a.io//x", "a.io/./x/..", "a.io/xv2"),
    *(
        "https://a.io",
        "http://a.io:80",
        "HTTPS://a.io",
        "httpS://A.io",
        "https:a.io",
        "https:/a.io",
    ),
    *("http", "https://", "https:///x", "httpbin.local", "httpbin.local:5000", "httpbin/x?y#z"),
    *("http_x:5", "https://u:p@a.io", "https://u@v@a.io", "https://[::1]:5000", "https://[::1"),
    *(
        "[fe80::1%25eth0]:5",
        "a.io:",
        "a.io:x",
        "a.io:99999",
        "a:b:5",
        "a.io?x=y",
        "a.io#x",
        "a.io#%",
    ),
    *(
        "a.io/%2e%2e/x",
        "a.io/%2fx",
        "a.io/%zz",
        "a.io/%ff",
        "a%20b",
        "a%ffb",
        "a b",
        "a\tb",
        "\u00e9",
    ),
    *("https://a.io/../..", "unix:///run/x", "http+unix://a/b", "//a.io", "/a", "?", "#", "\x7f"),
]


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(URLS) | st.text("htps:/?#[]@%25ae.1v\\ \u00e9", max_size=16), st.booleans())
def test_any_url_of_a_host_is_read_as_containerd_reads_it(
    containerd: HostsOracle, root: Path, url: str, is_whole: bool
) -> None:
    """`parseHostConfig`: whatever begins with `http` is a URL, all else follows https://."""
    escaped = "".join(f"\\u{ord(character):04x}" for character in url)
    folder = Folder(root)
    folder.write(f'[host."{escaped}"]\noverride_path = {str(is_whole).lower()}'.encode())
    folder.agrees(containerd)


@settings(max_examples=500, deadline=None)
@given(
    st.lists(
        st.from_regex(r"[0-9]{0,22}(\.[0-9]{0,25})?", fullmatch=True)
        | st.sampled_from(
            ["ns", "us", "\u00b5s", "\u03bcs", "ms", "s", "m", "h", "d", " ", "-", "+"]
        ),
        max_size=7,
    ).map("".join)
    | st.sampled_from(["9223372036854775807ns", "9223372036854775808ns", "-9223372036854775808ns"])
    | st.sampled_from(["0", "+0", "-0", "00", "", "-", ".5s", "1.s", ".s", "1h-1m", "2562048h"])
    | st.sampled_from(["0." + "0" * 400 + "1h", "1." + "9" * 400 + "s", "0" * 5000 + "1s"])
)
def test_any_timeout_is_what_gos_parse_duration_makes_of_it(
    containerd: HostsOracle, text: str
) -> None:
    theirs = containerd.duration(text)
    assert parse_duration(text) == (None if theirs is None else theirs / 1e9)


# -- what is looked up, and in what order --------------------------------------------------------

NAMES = ["reg.io:5000", "reg.io_5000_", "_default", "reg.io", "reg.io_5000"]


@settings(max_examples=100, deadline=None)
@given(
    st.sets(st.sampled_from(NAMES)),
    st.sampled_from(["reg.io:5000", "reg.io", "other.io", "localhost:5000"]),
)
def test_the_folder_is_the_one_that_containerd_takes(
    containerd: HostsOracle,
    tmp_path_factory: pytest.TempPathFactory,
    names: set[str],
    registry: str,
) -> None:
    """`HostDirFromRoot`: `host_port_`, `host:port`, then `_default`; never two."""
    root = tmp_path_factory.mktemp("names")
    for name in names:
        (root / name).mkdir()
        (root / name / "hosts.toml").write_text(f'server = "https://{name}.folder"')
    assert our_hosts(registry, root) == containerd.hosts(registry, root)
    shutil.rmtree(root)


@settings(max_examples=150, deadline=None)
@given(
    st.sets(
        st.sampled_from(
            ["a.crt", "B.crt", "b.crt.bak", ".crt", "c.cert", "c.key", "d.cert", ".cert"]
        )
        | st.sampled_from(["d.key/", "e.crt/", "f.cert/", "hosts.toml", "link.crt", "ca.pem"])
    ),
    st.sampled_from([CERTIFICATE, CERTIFICATE + KEY, b""]),
)
def test_certificate_files_count_where_no_file_names_hosts(
    containerd: HostsOracle,
    tmp_path_factory: pytest.TempPathFactory,
    names: set[str],
    content: bytes,
) -> None:
    """`loadCertFiles`: `.crt` are CAs, `.cert` our own, each with the `.key` of its name."""
    root = tmp_path_factory.mktemp("certificates")
    folder = root / "reg.io"
    folder.mkdir()
    for name in names:
        if name.endswith("/"):
            (folder / name).mkdir()
        elif name == "link.crt":
            (folder / name).symlink_to("ca.pem")
        else:
            (folder / name).write_bytes(
                KEY if name.endswith(".key") else b"" if name == "hosts.toml" else content
            )
    assert our_hosts("reg.io", root) == containerd.hosts("reg.io", root)
    shutil.rmtree(root)


def _nothing(root: Path) -> None:
    root.rmdir()


def _a_file(root: Path) -> None:
    root.rmdir()
    root.write_text("")


def _a_folder_that_is_a_file(root: Path) -> None:
    (root / "reg.io").write_text("")


def _a_hosts_file_that_is_a_folder(root: Path) -> None:
    (root / "reg.io" / "hosts.toml").mkdir(parents=True)


def _a_loop(root: Path) -> None:
    (root / "reg.io").symlink_to("reg.io")


def _a_dangling_folder(root: Path) -> None:
    (root / "reg.io").symlink_to("nowhere")


def _a_dangling_file(root: Path) -> None:
    (root / "reg.io").mkdir()
    (root / "reg.io" / "hosts.toml").symlink_to("nowhere")


def _a_loop_of_a_file(root: Path) -> None:
    (root / "reg.io").mkdir()
    (root / "reg.io" / "hosts.toml").symlink_to("hosts.toml")


def _a_config_map(root: Path) -> None:
    (root / "reg.io" / "..data").mkdir(parents=True)
    (root / "reg.io" / "..data" / "hosts.toml").write_text('[host."a.io"]')
    (root / "reg.io" / "hosts.toml").symlink_to("..data/hosts.toml")


def _a_mask(root: Path) -> None:
    (root / "reg.io").mkdir()
    (root / "reg.io" / "hosts.toml").symlink_to(os.devnull)


@pytest.mark.parametrize(
    "made",
    [
        *(_nothing, _a_file, _a_folder_that_is_a_file, _a_hosts_file_that_is_a_folder, _a_loop),
        *(_a_dangling_folder, _a_dangling_file, _a_loop_of_a_file, _a_config_map, _a_mask),
    ],
)
@pytest.mark.parametrize("registry", ["reg.io", "docker.io", "a" * 300, "reg.io\0"])
def test_odd_folders_are_what_they_are_to_containerd(
    containerd: HostsOracle, tmp_path: Path, registry: str, made: Callable[[Path], None]
) -> None:
    root = tmp_path / "certs.d"
    root.mkdir()
    made(root)
    assert our_hosts(registry, root) == containerd.hosts(registry, root)


@settings(max_examples=100, deadline=None)
@given(
    st.from_regex(
        r"(localhost|127(\.[0-9]{1,3}){3}|[a-z]{1,4}(\.io)?|\[[0-9a-f:]{2,9}\])(:[0-9]{1,5})?",
        fullmatch=True,
    )
    | REGISTRIES
    | st.sampled_from(["127.1.2.3:443", "[::ffff:127.0.0.1]:80", "[::1]", "localhost:0443"])
)
def test_without_a_folder_the_defaults_are_containerds(
    containerd: HostsOracle, registry: str
) -> None:
    assert our_hosts(registry, None) == containerd.hosts(registry, None)
