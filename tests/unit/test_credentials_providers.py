"""Exec plugins, with real processes: what they answer, and all the ways in which they fail."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from webhook.credentials import execute, providers
from webhook.credentials.execute import Command, RunFailure, run_process
from webhook.credentials.node import (
    NodeCause,
    NodeFiles,
    NoNodeCredentials,
    Undecided,
    node_keyring,
)
from webhook.credentials.providerconfig import (
    CONFIG_VERSIONS,
    PROTOCOL_VERSIONS,
    Provider,
    Refused,
    read_config,
)
from webhook.credentials.providers import (
    Failing,
    NeedsToken,
    PluginProvider,
    Provided,
    environment_of,
)
from webhook.deadline import Deadline
from webhook.registry.outcome import Cause, Rule

MARK = "hunter2"
V1 = PROTOCOL_VERSIONS[0]
IMAGE = "r.io/team/app"


def response(**changes: Any) -> bytes:
    auth = {"r.io": {"username": "bot", "password": MARK}}
    base = {"kind": "CredentialProviderResponse", "apiVersion": V1, "cacheKeyType": "Image"}
    return json.dumps({**base, "auth": auth, **changes}).encode()


def script(path: Path, text: str) -> Path:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def plugin(tmp_path: Path) -> Callable[..., PluginProvider]:
    def made(text: str, **changes: Any) -> PluginProvider:
        script(tmp_path / "plugin", text)
        (tmp_path / "answer").write_bytes(response())
        settings: dict[str, Any] = {
            "match_images": ("r.io",),
            "cache_seconds": 0.0,
            "api_version": V1,
        }
        return PluginProvider(Provider("plugin", **{**settings, **changes}), tmp_path)

    return made


def answer(tmp_path: Path) -> str:
    return f'cat "{tmp_path}/answer"'


def failing(plugin: PluginProvider, seconds: float = 20) -> str:
    began = time.monotonic()
    got = plugin.provide(IMAGE, Deadline.after(seconds))
    assert isinstance(got, Failing)
    assert time.monotonic() - began < seconds + 2
    return got.why


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def await_end(path: Path) -> None:
    """Wait until the processes that wrote their ids there are gone."""
    pids = [int(word) for word in path.read_text().split()]
    assert pids
    until = time.monotonic() + 5
    while any(map(is_running, pids)):
        assert time.monotonic() < until, "a process outlived its run"
        time.sleep(0.02)


Made = Callable[..., PluginProvider]


def test_a_plugins_answer_becomes_credentials(tmp_path: Path, plugin: Made) -> None:
    got = plugin(answer(tmp_path)).provide(IMAGE, Deadline.after(20))
    assert isinstance(got, Provided)
    assert [(e.location, e.username, e.password) for e in got.entries] == [("r.io", "bot", MARK)]


def test_a_plugin_that_never_ends_is_cut_at_the_deadline(tmp_path: Path, plugin: Made) -> None:
    hangs = plugin(f'trap "" TERM INT HUP; echo $$ >"{tmp_path}/pids"; while :; do sleep 1; done')
    assert "did not end within" in failing(hangs, 1.0)
    await_end(tmp_path / "pids")


def test_a_plugin_that_did_not_end_is_not_asked_again_at_once(plugin: Made) -> None:
    hangs = plugin("sleep 30")
    failing(hangs, 0.3)
    began = time.monotonic()
    assert failing(hangs) == "did not end in time a moment ago"
    assert time.monotonic() - began < 1


def test_a_child_that_holds_the_output_open_is_killed_with_its_parent(
    tmp_path: Path, plugin: Made
) -> None:
    forks = plugin(f'sleep 60 & echo $! >"{tmp_path}/pids"; {answer(tmp_path)}; exit 0')
    assert "did not end within" in failing(forks, 1.0)
    await_end(tmp_path / "pids")


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="what leaves the group is found on Linux")
def test_a_daemon_of_a_session_of_its_own_is_killed_too(tmp_path: Path, plugin: Made) -> None:
    pids = tmp_path / "pids"
    text = f"setsid sh -c 'echo $$ >\"{pids}\"; exec sleep 60' >/dev/null 2>&1 </dev/null &\n"
    forks = plugin(f'{text} while ! test -s "{pids}"; do sleep 0.05; done; {answer(tmp_path)}')
    assert isinstance(forks.provide(IMAGE, Deadline.after(20)), Provided)
    await_end(pids)


def test_a_child_that_lives_on_after_the_answer_is_killed(tmp_path: Path, plugin: Made) -> None:
    forks = plugin(f'sleep 60 >/dev/null & echo $! >"{tmp_path}/pids"; {answer(tmp_path)}')
    assert isinstance(forks.provide(IMAGE, Deadline.after(20)), Provided)
    await_end(tmp_path / "pids")


def test_a_plugin_that_forks_without_end_is_killed_whole(tmp_path: Path, plugin: Made) -> None:
    own = tmp_path / "plugin"
    pids = tmp_path / "pids"
    forks = plugin(f'echo $$ >>"{pids}"; sleep 0.1; "{own}" & sleep 5; exit 0')
    failing(forks, 1.0)
    time.sleep(0.5)
    await_end(pids)
    count = len(pids.read_text().split())
    time.sleep(0.5)
    assert len(pids.read_text().split()) == count


def test_a_flood_is_cut(plugin: Made) -> None:
    assert failing(plugin("exec cat /dev/zero")) == "answered with more than 1048576 bytes"
    assert "did not end" in failing(plugin("exec cat /dev/zero >&2"), 0.5)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("exit 7", "ended with exit code 7"),
        ("kill -9 $$", "ended with signal 9"),
        ("exit 0", "did not answer with one JSON object"),
        (f"echo {MARK}", "did not answer with one JSON object"),
        (f"echo {MARK} >&2; exit 1", "ended with exit code 1"),
        ('cat "$0"', "did not answer with one JSON object"),
        ("cat /dev/urandom | head -c 5000", "did not answer with one JSON object"),
    ],
)
def test_a_plugin_that_fails_says_nothing_of_its_own(
    plugin: Made, caplog: pytest.LogCaptureFixture, text: str, why: str
) -> None:
    with caplog.at_level(logging.DEBUG):
        assert failing(plugin(text)) == why
    assert caplog.messages == [f"credential provider plugin {why}"]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (response() + b"x", "did not answer with one JSON object"),
        (response(apiVersion="v1"), f"did not answer with apiVersion {V1}"),
        (response(kind="Secret"), "did not answer with kind CredentialProviderResponse"),
        (response(token=MARK), "answered with a field that does not exist"),
        (response(**{MARK: 1}), "answered with a field that does not exist"),
        (response(auth={"r.io": MARK}), "answered with an auth whose entry is no object"),
        (response(auth={"r.io": {"password": 7}}), "answered with a password that is no text"),
        (response(cacheKeyType=MARK), "did not answer with a cacheKeyType that exists"),
        (response(cacheDuration=MARK), "answered with a cacheDuration that is no duration"),
        (b'{"a":' * 20_000, "did not answer with one JSON object"),
    ],
)
def test_nonsense_is_no_answer_and_nothing_of_it_is_told(
    tmp_path: Path, plugin: Made, caplog: pytest.LogCaptureFixture, content: bytes, why: str
) -> None:
    talks = plugin(answer(tmp_path))
    (tmp_path / "answer").write_bytes(content)
    with caplog.at_level(logging.DEBUG):
        assert failing(talks) == why
    assert MARK not in caplog.text


def test_a_plugin_that_is_not_there_or_no_program_fails(tmp_path: Path, plugin: Made) -> None:
    gone = plugin("exit 0")
    (tmp_path / "plugin").unlink()
    assert failing(gone) == "could not be started: No such file or directory"
    (tmp_path / "plugin").write_text("text")
    assert failing(gone) == "could not be started: Permission denied"
    (tmp_path / "plugin").chmod(0o755)
    assert failing(gone) == "could not be started: Exec format error"
    assert "no process can have" in failing(plugin("exit 0", args=("a\0b",)))


def test_a_plugin_that_reads_nothing_of_a_long_request_is_heard(
    tmp_path: Path, plugin: Made
) -> None:
    talks = plugin(f"exec <&-; {answer(tmp_path)}")
    long = f"r.io/{'a' * 300_000}"
    assert isinstance(talks.provide(long, Deadline.after(20)), Provided)
    talks = plugin(f'cat >"{tmp_path}/read"; {answer(tmp_path)}')
    assert isinstance(talks.provide(long, Deadline.after(20)), Provided)
    assert json.loads((tmp_path / "read").read_text())["image"] == long


def test_a_plugin_gets_a_bounded_environment(tmp_path: Path, plugin: Made) -> None:
    environ = {"PATH": os.environ["PATH"], "HOME": "/", "https_proxy": "p", "AWS_ROLE_ARN": "x"}
    plugin(f'env >"{tmp_path}/env"; {answer(tmp_path)}')
    config = Provider("plugin", ("r.io",), 0, V1, env=(("HOME", "/h"), ("A", "b=c")))
    PluginProvider(config, tmp_path, environ=environ).provide(IMAGE, Deadline.after(20))
    got = dict(line.split("=", 1) for line in (tmp_path / "env").read_text().splitlines())
    for name in ("PWD", "SHLVL", "_", "OLDPWD", execute.RUN_MARK):
        got.pop(name, None)
    assert got == {"PATH": environ["PATH"], "HOME": "/h", "https_proxy": "p", "A": "b=c"}
    assert environment_of({"PULLPROOF_X": "1", "NO_PROXY": "n"}) == {"NO_PROXY": "n"}


def test_a_plugin_inherits_no_open_file(tmp_path: Path, plugin: Made) -> None:
    secret = tmp_path / "secret"
    secret.write_text(MARK)
    with secret.open() as stream:
        os.set_inheritable(stream.fileno(), True)
        text = f'ls -l /proc/$$/fd >"{tmp_path}/fds"; {answer(tmp_path)}'
        plugin(text).provide(IMAGE, Deadline.after(20))
    assert "secret" not in (tmp_path / "fds").read_text()


class Counting:
    """A runner that counts, and can be held back."""

    def __init__(self, raw: bytes | RunFailure) -> None:
        self.raw = raw
        self.images: list[str] = []
        self.limits: list[float] = []
        self.go = threading.Event()
        self.go.set()

    def __call__(self, command: Command, deadline: Deadline) -> bytes | RunFailure:
        self.images.append(json.loads(command.stdin)["image"])
        self.limits.append(deadline.left())
        self.go.wait(deadline.left())
        return self.raw


def counted(raw: bytes | RunFailure, cache_seconds: float = 0) -> tuple[Counting, PluginProvider]:
    runner = Counting(raw)
    config = Provider("plugin", ("r.io", "*.r.io"), cache_seconds, V1)
    return runner, PluginProvider(config, Path("/plugins"), runner=runner)


@pytest.mark.parametrize(
    ("key_type", "runs"),
    [
        ("Image", ["r.io/a", "r.io/b", "x.r.io/a"]),
        ("Registry", ["r.io/a", "x.r.io/a"]),
        ("Global", ["r.io/a"]),
    ],
)
def test_an_answer_holds_for_what_its_key_type_says(key_type: str, runs: list[str]) -> None:
    runner, plugin = counted(response(cacheKeyType=key_type), 60)
    for image in ("r.io/a", "r.io/a", "r.io/b", "x.r.io/a", "r.io/b"):
        assert isinstance(plugin.provide(image, Deadline.after(5)), Provided)
    assert runner.images == runs


@pytest.mark.parametrize(
    ("duration", "default", "runs"),
    [(None, 60, 1), (None, 0, 2), ("0s", 60, 2), ("-1s", 60, 2), ("1h", 0, 1), ("10ms", 60, 2)],
)
def test_an_answer_holds_for_its_duration(duration: str | None, default: int, runs: int) -> None:
    runner, plugin = counted(response(cacheDuration=duration), default)
    plugin.provide(IMAGE, Deadline.after(5))
    time.sleep(0.03)
    plugin.provide(IMAGE, Deadline.after(5))
    assert len(runner.images) == runs


def test_a_failure_is_not_kept() -> None:
    runner, failed = counted(RunFailure("ended with exit code 1"), 60)
    failing(failed)
    runner.raw = response()
    assert isinstance(failed.provide(IMAGE, Deadline.after(5)), Provided)


def test_who_asks_at_once_shares_one_run() -> None:
    runner, plugin = counted(response())
    runner.go.clear()
    got: list[providers.ProviderResult] = []
    threads = [
        threading.Thread(target=lambda: got.append(plugin.provide(IMAGE, Deadline.after(10))))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    time.sleep(0.2)
    runner.go.set()
    for thread in threads:
        thread.join()
    assert len(runner.images) == 1
    assert all(isinstance(one, Provided) for one in got)


def test_who_waits_leaves_at_the_own_deadline() -> None:
    runner, plugin = counted(response())
    runner.go.clear()
    first = threading.Thread(target=plugin.provide, args=(IMAGE, Deadline.after(10)))
    first.start()
    time.sleep(0.1)
    began = time.monotonic()
    assert plugin.provide(IMAGE, Deadline.after(0.2)) == Failing("plugin", "gave no answer in time")
    assert time.monotonic() - began < 2
    runner.go.set()
    first.join()


def test_no_more_than_some_run_side_by_side_and_one_answer_serves_those_that_wait() -> None:
    runner, plugin = counted(response(cacheKeyType="Global"), 60)
    runner.go.clear()
    threads = [
        threading.Thread(target=plugin.provide, args=(f"r.io/{n}", Deadline.after(10)))
        for n in range(20)
    ]
    for thread in threads:
        thread.start()
    time.sleep(0.3)
    assert len(runner.images) == providers.RUNS_AT_ONCE
    late = plugin.provide("r.io/late", Deadline.after(0.1))
    assert late == Failing("plugin", "is running 4 times already")
    runner.go.set()
    for thread in threads:
        thread.join()
    assert len(runner.images) == providers.RUNS_AT_ONCE


def test_a_run_gets_the_kubelets_minute_at_most() -> None:
    runner, plugin = counted(response())
    plugin.provide(IMAGE, Deadline.after(1000))
    plugin.provide(IMAGE, Deadline.after(5))
    assert 59 < runner.limits[0] <= 60
    assert 4 < runner.limits[1] <= 5


def test_kept_answers_are_bounded() -> None:
    _, plugin = counted(response(), 60)
    for number in range(providers.MAX_CACHED + 10):
        plugin.provide(f"r.io/{number}", Deadline.after(5))
    assert len(plugin._kept) == providers.MAX_CACHED


def test_no_password_is_printed(tmp_path: Path, plugin: Made) -> None:
    got = plugin(answer(tmp_path)).provide(IMAGE, Deadline.after(20))
    command = Command(Path("/x"), (MARK,), {"A": MARK}, MARK.encode())
    config = Provider("x", ("r.io",), 0, V1, (MARK,), (("A", MARK),))
    assert MARK not in repr([got, command, config])


# The whole of a node.


def configured(tmp_path: Path, *listed: dict[str, Any], **changes: Any) -> Path:
    base = {"matchImages": ["r.io"], "defaultCacheDuration": "0", "apiVersion": V1}
    config = {
        "apiVersion": CONFIG_VERSIONS[0],
        "kind": "CredentialProviderConfig",
        "providers": [{**base, **one} for one in listed],
        **changes,
    }
    path = tmp_path / "providers.yaml"
    path.write_text(json.dumps(config))
    return path


def auth_of(user: str, *keys: str) -> bytes:
    return response(auth={key: {"username": user, "password": MARK} for key in keys})


def says(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / f"{name}.json").write_bytes(content)
    script(tmp_path / name, f'cat "{tmp_path}/{name}.json"')


def test_the_file_comes_first_then_all_plugins_as_one_keyring(tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    file.write_text(json.dumps({"auths": {"r.io": {"username": "file"}}}))
    says(tmp_path, "one", auth_of("one", "*.io", "r.io"))
    says(tmp_path, "two", auth_of("two", "r.io/team", "r.io"))
    config = configured(tmp_path, {"name": "one"}, {"name": "two"})
    got = NodeFiles(file, (config, tmp_path)).lookup(IMAGE, Deadline.after(20))
    assert not isinstance(got, Undecided)
    assert [(c.source, c.key) for c in got] == [
        ("node/config.json", "r.io"),
        ("provider/two", "r.io/team"),
        ("provider/one", "r.io"),
        ("provider/two", "r.io"),
        ("provider/one", "*.io"),
    ]


def test_a_plugin_that_fails_leaves_it_undecided_with_what_is_known(tmp_path: Path) -> None:
    says(tmp_path, "one", auth_of("one", "r.io"))
    script(tmp_path / "two", "exit 1")
    config = configured(tmp_path, {"name": "one"}, {"name": "two"})
    got = NodeFiles(None, (config, tmp_path)).lookup(IMAGE, Deadline.after(20))
    assert isinstance(got, Undecided)
    assert got.cause is NodeCause.PROVIDER_FAILING
    assert got.why == "credential provider two ended with exit code 1"
    assert [c.source for c in got.credentials] == ["provider/one"]
    assert NodeFiles(None, (config, tmp_path)).lookup("q.io/a", Deadline.after(5)) == ()


def test_a_plugin_that_wants_a_service_accounts_token_is_undecided(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    token = {
        "serviceAccountTokenAudience": "a",
        "cacheType": "Token",
        "requireServiceAccount": True,
    }
    says(tmp_path, "one", auth_of("one", "r.io"))
    config = configured(tmp_path, {"name": "one", "tokenAttributes": token})
    providers_of = read_config(config)
    assert not isinstance(providers_of, Refused)
    plugin = PluginProvider(providers_of[0], tmp_path)
    assert plugin.provide(IMAGE, Deadline.after(5)) == NeedsToken("one")
    got = NodeFiles(None, (config, tmp_path)).lookup(IMAGE, Deadline.after(5))
    assert isinstance(got, Undecided)
    assert "wants a token of the pod's service account" in got.why
    words = "credential provider one wants service account tokens: not run"
    assert caplog.messages == [words]


def test_a_configuration_that_no_kubelet_takes_leaves_every_image_undecided(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    says(tmp_path, "one", auth_of("one", "r.io"))
    config = configured(tmp_path, {"name": "one", "env": [{"name": "A", "values": MARK}]})
    node = NodeFiles(None, (config, tmp_path))
    got = node.lookup("q.io/a", Deadline.after(5))
    node.lookup("q.io/a", Deadline.after(5))
    assert isinstance(got, Undecided)
    assert got.cause is NodeCause.PROVIDER_FAILING
    assert "providers[0].env[].'values' is not a field" in got.why
    assert len(caplog.messages) == 1
    assert MARK not in got.why + caplog.text
    configured(tmp_path, {"name": "one"})
    assert isinstance(node.lookup(IMAGE, Deadline.after(20)), tuple)
    config.unlink()
    gone = node.lookup(IMAGE, Deadline.after(5))
    assert isinstance(gone, Undecided)
    assert "No such file" in gone.why


def test_without_files_nothing_is_read() -> None:
    node = node_keyring(Path("/x"), (Path("/y"), Path("/z")), files=False)
    assert isinstance(node, NoNodeCredentials)
    assert node.lookup(IMAGE, Deadline.after(1)) == ()


def test_files_without_a_file_are_undeclared() -> None:
    got = node_keyring(None, None, files=True).lookup(IMAGE, Deadline.after(1))
    assert isinstance(got, Undecided)
    assert got.cause is NodeCause.UNDECLARED


def test_every_cause_is_one_of_the_rule_undecided() -> None:
    rules = {cause.value: cause.rule for cause in Cause}
    assert {rules[cause.value] for cause in NodeCause} == {Rule.UNDECIDED}


@pytest.fixture(autouse=True)
def _nothing_left() -> Iterator[None]:
    yield
    for entry in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if f"{execute.RUN_MARK}=".encode() in entry.read_bytes():
                os.kill(int(entry.parent.name), signal.SIGKILL)
                pytest.fail("a process of a plugin was left behind")


def test_a_process_that_somebody_else_reaps_is_no_answer(
    tmp_path: Path, plugin: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(*_: object) -> None:
        raise ChildProcessError(10, "No child processes")

    monkeypatch.setattr(os, "waitid", gone)
    assert failing(plugin(answer(tmp_path))) == "could not be heard: No child processes"


def test_a_run_with_no_time_left_ends_at_once(tmp_path: Path) -> None:
    path = script(tmp_path / "p", "sleep 30")
    began = time.monotonic()
    got = run_process(Command(path, (), {"PATH": os.environ["PATH"]}, b""), Deadline.after(0))
    assert isinstance(got, RunFailure)
    assert got.timed_out
    assert time.monotonic() - began < 2
