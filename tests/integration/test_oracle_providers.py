"""The node's own credentials are the kubelet's: the same files, plugins and answers."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.oracle.configs import KEYS
from tests.oracle.providers import NodeAnswer, ProvidersOracle
from tests.parts.sight import locate_in_sight
from webhook.credentials.node import NodeFiles, Undecided
from webhook.credentials.providerconfig import PROTOCOL_VERSIONS, Refused, read_config
from webhook.deadline import Deadline

HUB = "docker.io/library/nginx"
IMAGES = (HUB, "r.io/a/b", "r.io/a", "r.io/c", "q.io/a", "r.io:5000/a", "sub.r.io/a", "localhost/x")
V1 = PROTOCOL_VERSIONS[0]
AUTH = {"r.io": {"username": "u", "password": "p"}}
PROVIDER: dict[str, Any] = {
    "name": "one",
    "matchImages": ["r.io", "*.io", "docker.io"],
    "defaultCacheDuration": "1h",
    "apiVersion": V1,
}
CONFIG: dict[str, Any] = {
    "apiVersion": "kubelet.config.k8s.io/v1",
    "kind": "CredentialProviderConfig",
    "providers": [PROVIDER],
}
TOKEN = {
    "serviceAccountTokenAudience": "a",
    "cacheType": "Token",
    "requireServiceAccount": True,
}
RESPONSE: dict[str, Any] = {
    "kind": "CredentialProviderResponse",
    "apiVersion": V1,
    "cacheKeyType": "Image",
    "auth": AUTH,
}
SLOW = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@pytest.fixture(scope="module")
def kubelet(pytestconfig: pytest.Config) -> Iterator[ProvidersOracle]:
    locate_in_sight(pytestconfig, ["providersoracle"])
    with ProvidersOracle() as running:
        yield running


class Node:
    """A node's files, for both to read; each plugin answers from a file and counts its runs."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.bin = root / "bin"
        self.config = root / "config.yaml"
        self.bin.mkdir()
        for name in ("one", "two"):
            self.plugin(name, f'cat >"{root}/{name}.in"; echo >>"{root}/runs"; cat "{root}/{name}"')

    def plugin(self, name: str, script: str) -> None:
        path = self.bin / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)

    def answers(self, name: str, response: Any) -> None:
        text = response if isinstance(response, bytes) else json.dumps(response).encode()
        (self.root / name).write_bytes(text)

    def configured(self, config: Any) -> None:
        text = config if isinstance(config, bytes) else json.dumps(config).encode()
        self.config.write_bytes(text)

    def runs(self) -> int:
        path = self.root / "runs"
        count = len(path.read_text()) if path.exists() else 0
        path.unlink(missing_ok=True)
        return count

    def theirs(self, kubelet: ProvidersOracle, images: tuple[str, ...] = IMAGES) -> NodeAnswer:
        return kubelet.node(images, config=self.config, bin_dir=self.bin)

    def ours(self, images: tuple[str, ...] = IMAGES) -> tuple[tuple[tuple[str, str], ...], ...]:
        """What is known, and so what the kubelet has, to which a failure adds nothing."""
        node = NodeFiles(None, (self.config, self.bin))
        tried = []
        for image in images:
            got = node.lookup(image, Deadline.after(20))
            found = got.credentials if isinstance(got, Undecided) else got
            tried.append(tuple((c.username, c.password) for c in found))
        return tuple(tried)

    def agrees(self, kubelet: ProvidersOracle, images: tuple[str, ...] = IMAGES) -> None:
        theirs, their_runs = self.theirs(kubelet, images), self.runs()
        assert theirs.error is None
        assert (self.ours(images), self.runs()) == (theirs.images, their_runs)


@pytest.fixture
def node(tmp_path: Path) -> Node:
    made = Node(tmp_path)
    made.configured(CONFIG)
    made.answers("one", RESPONSE)
    made.answers("two", RESPONSE)
    return made


