"""What a case may say: the schema of the corpus, which README.md explains."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Group = Literal["reference", "keyring", "exchange", "hosts", "tls", "proxy"]
Tag = Literal["withheld", "egress", "slow", "process"]
Strings = str | list[str]


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Content(Strict):
    """One image or index, its bytes made from the case's id."""

    repository: str = "*"
    tags: list[str] = ["*"]
    kind: Literal["image", "index"] = "image"
    docker: bool = False
    platform: str = "linux/amd64"
    # What an index says of this entry: left out, the platform; null, nothing at all.
    described: dict[str, Any] | None = Field(default_factory=lambda: {"as": "is"})
    manifests: list[Content] = []
    media_type: str | None = None
    content_type: str | None = None
    config_type: str | None = None
    layer_type: str | None = None
    artifact_type: str | None = None
    layers: int = 1
    # `runs`: its /hello is a program, which sleeps, or ends at once if given an argument.
    layer: Literal["good", "runs", "not-gzip", "wrong-diff-id", "empty-json"] = "good"
    annotations: dict[str, str] = {}
    fields: dict[str, Any] = {}
    body: str | None = None
    pad: int = 0
    absent: list[Literal["config", "layer", "manifest", "child"]] = []
    # Laid over the config, or its whole text; over its descriptor, each layer's, and the
    # one of this content in its index (null removes a member).
    config_fields: dict[str, Any] = {}
    config_body: str | None = None
    config_descriptor: dict[str, Any] = {}
    layer_descriptor: dict[str, Any] = {}
    descriptor: dict[str, Any] = {}
    # Every layer is the first one again; random bytes are added to each.
    same_layers: bool = False
    layer_bytes: int = 0


class BasicGate(Strict):
    users: dict[str, str]
    # Who is let in; left out, everybody of `users`. The others get 403.
    allowed: list[str] | None = None
    realm: str = "lab"


class BearerGate(Strict):
    users: dict[str, str] = {}
    allowed: list[str] | None = None
    # Taken though no service of the case gave them.
    tokens: list[str] = []
    anonymous: Literal["grant", "empty", "refuse", "forbid"] = "empty"
    post: int = 200
    get: int = 200
    field: Literal["both", "token", "access_token", "none"] = "both"
    realm: str | None = None
    service: str = "lab"
    scope: str | None = None


class Gate(Strict):
    basic: BasicGate | None = None
    bearer: BearerGate | None = None
    # The values of WWW-Authenticate, in place of the gate's own.
    challenge: list[str] | None = None


class When(Strict):
    """Which requests a route is for; what is left out does not matter."""

    method: Strings | None = None
    path: Strings | None = None
    what: Strings | None = None
    auth: str | None = None
    nth: int | str | list[int] | None = None
    query: dict[str, str] = {}
    form: dict[str, str] = {}
    header: dict[str, str] = {}


class Answer(Strict):
    default: bool = False
    # The content, whatever the gate says.
    open: bool = False
    status: int | None = None
    reason: str | None = None
    headers: dict[str, str | list[str] | None] = {}
    body: str | None = None
    body_base64: str | None = None
    body_bytes: int | None = None
    truncate: int | None = None
    append: str | None = None
    flip: bool = False
    gzip: bool = False
    chunked: bool = False
    delay: float = 0
    drip: float = 0
    cut: Literal["at-once", "after-head"] | None = None
    reset: bool = False
    hold: bool = False
    raw: str | None = None


class Route(Strict):
    when: When = When()
    answer: Answer


class Proxy(Strict):
    users: dict[str, str] = {}


class Server(Strict):
    as_: str = Field(default="reg", alias="as", pattern="^[a-z][a-z0-9_]*$")
    name: str | None = None
    # Also answers for these names.
    names: list[str] = []
    address: str | None = None
    port: int = 443
    transport: Literal[
        "http", "https", "refused", "unreachable", "blackhole", "silent", "hang-up", "reset",
        "garbage",
    ] = "https"  # fmt: skip
    certificate: Literal[
        "good", "unknown-authority", "expired", "not-yet-valid", "wrong-name", "self-signed",
        "no-names", "client-auth-only",
    ] = "good"  # fmt: skip
    # Names and addresses that the certificate holds, in place of the server's own.
    certificate_names: list[str] | None = None
    tls: Literal["any", "1.1", "1.2", "1.3"] = "any"
    client_certificate: bool = False
    resolves: bool = True
    content: list[Content] | None = None
    gate: Gate = Gate()
    routes: list[Route] = []
    proxy: Proxy | None = None
    distribution: Literal["none", "basic", "token"] | None = None

    @model_validator(mode="before")
    @classmethod
    def _one_content_is_a_list(cls, given: Any) -> Any:
        if isinstance(given, dict) and isinstance(given.get("content"), dict):
            return {**given, "content": [given["content"]]}
        return given


class Secret(Strict):
    """A pull secret: exactly one of auths, dockercfg, raw or data; or one that is not there."""

    name: str | None = None
    auths: dict[str, Any] | None = None
    dockercfg: dict[str, Any] | None = None
    raw: str | None = None
    type: str = "kubernetes.io/dockerconfigjson"
    data: dict[str, str] | None = None
    missing: bool = False


class Expect(Strict):
    pull: Literal["ok", "fails"] | None = None
    cause: str | None = None


class Case(Strict):
    id: str = Field(pattern="^[a-z0-9][a-z0-9-]{0,61}[a-z0-9]$")
    group: Group
    title: str
    image: str
    secrets: list[Secret] = []
    servers: list[Server] = []
    # Folders of certs.d: the text of hosts.toml, or files by name.
    hosts: dict[str, str | dict[str, str]] = {}
    dns: dict[str, Literal["nxdomain", "servfail", "silent", "refused", "empty"] | list[str]] = {}
    env: dict[str, str] = {}
    # The spec of a RegistryConfig that our side is given.
    policy: dict[str, Any] | None = None
    tags: list[Tag] = []
    # Our own --timeout, in seconds.
    timeout: float = 120
    # Also judged with --vantage pod; left out: where a mirror or a name is what it is about.
    pod: bool | None = None
    expect: Expect = Expect()

    @model_validator(mode="after")
    def _servers_have_names_of_their_own(self) -> Case:
        named = [server.as_ for server in self.servers]
        if len(set(named)) != len(named):
            msg = "two servers have the same `as`"
            raise ValueError(msg)
        return self

    @property
    def judged_from_a_pod(self) -> bool:
        if self.pod is not None:
            return self.pod
        return bool(self.hosts or self.dns) or self.group == "hosts"
