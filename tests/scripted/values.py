"""The sans-io half: a conversation is played against a function from Ask to Reply."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from webhook.credentials.keyring import Credential
from webhook.images.reference import Reference, parse
from webhook.registry.endpoint import registry_for
from webhook.registry.exchange import Target, predict
from webhook.registry.manifest import OCI_MANIFEST
from webhook.registry.outcome import Outcome
from webhook.registry.recall import Recall
from webhook.registry.settings import Depth, RegistrySettings
from webhook.registry.wire import Ask, Reply, Trouble

Answer = Reply | Trouble
Script = Callable[[Ask], Answer]

BODY = json.dumps({"schemaVersion": 2, "config": {}, "layers": []}).encode()
DIGEST = "sha256:" + hashlib.sha256(BODY).hexdigest()
BEARER = 'Bearer realm="https://reg.example/token",service="reg",scope="repository:acme/app:pull"'
BASIC = 'Basic realm="reg"'

BOT = Credential("secret/bot", "reg.example", "bot", "hunter2")
AMY = Credential("secret/amy", "reg.example", "amy", "sesame-")


def image(text: str = "reg.example/acme/app:1") -> Reference:
    reference = parse(text)
    assert isinstance(reference, Reference)
    return reference


def target(
    text: str = "reg.example/acme/app:1",
    depth: Depth = Depth.EXISTS,
    settings: RegistrySettings | None = None,
) -> Target:
    reference = image(text)
    return Target(reference, registry_for(reference, settings or RegistrySettings()), depth)


@dataclass
class Played:
    outcome: Outcome
    asks: list[Ask] = field(default_factory=list)

    @property
    def lines(self) -> list[str]:
        """What was asked: method, path without its query, and as whom."""
        return [_line(ask) for ask in self.asks]


def _line(ask: Ask) -> str:
    parts = urlsplit(ask.url)
    host = "" if parts.netloc == "reg.example" else f"{parts.scheme}://{parts.netloc}"
    return f"{ask.method} {host}{parts.path}" + (f" as {ask.user}" if ask.user else "")


def play(
    script: Script,
    where: Target,
    credentials: Sequence[Credential] = (),
    recall: Recall | None = None,
    now: float = 0.0,
) -> Played:
    steps = predict(where, credentials, recall, now)
    asks: list[Ask] = []
    try:
        ask = next(steps)
        while True:
            asks.append(ask)
            ask = steps.send(script(ask))
    except StopIteration as done:
        return Played(done.value, asks)


def in_turn(*answers: Answer) -> Script:
    """Give the answers in their order, the last one for ever."""
    left = list(answers)
    return lambda _: left.pop(0) if len(left) > 1 else left[0]


def reply(status: int, body: bytes = b"", /, **headers: str) -> Reply:
    named = tuple((name.replace("_", "-"), value) for name, value in headers.items())
    return Reply(status, named, body)


def found(body: bytes = BODY, type_: str = OCI_MANIFEST, **headers: str) -> Reply:
    digest = "sha256:" + hashlib.sha256(body).hexdigest()
    headers = {
        "content_type": type_,
        "content_length": str(len(body)),
        "docker_content_digest": digest,
    } | headers
    return reply(200, body, **{name: value for name, value in headers.items() if value})


def challenge(*lines: str) -> Reply:
    return Reply(401, tuple(("www-authenticate", line) for line in lines))


def token(**members: object) -> Reply:
    return reply(200, json.dumps(members).encode())


def header(ask: Ask, name: str) -> str:
    return next((value for key, value in ask.headers if key == name), "")


@dataclass
class Registry:
    """A registry that guards every path by a challenge, and its token service."""

    asks_for: tuple[str, ...] = (BEARER,)
    behind: Script = field(default=lambda _: found())
    tokens: Script = field(default=lambda _: token(access_token="t0k"))
    takes: Callable[[str], bool] = field(default=bool)

    def __call__(self, ask: Ask) -> Answer:
        if urlsplit(ask.url).path == "/token":
            return self.tokens(ask)
        if not self.takes(header(ask, "authorization")):
            return challenge(*self.asks_for)
        return self.behind(ask)