def changed(base: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {**deepcopy(base), **changes}


def with_provider(**changes: Any) -> dict[str, Any]:
    return changed(CONFIG, providers=[changed(PROVIDER, **changes)])


def with_token(**changes: Any) -> dict[str, Any]:
    return with_provider(tokenAttributes={**TOKEN, **changes})


TWICE = json.dumps(CONFIG).replace('"name": "one"', '"name": "one", "name": "one"')
YAML = yaml.safe_dump(CONFIG)
CONFIGS: dict[str, Any] = {
    "good": CONFIG,
    "yaml": YAML.encode(),
    "yaml, a second document": f"{YAML}---\n[]\n".encode(),
    "yaml, only a second document": f"---\n---\n{YAML}".encode(),
    "yaml, a repeated key": f"{YAML}kind: CredentialProviderConfig\n".encode(),
    "yaml, a number for a text": YAML.replace("name: one", "name: 1").encode(),
    "yaml, quoted": YAML.replace("name: one", "name: 'one'").encode(),
    "yaml, a bool for a text": YAML.replace("name: one", "name: on").encode(),
    "yaml, octal": YAML.replace("name: one", "name: 0o7").encode(),
    "yaml, merged": b"apiVersion: kubelet.config.k8s.io/v1\nkind: CredentialProviderConfig\n"
    b"providers:\n- &a {name: one, matchImages: [r.io], defaultCacheDuration: 1h, "
    b"apiVersion: credentialprovider.kubelet.k8s.io/v1}\n- {<<: *a, name: two}\n",
    "yaml, merged beside": b"apiVersion: kubelet.config.k8s.io/v1\nkind: CredentialProviderConfig\n"
    b"providers:\n- {<<: {name: one, matchImages: [r.io]}, defaultCacheDuration: 1h, "
    b"apiVersion: credentialprovider.kubelet.k8s.io/v1}\n",
    "yaml, a tab": YAML.replace("  ", "\t").encode(),
    "json, a repeated key": TWICE.encode(),
    "json, then text": json.dumps(CONFIG).encode() + b" x",
    "json, white space": b"\n\t " + json.dumps(CONFIG).encode(),
    "json after a comment": b"# c\n" + json.dumps(CONFIG).encode(),
    "empty": b"",
    "null": b"null",
    "a list": b"[]",
    "bytes": b"\xff\xfe\x00",
    "v1beta1": changed(CONFIG, apiVersion="kubelet.config.k8s.io/v1beta1"),
    "v1alpha1": changed(CONFIG, apiVersion="kubelet.config.k8s.io/v1alpha1"),
    "v2": changed(CONFIG, apiVersion="kubelet.config.k8s.io/v2"),
    "no version": {k: v for k, v in CONFIG.items() if k != "apiVersion"},
    "another kind": changed(CONFIG, kind="KubeletConfiguration"),
    "kind in small": {"Kind": CONFIG["kind"], **{k: v for k, v in CONFIG.items() if k != "kind"}},
    "unknown field": changed(CONFIG, metadata={}),
    "no providers": changed(CONFIG, providers=[]),
    "null providers": changed(CONFIG, providers=None),
    "a null provider": changed(CONFIG, providers=[None]),
    "providers, an object": changed(CONFIG, providers={}),
    "the same name twice": changed(CONFIG, providers=[PROVIDER, PROVIDER]),
    "two": changed(CONFIG, providers=[PROVIDER, changed(PROVIDER, name="two")]),
    **{f"name {n!r}": with_provider(name=n) for n in ("", ".", "..", "a/b", "a b", "../one", None)},
    **{
        f"apiVersion {v!r}": with_provider(apiVersion=v)
        for v in (*PROTOCOL_VERSIONS, "", "v1", None, 1)
    },
    **{
        f"matchImages {v!r}": with_provider(matchImages=v)
        for v in ([], None, "r.io", [None], [""], ["r io"], ["r.io:x"], ["[::1"], ["*"], [1], ["%"])
    },
    **{
        f"defaultCacheDuration {v!r}": with_provider(defaultCacheDuration=v)
        for v in (
            "0",
            "0s",
            "",
            "-1s",
            "-0s",
            "1",
            5,
            None,
            "1h30m",
            ".5s",
            ".s",
            "1d",
            "1.h",
            "+1s",
        )
    },
    "a duration too long": with_provider(defaultCacheDuration="2562048h"),
    "the longest duration": with_provider(defaultCacheDuration="2562047h47m16.854775807s"),
    "an unknown field of a provider": with_provider(environment=[]),
    "matchimages": with_provider(matchimages=["r.io"]),
    "null args and env": with_provider(args=None, env=None),
    "args": with_provider(args=["--a", "b", None]),
    "a number in args": with_provider(args=[1]),
    "env": with_provider(env=[{"name": "A", "value": "b"}, None, {"name": "C"}]),
    "env, an unknown field": with_provider(env=[{"name": "A", "valueFrom": {}}]),
    "env, an object": with_provider(env={"A": "b"}),
    "token": with_token(),
    "token in v1beta1": changed(with_token(), apiVersion="kubelet.config.k8s.io/v1beta1"),
    "token of v1beta1": with_provider(tokenAttributes=TOKEN, apiVersion=PROTOCOL_VERSIONS[1]),
    "null token": with_provider(tokenAttributes=None),
    "empty token": with_provider(tokenAttributes={}),
    "token, no account": with_token(requireServiceAccount=False),
    "token, account null": with_token(requireServiceAccount=None),
    "token, account text": with_token(requireServiceAccount="true"),
    "token, cache type": with_token(cacheType="Pod"),
    "token, unknown field": with_token(audience="b"),
    "token, a key but no account": with_token(
        requireServiceAccount=False, requiredServiceAccountAnnotationKeys=["a"]
    ),
    **{
        f"token, key {k!r}": with_token(requiredServiceAccountAnnotationKeys=[k])
        for k in ("a", "A.B/c", "a/b/c", "", "/a", "a/", "-a", "a_b", "x" * 63, "x" * 64, "é")
    },
    "token, a key twice": with_token(optionalServiceAccountAnnotationKeys=["a", "a"]),
    "token, a key in both": with_token(
        requiredServiceAccountAnnotationKeys=["a"], optionalServiceAccountAnnotationKeys=["a"]
    ),
}


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS.keys())
def test_a_configuration_is_taken_or_refused_alike(
    kubelet: ProvidersOracle, node: Node, config: Any
) -> None:
    node.configured(config)
    theirs = kubelet.node([], config=node.config, bin_dir=node.bin)
    ours = read_config(node.config)
    assert isinstance(ours, Refused) == (theirs.error is not None), (ours, theirs)


