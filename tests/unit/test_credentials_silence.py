"""No password, token or `auth` value is in the text of what this room returns or raises."""

from __future__ import annotations

import base64
import json
import traceback
from collections.abc import Iterator
from typing import Any

import pytest

from webhook.credentials.dockerconfig import docker_config_json, dockercfg, entries_of
from webhook.credentials.gojson import JsonError, parse
from webhook.credentials.keyring import Keyring, keyring_of
from webhook.credentials.secret import (
    DOCKER_CONFIG_JSON_KEY,
    DOCKER_CONFIG_JSON_TYPE,
    DOCKERCFG_KEY,
    DOCKERCFG_TYPE,
    Secret,
)

MARK = "hunter2"
PAIR = base64.b64encode(f"bot:{MARK}".encode()).decode()
FIELDS = ["auth", "password", "email", "identitytoken", "registrytoken", "serveraddress", "x"]
KEYS = [f"https://bot:{MARK}@r.io", f"bot:{MARK}@r.io/a", f"r.io?token={MARK}", f"r.io#{MARK}"]
SLIPS = [f"HTTPS://bot:{MARK}@r.io", f"oci://bot:{MARK}@r.io", f"https://bot:{MARK}/x@r.io"]


def configs() -> Iterator[bytes]:
    """Yield good and broken configs that hold the mark wherever something can be written."""
    whole: dict[str, Any] = dict.fromkeys(FIELDS, MARK) | {"auth": PAIR, "username": "bot"}
    yield from (json.dumps({"auths": {key: whole}}).encode() for key in [*KEYS, *SLIPS])
    for wrong in (MARK, [MARK], {"k": MARK}, 7, True, PAIR, f"%{MARK}", f"{PAIR} ", PAIR[:-3]):
        yield from (json.dumps({"auths": {KEYS[0]: {**whole, n: wrong}}}).encode() for n in FIELDS)
        yield json.dumps({"auths": {SLIPS[0]: wrong}}).encode()
        yield json.dumps({"auths": wrong, "HttpHeaders": {"X-Token": MARK}}).encode()
        yield json.dumps({"HttpHeaders": {MARK: wrong}, "auths": {"r.io": whole}}).encode()
        yield json.dumps(wrong).encode()
    good = json.dumps({"auths": {KEYS[0]: whole}, "x": MARK}).encode()
    for at in range(0, len(good), 3):
        yield good[:at]
        yield good[:at] + b"\xff" + good[at:]
        yield good[:at] + b'\\x"' + good[at:]
    yield b'{"x":' + b"[" * 20_000 + good


def said(value: object) -> str:
    return f"{value!r} {value} {json.dumps(str(value))}"


@pytest.mark.parametrize("type_", [DOCKER_CONFIG_JSON_TYPE, DOCKERCFG_TYPE])
def test_nothing_that_is_returned_says_a_secret(type_: str) -> None:
    for raw in configs():
        data = {DOCKER_CONFIG_JSON_KEY: raw, DOCKERCFG_KEY: raw}
        secret = Secret("shop", "pull", type_, data)
        keyring = keyring_of([("secret/pull", secret)])
        texts: list[object] = [
            secret,
            docker_config_json(raw),
            dockercfg(raw),
            entries_of(secret),
            keyring,
        ]
        if isinstance(keyring, Keyring):
            texts += [keyring.lookup("r.io/a"), *keyring.credentials]
        for text in map(said, texts):
            assert MARK not in text
            assert PAIR not in text


def test_nothing_that_is_raised_says_a_secret() -> None:
    raised = 0
    for raw in configs():
        try:
            document = parse(raw)
        except JsonError as error:
            raised += 1
            shown = "".join(traceback.TracebackException.from_exception(error).format())
            assert MARK not in shown + said(error)
            assert error.__context__ is None
        else:
            assert isinstance(document, str) or MARK not in said(document)
    assert raised > 50


def test_where_a_broken_entry_stands_is_told_without_its_user_info() -> None:
    for key in [*KEYS, *SLIPS]:
        got = docker_config_json(json.dumps({"auths": {key: {"auth": "%"}}}).encode())
        assert MARK not in said(got)
        assert "r.io" in said(got)
