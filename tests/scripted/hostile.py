"""What a registry may answer at its worst, and where its answers may lead: for hypothesis."""

from __future__ import annotations

from hypothesis import strategies as st

from tests.scripted.values import BASIC, BEARER, DIGEST, Answer
from webhook.credentials.keyring import Credential
from webhook.registry.manifest import OCI_INDEX, OCI_MANIFEST
from webhook.registry.outcome import Cause
from webhook.registry.wire import Reply, Trouble

PASSWORD = "hunter2-"
MARK = "zqxj"
"""Stands in everything that the registry writes and in nothing of ours."""
BOUGHT = "bought-with-a-password"
FREE = "given-to-anybody"

urls = st.one_of(
    st.sampled_from(
        [
            "https://reg.example/token",
            "https://auth.example/token",
            "https://auth.example:8443/token",
            "http://reg.example/token",
            "http://reg.example:443/token",
            "http://auth.example/token",
            "https://one.example/token",
            "http://one.example/token",
            "http://one.example:5000/token",
            "https://one.example:5000/token",
            f"https://two.example/token?{MARK}",
            "http://two.example:443/token",
            "http://127.0.0.1:5000/token",
            f"https://{MARK}.example/token?{MARK}",
            f"https://reg.example@{MARK}.example/token",
            f"https://{MARK}.example\\@reg.example/",
            f"https://[::1].{MARK}/",
            "//auth.example/again",
            f"/again?{MARK}",
            "http://[",
            "https://reg.example:x/",
            "https://reg.example\n.evil/",
        ]
    ),
    st.text(max_size=12).map(lambda text: f"https://{MARK}{text}"),
    st.text(max_size=12).map(lambda text: MARK + text),
)
challenges = st.one_of(
    st.sampled_from([BASIC, BEARER, BEARER + ',error="insufficient_scope"', "Digest x=y"]),
    urls.map(lambda url: f'Bearer realm="{url}",service="{MARK}",scope="{MARK}"'),
    st.text(max_size=20).map(lambda text: text + MARK),
)
lengths = st.one_of(
    st.sampled_from(["0", "2", "4393216", "4393217", "-1", "x" + MARK, "9" * 4400, "٣", ""]),
    st.text(max_size=4),
)
types = st.one_of(
    st.sampled_from([OCI_MANIFEST, OCI_INDEX, "text/html", ""]),
    st.text(max_size=20).map(lambda text: f"{text}\n{MARK}"),
)
digests = st.one_of(st.just(DIGEST), st.text(max_size=8).map(lambda text: MARK + text))
headers = st.one_of(
    st.tuples(st.just("location"), urls),
    st.tuples(st.just("www-authenticate"), challenges),
    st.tuples(st.just("content-length"), lengths),
    st.tuples(st.just("content-type"), types),
    st.tuples(st.just("docker-content-digest"), digests),
    st.tuples(st.text(max_size=5), st.text(max_size=5)),
)
bodies = st.one_of(
    st.sampled_from(
        [
            b"{}",
            b'{"access_token":"' + MARK.encode() + b'\\n"}',
            b'{"token":"","access_token":"","expires_in":' + b"9" * 400 + b"}",
            b'{"manifests":[{"platform":{"os":"linux"}},7]}',
            b'{"tags":["' + MARK.encode() + b'\\u0007"]}',
            b"[" * 5000,
        ]
    ),
    st.binary(max_size=20).map(lambda raw: raw + MARK.encode()),
)
statuses = st.one_of(
    st.sampled_from([200, 200, 401, 401, 401, 302, 307, 303, 403, 404, 405, 408, 429, 500, 503]),
    st.integers(-1, 999),
)
replies = st.builds(
    Reply,
    statuses,
    st.lists(headers, max_size=6).map(tuple),
    bodies,
    truncated=st.booleans(),
    cut=st.booleans(),
)
troubles = st.builds(Trouble, st.sampled_from(list(Cause)), ended=st.booleans())
answers: st.SearchStrategy[Answer] = st.one_of(replies, replies, replies, troubles)
plausible: st.SearchStrategy[Answer] = st.one_of(
    st.builds(
        lambda line: Reply(401, (("www-authenticate", line),)),
        st.one_of(
            st.just(BASIC),
            urls.filter(lambda url: "token" in url).map(lambda url: f'Bearer realm="{url}"'),
        ),
    ),
    st.builds(
        lambda status, url: Reply(status, (("location", url),)),
        st.sampled_from([301, 302, 307, 308]),
        urls,
    ),
    st.just(Reply(401)),
    st.just(Trouble(Cause.PLAIN_HTTP)),
)
"""What makes a conversation go on: where a credential may go astray."""
passwords = st.text(st.characters(exclude_categories=["Cs"]), max_size=4).map(
    lambda t: PASSWORD + t
)
credentials = st.lists(
    st.builds(
        Credential,
        st.just("secret/a"),
        st.just("reg.example"),
        st.sampled_from(["bot", "bot", "", "\ud800", "a:b"]),
        st.one_of(passwords, passwords, st.just("")),
    ),
    max_size=3,
)
images = st.sampled_from(
    [
        "reg.example/acme/app:1",
        f"reg.example/acme/app@{DIGEST}",
        "REG.example/acme/app",
        "reg_x.example/acme/app",
        "reg.example:99999/acme/app",
        "localhost:5000/acme/app",
        "[::1]:5000/acme/app",
        "[::::]/acme/app",
        "nginx",
    ]
)