VALUES: st.SearchStrategy[Any] = st.sampled_from(
    [None, "", "one", "1h", V1, "r.io", 0, 1.5, True, [], {}, ["a"], [{}], [None], {"a": "b"}]
)


@SLOW
@given(data=st.data())
def test_any_slip_in_a_configuration_is_judged_alike(
    kubelet: ProvidersOracle, node: Node, data: st.DataObject
) -> None:
    """Decoding is strict; `null` leaves a field as it is; what is missing is refused or not."""
    config = deepcopy(with_token() if data.draw(st.booleans()) else CONFIG)
    provider = config["providers"][0]
    for _ in range(data.draw(st.integers(1, 2))):
        target = data.draw(st.sampled_from([config, provider, provider.get("tokenAttributes", {})]))
        name = data.draw(st.sampled_from([*target, "args", "env", "Name", "kind", "extra"]))
        if data.draw(st.booleans()):
            target[name] = data.draw(VALUES)
        else:
            target.pop(name, None)
    text = json.dumps(config) if data.draw(st.booleans()) else yaml.safe_dump(config)
    node.configured(text.encode())
    theirs = kubelet.node([], config=node.config, bin_dir=node.bin)
    ours = read_config(node.config)
    assert isinstance(ours, Refused) == (theirs.error is not None), (ours, theirs)


def test_a_folder_of_files_is_one_configuration(kubelet: ProvidersOracle, node: Node) -> None:
    folder = node.root / "folder"
    folder.mkdir()
    node.config = folder
    node.answers("two", changed(RESPONSE, auth={"r.io": {"username": "two", "password": "q"}}))
    assert isinstance(read_config(folder), Refused)
    assert node.theirs(kubelet).error is not None
    (folder / "b.json").write_text(json.dumps(CONFIG))
    (folder / "a.yml").write_text(json.dumps(with_provider(name="two")))
    (folder / "c.txt").write_text("no")
    (folder / "d.yaml").mkdir()
    node.agrees(kubelet)
    (folder / "link.yaml").symlink_to(folder / "d.yaml")
    assert isinstance(read_config(folder), Refused)
    assert node.theirs(kubelet).error is not None


