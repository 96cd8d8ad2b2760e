"""Image references that stand near the grammar's edges, for asking two parsers the same."""

from __future__ import annotations

from hypothesis import strategies as st

LABELS = st.one_of(
    st.sampled_from(
        ["docker", "io", "index", "localhost", "Localhost", "a", "A", "0", "127", "r-1", "-a", "a-"]
    ),
    st.sampled_from(["a_b", "a--b", "xn--p1ai", "", "ä", "K", "*", "r" * 64]),
)
PORTS = st.sampled_from(["", "", "", ":5000", ":0", ":00080", ":65536", ":99999999999", ":", ":x"])
ADDRESSES = st.one_of(
    st.sampled_from(["[::1]", "[::]", "[::::]", "[fe80::1%eth0]", "[1.2.3.4]", "[::ffff:1.2.3.4]"]),
    st.text("0123456789abcDEF:", max_size=24).map("[{}]".format),
    st.lists(st.sampled_from(["0", "1", "ff", "00001", "Abcd", ""]), min_size=2, max_size=9).map(
        lambda groups: f"[{':'.join(groups)}]"
    ),
)
HOSTS = st.one_of(
    st.sampled_from(
        [
            *("docker.io", "index.docker.io", "Docker.io", "registry-1.docker.io", "docker.io."),
            *("localhost", "LOCALHOST", "localhost.localdomain", "r.example.com", "MYHOST", "host"),
        ]
    ),
    st.lists(LABELS, min_size=1, max_size=4).map(".".join),
    ADDRESSES,
)
DOMAINS = st.tuples(HOSTS, PORTS).map("".join)
SEPARATORS = st.sampled_from([".", "_", "__", "-", "--", "---", "___", "..", "._", "-_", ".-", ""])
ATOMS = st.sampled_from(["a", "z9", "0", "library", "sha256", "app", "B", "é", "K", "İ", "a" * 62])
COMPONENTS = st.tuples(
    ATOMS, st.lists(st.tuples(SEPARATORS, ATOMS).map("".join), max_size=3).map("".join)
).map("".join)
PATHS = st.one_of(
    st.lists(COMPONENTS, min_size=1, max_size=4).map("/".join),
    st.integers(240, 260).map(lambda length: "p" * length),
    st.integers(120, 130).map(lambda length: "p/" * length + "q"),
)
TAGS = st.one_of(
    st.sampled_from(
        ["latest", "1.2", "_x", "-x", ".x", "x" * 128, "x" * 129, "", "1+2", "V1", "\u0131"]
    ),
    st.text("aZ09_.-", max_size=6),
)
HEX = st.one_of(
    st.sampled_from([31, 32, 63, 64, 65, 95, 96, 97, 127, 128, 129]).map(
        lambda n: ("0af9" * 33)[:n]
    ),
    st.sampled_from(["A" * 64, "a" * 63 + "A", "g" * 64, "=" * 64, "Ab" * 48, "٣" * 64]),
)
ALGORITHMS = st.one_of(
    st.sampled_from(
        ["sha256", "sha384", "sha512", "SHA256", "sha-256", "sha256+b64", "md5", "sha1"]
    ),
    st.sampled_from(["", "0sha", "Sha256+B64", "a+B", "a++b", "sha256.a_b", "sha256+0"]),
)
DIGESTS = st.tuples(ALGORITHMS, HEX).map(":".join)


def _optional(mark: str, part: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(st.just(""), part.map(lambda text: mark + text))


NAMES = st.one_of(PATHS, st.tuples(DOMAINS, PATHS).map("/".join), DOMAINS)
WHOLE = st.tuples(NAMES, _optional(":", TAGS), _optional("@", DIGESTS)).map("".join)
IDENTIFIERS = st.one_of(HEX, DIGESTS, HEX.map("nginx:{}".format))
STRAY = st.one_of(
    st.sampled_from("/:@.-_ \n\t\0[]%?#+=\\\"'$(){}"),
    st.sampled_from(
        ["://", "//", "K", "İ", "\u017f", "\u2028", "\ufeff", "Σ", "\U0001f40b", "\x7f"]
    ),
    st.characters(exclude_categories=["Cs"]),
)


@st.composite
def _mutated(draw: st.DrawFn) -> str:
    """Draw a reference and put, take, double or swap the case of a character or two."""
    text = draw(WHOLE)
    for _ in range(draw(st.integers(1, 2))):
        at = draw(st.integers(0, len(text)))
        head, one, tail = text[:at], text[at : at + 1], text[at + 1 :]
        middle = draw(st.sampled_from(["", one * 2, one.swapcase(), None]))
        text = head + (draw(STRAY) + one if middle is None else middle) + tail
    return text


IMAGES = st.one_of(WHOLE, _mutated(), IDENTIFIERS)
