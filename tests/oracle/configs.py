"""Docker configs as people and attackers write them, for asking two decoders the same."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Sequence

from hypothesis import strategies as st

from tests.oracle import DOCKER_CONFIG_JSON, DOCKERCFG, PullSecret

SCHEMES = st.sampled_from(
    [
        "",
        "",
        "",
        "",
        "https://",
        "http://",
        "HTTPS://",
        "oci://",
        "//",
        "https:",
        "https:///",
        "*://",
    ]
)
USERS = st.sampled_from(["", "", "", "", "", "u@", "u:p@", "@", "u%40@", "ü@", "u@v@", "%@", "[@"])
LABELS = st.sampled_from(
    ["r", "example", "com", "docker", "io", "index", "*", "r*", "**", "*r*", "e*e", "R", "", "a_b"]
)
HOSTS = st.one_of(
    st.sampled_from(
        [
            *("r.example.com", "*.example.com", "docker.io", "index.docker.io", "*.*", "*.*.*"),
            *("registry-1.docker.io", "localhost", "127.*.*.*", "127.0.0.1", "*", "*.docker.io"),
            *("[r]eg.example.com", "r?g.example.com", " r.example.com", "r.example.com ", "MYHOST"),
            *("r%2eexample.com", "%72.example.com", "r.ex%C3%A4mple.com", "ä.io", "r.io\n", "A"),
            *("a<b>.io", 'a"b.io', "a`b.io", "a^b.io", "a{b}.io", "a|b.io", "a,b.io", "%25.io"),
            *("r.example.com.", "r\\.io"),
        ]
    ),
    st.sampled_from(
        [
            *("[::1]", "[::A]", "[fe80::1%25eth0]", "[fe80::1%2525A-Z]", "[::1%25]", "[::1", "::1"),
            *("[1.2.3.4]", "[::ffff:1.2.3.4]", "[::1]x", "[x]", "[]", "[::1%25%5Ba]", "[1::2::3]"),
            *("[fe80::1%2525*]", "[fe80::1%2525^A]*", "[fe80::1%2525a]*M]", "[fe80::1%25%C3]"),
            *("[fe80::1%252525A-Z]", "[::1%25a%2Fb]", "[::1%25a%20b]", "[::01:002]", "[::1%eth0]"),
            *("[fe80::1%2525A-]", "[fe80::1%2525]]", "[fe80::1%2525M]]", "[::1%25a b]"),
        ]
    ),
    st.lists(LABELS, min_size=1, max_size=4).map(".".join),
)
PORTS = st.sampled_from(
    ["", "", "", "", ":", ":443", ":5000", ":*", ":x", ":5:6", ":99999", ":%35"]
)
PATHS = st.one_of(
    st.sampled_from(
        ["", "", "/", "/v1/", "/v2/", "/v1", "/v2", "/v3/", "/v1/a", "/v2/a/b", "/v1//"]
    ),
    st.sampled_from(["/a", "/a/", "/a/b", "/a/*", "/%61", "/a%2Fb", "/a%", "/a%zz", "/a:tag"]),
    st.sampled_from(["/v1/v2/", "/a%3Fb", "/a%23b", "/a%0Ab", "/a\n", "/ä", "/%FF", "/a%2561"]),
    st.sampled_from(["//", "//a", "/../a", "/a b", "/A", "/foo", "/foobar", "/\ud800", "\\a"]),
)
TAILS = st.sampled_from(
    ["", "", "", "", "?", "?x", "#", "#f", "#%", "?%", "#a\nb", "?a\nb", "\x7f"]
)
PLAIN_KEYS = st.sampled_from(
    [
        *("r.example.com", "r.example.com/a", "*.example.com", "docker.io", "docker.io/library"),
        *("index.docker.io", "https://index.docker.io/v1/", "*.*", "r.example.com:5000", ""),
        *("r*.example.com/a/", "https://r.example.com/v2/", "localhost:5000", "*.*:5000"),
    ]
)
STRAY: st.SearchStrategy[str] = st.sampled_from(
    [*"/:@.*?#%[]\\ \n\t\x00\x1f\x7f&'\"<>~^`{|}", "ä", "\u2028", "\ufeff", "%25", "%C3", "\ud800"]
)


@st.composite
def _mutated(draw: st.DrawFn, whole: st.SearchStrategy[str]) -> str:
    text, stray = draw(whole), draw(STRAY)
    at = draw(st.integers(0, len(text)))
    cut = draw(st.integers(0, 1))
    return text[:at] + stray + text[at + cut :]


COMPOSED = st.tuples(SCHEMES, USERS, HOSTS, PORTS, PATHS, TAILS).map("".join)
KEYS = st.one_of(PLAIN_KEYS, PLAIN_KEYS, COMPOSED, _mutated(COMPOSED), _mutated(PLAIN_KEYS))

REPOSITORIES = st.one_of(
    st.sampled_from(
        ["docker.io/library/nginx", "r.example.com/a", "r.example.com/a/b", "r.example.com:5000/a"]
    ),
    st.sampled_from(
        [
            *("docker.io/foo/bar", "docker.io/foobar/x", "r.example.com:443/a", "example.com/a"),
            *("a.b.example.com/a", "127.0.0.1:5000/a", "localhost:5000/a", "localhost/a", "A/foo"),
            *("M/foo", "MYHOST/a", "[::1]/a", "[::1]:5000/a", "[::a]/a", "r_example.com/a", "io/a"),
            *("index.docker.io/a", "registry-1.docker.io/a", "R.Example.com/a", "a_b/c", "nginx"),
        ]
    ),
)

_TEXTS = st.one_of(
    st.sampled_from(["", "bot", "u:v", "pässword", "p\u2028w", "a\0b", "\ud800", "\ufeffx", " "]),
    st.text(max_size=4),
)
_RAW_PAIRS = st.one_of(
    st.sampled_from([b"u:p", b"u:", b":p", b":", b"u:p:q", b"ab:c"]),
    st.sampled_from([b"nocolon", b"", b"\xff:\xe2\x82"]),
    st.binary(max_size=7).map(lambda raw: b"u:" + raw),
)
_IN_BASE64 = st.sampled_from(
    ["\n", "\r", "\r\n", "=", "\n=", " ", "\t", "-", "_", "A", ":", "ä", "\xa0", "\x1c", "\u2003"]
)


@st.composite
def auths(draw: st.DrawFn) -> str:
    """Draw an `auth`: base64 as it should be, or with one thing about it wrong."""
    raw = draw(_RAW_PAIRS)
    encode = draw(st.sampled_from([base64.b64encode, base64.urlsafe_b64encode]))
    text: str = encode(raw).decode()
    if draw(st.integers(0, 3)) == 0:
        text = text.rstrip("=")
    for _ in range(draw(st.sampled_from([0, 0, 0, 0, 1, 2]))):
        at = draw(st.integers(0, len(text)))
        text = text[:at] + draw(_IN_BASE64) + text[at:]
    return text


_WRONG = st.sampled_from(
    ["1", "-0.5e3", "true", "false", "[]", '["x"]', "{}", '{"a":1}', '""', "null", "null", "null"]
)


def _seldom(draw: st.DrawFn, one_in: int) -> bool:
    return draw(st.integers(1, one_in)) == one_in


def _name(draw: st.DrawFn, name: str) -> str:
    """Draw a member's name: as it is, in a spelling that Go takes for it, or near one."""
    if _seldom(draw, 4):
        odd = [name.upper(), name.title(), name.replace("s", "\u017f", 1), name + " ", name[:-1]]
        spelled = draw(st.sampled_from([*odd, name.replace("a", "\u0430", 1), f"\ufeff{name}"]))
        return json.dumps(spelled, ensure_ascii=draw(st.booleans()))
    return json.dumps(name)