TWO = changed(CONFIG, providers=[PROVIDER, changed(PROVIDER, name="two", matchImages=["r.io/a"])])
ENTRY = {"username": "u", "password": "p"}
RESPONSES: dict[str, Any] = {
    "good": RESPONSE,
    "empty": b"",
    "nonsense": b"hello",
    "text after it": json.dumps(RESPONSE).encode() + b" x",
    "white space around it": b" \n" + json.dumps(RESPONSE).encode() + b"\n\n",
    "yaml": yaml.safe_dump(RESPONSE).encode(),
    "null": b"null",
    "a list": b"[]",
    "a repeated key": json.dumps(RESPONSE).replace('"auth"', '"auth": {}, "auth"').encode(),
    "a repeated host": json.dumps(RESPONSE).replace('"r.io"', '"r.io": {}, "r.io"').encode(),
    "another version": changed(RESPONSE, apiVersion=PROTOCOL_VERSIONS[1]),
    "no version": {k: v for k, v in RESPONSE.items() if k != "apiVersion"},
    "another group": changed(RESPONSE, apiVersion="client.authentication.k8s.io/v1"),
    "another kind": changed(RESPONSE, kind="CredentialProviderRequest"),
    "an unknown field": changed(RESPONSE, expires="1h"),
    "another case": {"Auth": AUTH, **{k: v for k, v in RESPONSE.items() if k != "auth"}},
    "no auth": {k: v for k, v in RESPONSE.items() if k != "auth"},
    "null auth": changed(RESPONSE, auth=None),
    "auth, a list": changed(RESPONSE, auth=[]),
    "a null entry": changed(RESPONSE, auth={"r.io": None}),
    "an empty entry": changed(RESPONSE, auth={"r.io": {}}),
    "an unknown field of an entry": changed(RESPONSE, auth={"r.io": {**ENTRY, "auth": "x"}}),
    "a number for a password": changed(RESPONSE, auth={"r.io": {**ENTRY, "password": 1}}),
    "globs and paths": changed(
        RESPONSE,
        auth={
            key: {"username": key, "password": "p"}
            for key in (
                "*.io",
                "r.io",
                "https://r.io/v2/a",
                "index.docker.io",
                "r.io:5000",
            )
        },
    ),
    "Docker Hub's old key": changed(RESPONSE, auth={"https://index.docker.io/v1/": ENTRY}),
    **{
        f"cacheKeyType {v!r}": changed(RESPONSE, cacheKeyType=v, auth={"*.io": ENTRY})
        for v in ("Image", "Registry", "Global", "global", "", None, 1)
    },
    **{
        f"cacheDuration {v!r}": changed(
            RESPONSE, cacheKeyType="Registry", auth={"*.io": ENTRY}, cacheDuration=v
        )
        for v in ("0", "0s", "1h", "-1h", "", "x", None, 5, "0.1ns")
    },
}


@pytest.mark.parametrize("response", RESPONSES.values(), ids=RESPONSES.keys())
def test_an_answer_gives_the_same_credentials_and_is_kept_alike(
    kubelet: ProvidersOracle, node: Node, response: Any
) -> None:
    """The number of runs shows what was kept, and for which images."""
    node.configured(TWO)
    node.answers("one", response)
    node.agrees(kubelet, (*IMAGES, *IMAGES))


KEYED = (HUB, "r.example.com/a/b", "localhost:5000/a")


@settings(SLOW, max_examples=25)
@given(
    keys=st.lists(st.lists(KEYS, max_size=4), min_size=2, max_size=2),
    globs=st.lists(KEYS, min_size=1, max_size=3),
)
def test_any_keys_are_tried_in_the_same_order(
    kubelet: ProvidersOracle, node: Node, keys: list[list[str]], globs: list[str]
) -> None:
    """Answers of all plugins go into one index; equal keys keep the order of the file."""
    for name, own in zip(("one", "two"), keys, strict=True):
        auth = {k: {"username": f"{name} {at}", "password": ""} for at, k in enumerate(own)}
        node.answers(name, changed(RESPONSE, auth=auth, cacheDuration="0"))
    providers = [
        changed(PROVIDER, matchImages=globs),
        changed(PROVIDER, name="two", matchImages=["docker.io", "*.example.com", "localhost:5000"]),
    ]
    node.configured(changed(CONFIG, providers=providers))
    theirs = node.theirs(kubelet, KEYED)
    assert (theirs.error is not None) == isinstance(read_config(node.config), Refused)
    if theirs.error is None:
        # Two spellings of one key come in random order there.
        ours = node.ours(KEYED)
        assert [sorted(a) for a in ours] == [sorted(a) for a in theirs.images]
        assert [[u.split()[0] for u, _ in a] for a in ours] == [
            [u.split()[0] for u, _ in a] for a in theirs.images
        ]


