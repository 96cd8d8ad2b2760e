"""Generated `hosts.toml` files: plausible, odd, broken and hostile ones."""

from __future__ import annotations

from hypothesis import strategies as st

FILES = ("ca.pem", "cert.pem", "key.pem", "both.pem")
"""The files that a generated document may name; the folder should hold them."""

REGISTRIES = st.sampled_from(
    ["docker.io", "reg.io", "localhost:5000", "localhost:80", "127.0.0.1", "[::1]:443"]
)

HOSTS = st.sampled_from(
    [
        *('"https://a.io"', '"b.io:5000"', "'http://c.io'", '""', "x", '"http://d.io:80/p"', "b"),
        *('"httpbin.local"', '"httpbin:80"', "localhost", '"https://e.io/v2/"', '"https://e.io/"'),
        *('"//q"', '"[::1]:5"', '"http://u:p@f.io"', '"https://%zz"', '"a b"', '"a.io#%z"'),
        *(
            '"http://x.io:70000"',
            '"\\u00e9.io"',
            '"http:/z"',
            '"HTTP://x"',
            '"https://f.io/a/../b"',
        ),
    ]
)
FIELDS = st.sampled_from(
    [
        *('capabilities = ["pull"]', 'capabilities = ["Pull", "push"]', 'capabilities = ["bad"]'),
        *("capabilities = []", "skip_verify = true", "Skip_Verify = false", "override_path = true"),
        *(
            'ca = "ca.pem"',
            "ca = ['ca.pem']",
            "ca = []",
            'ca = "/nope"',
            'ca = "key.pem"',
            "ca = 1",
        ),
        *('client = "both.pem"', 'client = [["cert.pem", "key.pem"], "both.pem"]', "client = []"),
        *('client = ["cert.pem", "key.pem"]', 'client = [["cert.pem"]]', 'header = {A = "b"}'),
        *('header.Z = ["q", "r"]', "header = {A = 1}", 'dial_timeout = "3s"', 'dial_timeout = "3"'),
        *("unknown = 2020-99-99", "unknown = 99999999999999999999", "unknown = {a = 1, a = 2}"),
        *('override_path = "yes"', "server.x = 1", "ca.x = 1"),
    ]
)
NAMES = st.sampled_from(
    [
        *("host", "HOST", "Host", '"h\\u006fst"', '"ho\u212ast"', "server", "Server", "ca", "CA"),
        *("client", "skip_verify", '"s\u212aIP_verify"', "header", "HEADER", "capabilities"),
        *('"cl\u0130ent"', "override_path", "dial_timeout", "unknown", "a", "''"),
    ]
)
SCALARS = st.sampled_from(
    [
        *('"pull"', '"ca.pem"', "true", "false", "tru", "1", "01", "+5", "1_000", "1__0", "0x1F"),
        *("9223372036854775807", "9223372036854775808", "-9223372036854775808", "1e5", "1e999"),
        *(
            "inf",
            "+nan",
            "1.",
            "2020-01-01",
            "2021-02-29",
            "0000-02-29",
            "12:30",
            "12:61",
            "1" * 5000,
        ),
        *("2020-01-01T12:30", "2020-01-01 12:30:00Z", "2020-01-01T00:00:00+24:00", "12:30:00.1"),
        *(
            "'''a\nb'''",
            '"""q\\\n   z"""',
            '"\\e\\x41"',
            '"\\ud800"',
            '""',
            '"""a""""',
            '"""a"""""',
        ),
        *(
            '"""a""""""',
            "''''x'''''",
            '"\\q"',
            '"\t"',
            '"\x7f"',
            '"\u00e9"',
            '"""\\ \r\n"""',
            '"10s"',
        ),
    ]
)
KEYS = st.lists(NAMES | HOSTS, min_size=1, max_size=4).map(" .".join)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda values: f"[{', '.join(values)}]")
        | st.lists(inner, min_size=1, max_size=2).map(
            lambda values: "[" + ",#c\n".join(values) + ",\n]"
        )
        | st.lists(st.tuples(KEYS, inner), max_size=2).map(
            lambda pairs: "{" + ",".join(f"{key}={value}" for key, value in pairs) + "}"
        )
    ),
    max_leaves=5,
)
HEADERS = (
    HOSTS.map("[host.{}]".format)
    | st.tuples(HOSTS, NAMES).map(lambda parts: f"[host.{parts[0]}.{parts[1]}]")
    | st.sampled_from(["[host]", "[header]"])
    | KEYS.map("[{}]".format)
    | KEYS.map("[[{}]]".format)
)
LINES = (
    HEADERS
    | FIELDS
    | HOSTS.map("server = {}".format)
    | st.tuples(HOSTS, FIELDS).map(lambda parts: f"host.{parts[0]} = {{ {parts[1]} }}")
    | st.tuples(HOSTS, FIELDS).map(lambda parts: f"host = {{ {parts[0]} = {{ {parts[1]} }} }}")
)
ODD_LINES = LINES | st.tuples(KEYS, VALUES).map(" = ".join)


def _joined(lines: st.SearchStrategy[str]) -> st.SearchStrategy[bytes]:
    return st.tuples(st.lists(lines, max_size=8), st.sampled_from(["\n", "\r\n", "\n# c\n"])).map(
        lambda parts: parts[1].join(parts[0]).encode()
    )


def _damaged(document: bytes, at: int, left_out: int, put_in: bytes) -> bytes:
    at %= len(document) + 1
    return document[:at] + put_in + document[at + left_out :]


DOCUMENTS = _joined(LINES) | _joined(ODD_LINES)
DAMAGED = st.builds(
    _damaged,
    DOCUMENTS,
    st.integers(0, 1000),
    st.integers(0, 3),
    st.binary(max_size=2)
    | st.sampled_from([b'"', b"'", b'"""', b"[", b"]", b"{", b"}", b",", b"=", b".", b"\r", b"#"])
    | st.sampled_from([b"\\", b"\x00", b"\xef\xbb\xbf", b"\xed\xa0\x80", b"_", b"\n\n", b" "]),
)