_FIELDS = st.sampled_from(
    [
        *(["auth"], ["auth"], ["auth"], ["username", "password"], ["username"], ["password"], []),
        *(["auth", "username", "password"], ["username", "auth", "auth"], ["email", "auth"]),
        *(["username", "username", "password"], ["registrytoken", "serveraddress", "username"]),
    ]
)


@st.composite
def entries(draw: st.DrawFn) -> str:
    """Draw the JSON of one entry, usually a good one."""
    if _seldom(draw, 30):
        return draw(_WRONG)
    members = []
    for name in draw(_FIELDS):
        value = json.dumps(draw(auths() if name == "auth" else _TEXTS))
        members.append(f"{_name(draw, name)}:{draw(_WRONG) if _seldom(draw, 40) else value}")
    return "{" + ",".join(members) + "}"


@st.composite
def maps(draw: st.DrawFn) -> str:
    """Draw the JSON of a map of entries; a key may be written twice."""
    if _seldom(draw, 30):
        return draw(_WRONG)
    keys = draw(st.lists(KEYS, max_size=4))
    return "{" + ",".join(f"{json.dumps(key)}:{draw(entries())}" for key in keys) + "}"


_EXTRA = st.sampled_from(
    [
        *('"HttpHeaders":{"a":"b"}', '"HttpHeaders":{"a":1}', '"HttpHeaders":[]', '"auth":1'),
        *('"HttpHeaders":null', '"HTTPHEADER\u017f":3', '"HttpHeaders":{"a":null}', '"":0'),
        *('"credsStore":"x"', '"credHelpers":{"a":1}', '"x":[[[{"a":[]}]]]', '"AUTHS":null'),
        *('"auths":{}', '"x":"\\ud800"', '"credsStore":{"auths":[1]}'),
    ]
)


