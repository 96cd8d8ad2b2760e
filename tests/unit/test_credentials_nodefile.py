"""The node's own docker config: read as the kubelet reads it, and again when it changes."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path

import pytest

from webhook.credentials.keyring import Keyring
from webhook.credentials.node import NodeCause, NodeFiles, Undecided
from webhook.credentials.nodefile import MAX_BYTES, NodeDockerConfig, Unreadable
from webhook.credentials.providerconfig import Refused, read_config
from webhook.deadline import Deadline

MARK = "hunter2"
ENTRY = {"r.io": {"username": "bot", "password": MARK}}


def users(config: NodeDockerConfig, name: str = "r.io/a") -> list[tuple[str, str]]:
    keyring = config.keyring()
    assert isinstance(keyring, Keyring)
    return [(c.source, c.username) for c in keyring.lookup(name)]


@pytest.mark.parametrize(
    ("name", "content", "source"),
    [
        ("config.json", {"auths": ENTRY}, "node/config.json"),
        ("nodes.json", {"auths": ENTRY}, "node/config.json"),
        (".dockercfg", ENTRY, "node/.dockercfg"),
        ("nodes.dockercfg", ENTRY, "node/.dockercfg"),
    ],
)
def test_the_name_tells_the_kind(
    tmp_path: Path, name: str, content: dict[str, object], source: str
) -> None:
    path = tmp_path / name
    path.write_text(json.dumps(content))
    assert users(NodeDockerConfig(path)) == [(source, "bot")]


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        f'{{"auths": {{"r.io": {{"auth": "{MARK}%"}}}}}}',
        json.dumps({"auths": {**ENTRY, f"u:{MARK}@q.io": {"auth": "%"}}}),
        "[" * 20_000,
    ],
)
def test_a_file_that_does_not_decode_holds_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, content: str
) -> None:
    """Broken JSON or one undecodable entry: the file is skipped, here with a line in the log."""
    path = tmp_path / "config.json"
    path.write_text(content)
    config = NodeDockerConfig(path)
    with caplog.at_level(logging.DEBUG):
        assert users(config) == []
        assert users(config) == []
    assert len(caplog.messages) == 1
    assert MARK not in caplog.text


def test_it_is_read_again_when_it_changes(tmp_path: Path) -> None:
    """As a mounted Secret changes: a link is turned to another folder."""
    for name, user in (("old", "old"), ("new", "new")):
        (tmp_path / name).mkdir()
        text = json.dumps({"auths": {"r.io": {"username": user}}})
        (tmp_path / name / "config.json").write_text(text)
    link = tmp_path / "..data"
    link.symlink_to("old")
    path = tmp_path / "config.json"
    path.symlink_to("..data/config.json")
    config = NodeDockerConfig(path)
    assert users(config) == [("node/config.json", "old")]
    (tmp_path / "..tmp").symlink_to("new")
    (tmp_path / "..tmp").replace(link)
    assert users(config) == [("node/config.json", "new")]


def test_a_file_that_is_not_there_is_not_taken_for_an_empty_one(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "config.json"
    config = NodeDockerConfig(path)
    config.keyring()
    assert config.keyring() == Unreadable(f"{path} cannot be read: No such file or directory")
    assert len(caplog.messages) == 1
    path.mkdir()
    assert isinstance(config.keyring(), Unreadable)
    got = NodeFiles(path, None).lookup("r.io/a", Deadline.after(1))
    assert isinstance(got, Undecided)
    assert got.cause is NodeCause.UNDECLARED
    path.rmdir()
    path.write_text(json.dumps({"auths": ENTRY}))
    assert users(config) == [("node/config.json", "bot")]
    path.unlink()
    assert isinstance(config.keyring(), Unreadable)


def test_neither_a_device_nor_a_pipe_is_read(tmp_path: Path) -> None:
    pipe = tmp_path / "config.json"
    os.mkfifo(pipe)
    for path in (pipe, Path("/dev/zero")):
        assert isinstance(NodeDockerConfig(path).keyring(), Unreadable)
        assert isinstance(read_config(path), Refused)


def test_a_file_too_long_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.touch()
    os.truncate(path, MAX_BYTES + 1)
    got = NodeDockerConfig(path).keyring()
    assert got == Unreadable(f"{path} cannot be read: Has more than {MAX_BYTES} bytes")


def test_docker_hubs_old_key_counts_in_the_nodes_file_too(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"auths": {"https://index.docker.io/v1/": {"username": "hub"}}}))
    config = NodeDockerConfig(path)
    assert users(config, "docker.io/library/nginx") == [("node/config.json", "hub")]