SCRIPTS = {
    "exit code": 'cat "$0.out"; exit 3',
    "killed": "kill -9 $$",
    "reads nothing": 'exec <&-; cat "$0.out"',
    "reads nothing and closes late": 'cat "$0.out"',
    "errors beside the answer": 'echo secret >&2; cat "$0.out"',
    "a child that ends soon": '(sleep 0.3; cat "$0.out") & exit 0',
    "a closed answer": 'cat "$0.out"; exec >&- 2>&-; sleep 0.3',
    "a closed answer and an exit code": 'cat "$0.out"; exec >&- 2>&-; sleep 0.2; exit 1',
    "its environment": 'test "$A" = b=c && test "$B" = 2 && cat "$0.out"',
    "its arguments": 'test "$1 $2" = "x y z" && test $# = 2 && cat "$0.out"',
    "no such interpreter": "",
}


@pytest.mark.parametrize("script", SCRIPTS.values(), ids=SCRIPTS.keys())
def test_a_process_is_taken_at_its_word_alike(
    kubelet: ProvidersOracle, node: Node, script: str
) -> None:
    env = [{"name": n, "value": v} for n, v in (("A", "b=c"), ("B", "1"), ("B", "2"))]
    node.configured(with_provider(args=["x y", "z"], env=env))
    node.plugin("one", script)
    (node.bin / "one.out").write_text(json.dumps(RESPONSE))
    if not script:
        (node.bin / "one").write_text("#!/no/such/interpreter\n")
    node.agrees(kubelet, ("r.io/a",))


def test_a_plugin_reads_the_same_request(kubelet: ProvidersOracle, node: Node) -> None:
    for version in PROTOCOL_VERSIONS:
        node.configured(with_provider(apiVersion=version))
        node.theirs(kubelet, ("r.io/a/b",))
        theirs = (node.root / "one.in").read_bytes()
        node.ours(("r.io/a/b",))
        assert (node.root / "one.in").read_bytes() == theirs


FILES = {
    "good": b'{"auths": {"r.io": {"auth": "dTpw"}, "*.io": {"username": "w"}}}',
    "an undecodable entry": b'{"auths": {"r.io": {"auth": "dTpw"}, "q.io": {"auth": "%"}}}',
    "broken": b"{",
    "empty": b"",
    "null": b"null",
    "flat": b'{"r.io": {"auth": "dTpw"}}',
    "helpers": b'{"credsStore": "x", "credHelpers": {"r.io": "y"}, "auths": {"r.io": {}}}',
    "headers that are no map": b'{"auths": {"r.io": {"auth": "dTpw"}}, "HttpHeaders": []}',
    "Docker Hub": b'{"auths": {"https://index.docker.io/v1/": {"auth": "dTpw"}}}',
}


@pytest.mark.parametrize("content", FILES.values(), ids=FILES.keys())
@pytest.mark.parametrize("name", ["config.json", ".dockercfg"])
def test_a_nodes_docker_config_is_read_alike(
    kubelet: ProvidersOracle, tmp_path: Path, name: str, content: bytes
) -> None:
    """Broken JSON or one undecodable entry: the file is skipped without a word."""
    (tmp_path / name).write_bytes(content)
    node = NodeFiles(tmp_path / name, None)
    ours = []
    for image in IMAGES:
        got = node.lookup(image, Deadline.after(5))
        assert not isinstance(got, Undecided)
        ours.append(tuple((c.username, c.password) for c in got))
    assert tuple(ours) == kubelet.node(IMAGES, folder=tmp_path).images


def test_the_nodes_file_comes_before_its_plugins(kubelet: ProvidersOracle, node: Node) -> None:
    file = node.root / "config.json"
    file.write_bytes(FILES["good"])
    theirs = kubelet.node(IMAGES, folder=node.root, config=node.config, bin_dir=node.bin)
    ours = NodeFiles(file, (node.config, node.bin))
    tried, sources = [], []
    for image in IMAGES:
        got = ours.lookup(image, Deadline.after(20))
        assert not isinstance(got, Undecided)
        tried.append(tuple((c.username, c.password) for c in got))
        sources.append([c.source for c in got])
    assert tuple(tried) == theirs.images
    assert sources[1] == ["node/config.json", "node/config.json", "provider/one"]