@st.composite
def documents(draw: st.DrawFn) -> str:
    """Draw a docker config: `auths` once, twice or not at all, and what stands beside it."""
    if _seldom(draw, 30):
        return draw(_WRONG)
    count = draw(st.sampled_from([1, 1, 1, 1, 2, 2, 0]))
    members = [f"{_name(draw, 'auths')}:{draw(maps())}" for _ in range(count)]
    for extra in draw(st.lists(_EXTRA, max_size=1)):
        members.insert(draw(st.integers(0, len(members))), extra)
    return "{" + ",".join(members) + "}"


IN_JSON = st.sampled_from(
    [
        *(b"\xff", b"\xe2\x82", b"\xed\xa0\x80", b"\xef\xbb\xbf", b"\x00", b"\n", b" ", b",", b'"'),
        *(b"\\", b"\\u12", b"\\x", b"]", b"NaN", b"01", b"1.", b"/**/", b"\x0b", b"\xc2\xa0"),
        *(b"\\ud83d\\ude00", b"\\ude00\\ud83d", b"\\ud83d", b"\\u0000", b"-", b"1e5", b"{}", b":"),
    ]
)


@st.composite
def contents(draw: st.DrawFn, type_: str = DOCKER_CONFIG_JSON) -> bytes:
    """Draw the bytes of a config; now and then a byte of them is another one."""
    usual, other = (maps(), documents()) if type_ == DOCKERCFG else (documents(), maps())
    raw = draw(other if _seldom(draw, 20) else usual).encode("utf-8", "surrogatepass")
    if _seldom(draw, 12):
        at = draw(st.integers(0, len(raw)))
        raw = raw[:at] + draw(IN_JSON) + raw[at + draw(st.integers(0, 1)) :]
    return raw


_DATA_KEYS = {DOCKER_CONFIG_JSON: ".dockerconfigjson", DOCKERCFG: ".dockercfg"}
_TYPES = st.sampled_from([*[DOCKER_CONFIG_JSON] * 7, *[DOCKERCFG] * 3])


@st.composite
def secrets(draw: st.DrawFn, name: str) -> PullSecret:
    """Draw a pull secret, seldom one whose type and key disagree."""
    type_ = draw(_TYPES)
    content = draw(contents(type_))
    odd = draw(st.integers(0, 24))
    if odd == 0:
        return PullSecret(name, type_, {".dockercfg": content})
    if odd == 1:
        return PullSecret(name, type_, dict.fromkeys(_DATA_KEYS.values(), content))
    if odd == 2:
        return PullSecret(name, type_, {_DATA_KEYS[type_]: b""})
    if odd == 3:
        return PullSecret(name, "Opaque", {_DATA_KEYS[type_]: content})
    return PullSecret(name, type_, {_DATA_KEYS[type_]: content})


@st.composite
def pods(draw: st.DrawFn) -> list[PullSecret]:
    """Draw the pull secrets of a pod, now and then one of them twice."""
    drawn = [draw(secrets(f"s{n}")) for n in range(draw(st.sampled_from([1, 1, 2, 3])))]
    return drawn + drawn[:1] if _seldom(draw, 8) else drawn


@st.composite
def asked(draw: st.DrawFn) -> tuple[list[PullSecret], str]:
    """Draw a pod's secrets and an image, usually one for which one of their keys was written."""
    drawn = draw(pods())
    if _seldom(draw, 3):
        return drawn, draw(REPOSITORIES)
    key = draw(st.sampled_from(_keys_in(drawn) or ["r.example.com"]))
    host = re.sub(r"^https?://|^[^@/]*@|[?#].*|/v[12](?=/)", "", key, flags=re.DOTALL)
    filled = host.replace("*", draw(st.sampled_from(["x", "", "docker"])))
    return drawn, filled + draw(st.sampled_from(["", "/", "/a", "/a/b", "b", "/library/nginx"]))


def _keys_in(secrets: Sequence[PullSecret]) -> list[str]:
    written = re.findall(rb'("[^"\\]*"):{', b"".join(c for s in secrets for c in s.data.values()))
    return [json.loads(key.decode("utf-8", "replace"), strict=False) for key in written]
