"""Our own side: what `pullproof inspect` says of a case, in one process or as a command."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.differential.plot import DOCKERCFG, Plot

COMMAND = Path(sys.executable).with_name("pullproof")
# Beyond the command's own --timeout, before we say that it hangs.
_GRACE = 60


@dataclass(frozen=True)
class Said:
    """`pull` and `cause` as printed; `trouble` where there is no such answer."""

    pull: str
    cause: str | None
    trouble: str = ""
    requests: tuple[str, ...] = ()
    seconds: float = 0.0


def arguments(plot: Plot, folder: Path, vantage: str) -> list[str]:
    """Write the case's files into `folder`, and return the words of the command."""
    words = ["--depth", "whole", "--vantage", vantage, "--output", "json"]
    words += ["--timeout", str(plot.case.timeout)]
    if plot.secrets and all(secret.plain is not None for secret in plot.secrets):
        for secret in plot.secrets:
            ending = "dockercfg" if secret.type == DOCKERCFG else "json"
            path = folder / f"{secret.name}.{ending}"
            path.write_bytes(secret.plain or b"")
            words += ["--docker-config", str(path)]
    elif plot.secrets:
        manifests = folder / "manifests"
        manifests.mkdir()
        words += ["--manifests", str(manifests)]
        for secret in plot.secrets:
            words += ["--pod-secret", secret.name]
            if secret.data is not None:
                text = yaml.safe_dump(_manifest(secret.as_json()))
                (manifests / f"{secret.name}.yaml").write_text(text, encoding="utf-8")
    if plot.hosts_files:
        for path_in, text in plot.hosts_files.items():
            path = folder / "certs.d" / path_in
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        words += ["--hosts-dir", str(folder / "certs.d")]
    if plot.case.policy is not None:
        policy = folder / "policy.yaml"
        policy.write_text(yaml.safe_dump(_registry_config(plot.case.policy)), encoding="utf-8")
        words += ["--policy", str(policy)]
    return [*words, "--", plot.case.image]


def _registry_config(spec: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "apiVersion": "pullproof.dev/v1alpha1",
        "kind": "RegistryConfig",
        "metadata": {"name": "case"},
        "spec": dict(spec),
    }


def _manifest(secret: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": secret["name"], "namespace": "default"},
        "type": secret["type"],
        "data": secret["data"],
    }


class Engine:
    """Processes that judge many cases on threads, through what the command itself calls."""

    def __init__(self, environment: Mapping[str, str], count: int = 2) -> None:
        self._environment = {**_clean(), **environment}
        self._workers = [_Worker(self._environment) for _ in range(count)]
        self._next = 0
        self._lock = threading.Lock()

    def judge(self, plot: Plot, folder: Path, vantage: str, *, process: bool = False) -> Said:
        folder.mkdir(parents=True)
        try:
            words = arguments(plot, folder, vantage)
            limit = plot.case.timeout + _GRACE
            if process or plot.case.env:
                environment = {**self._environment, **plot.case.env}
                return _told(_as_process(words, environment, limit))
            with self._lock:
                self._next += 1
                worker = self._workers[self._next % len(self._workers)]
            return _told(worker.ask(words, limit))
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def close(self) -> None:
        for worker in self._workers:
            worker.close()


def _clean() -> dict[str, str]:
    return {
        name: value
        for name, value in os.environ.items()
        if not name.lower().endswith("_proxy") and not name.startswith("PULLPROOF_")
    }


def _as_process(words: list[str], environment: Mapping[str, str], limit: float) -> dict[str, Any]:
    try:
        ended = subprocess.run(
            [COMMAND, "inspect", *words],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=limit,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return {"trouble": "it hangs"}
    try:
        return {"exit": ended.returncode, "said": json.loads(ended.stdout)}
    except ValueError:
        return {"trouble": f"exit {ended.returncode}: {ended.stderr.decode(errors='replace')}"}


def _told(answer: Mapping[str, Any]) -> Said:
    if "said" not in answer:
        return Said("none", None, str(answer["trouble"]).strip()[-2000:])
    said = answer["said"]
    requests = tuple(
        f"{r['method']} {r['url']} -> {r['status']}" + (f" as {r['as']}" if r["as"] else "")
        for r in said["requests"]
    )
    trouble = ""
    if answer["exit"] != {"ok": 0, "fails": 1, "unknown": 2}[said["pull"]]:
        trouble = f"it says {said['pull']} and exits {answer['exit']}"
    return Said(said["pull"], said["cause"], trouble, requests)


class _Worker:
    def __init__(self, environment: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.differential.worker"],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self._lock = threading.Lock()
        self._waiting: dict[int, Future[dict[str, Any]]] = {}
        self._count = 0
        threading.Thread(target=self._read, daemon=True, name="engine").start()

    def ask(self, words: list[str], limit: float) -> dict[str, Any]:
        future: Future[dict[str, Any]] = Future()
        with self._lock:
            self._count += 1
            number = self._count
            self._waiting[number] = future
            assert self._process.stdin is not None
            line = json.dumps({"number": number, "words": words})
            self._process.stdin.write(line.encode() + b"\n")
            self._process.stdin.flush()
        try:
            return future.result(limit)
        except TimeoutError:
            return {"trouble": "it hangs"}

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            told = json.loads(line)
            with self._lock:
                future = self._waiting.pop(told["number"])
            future.set_result(told)
        with self._lock:
            for future in self._waiting.values():
                future.set_result({"trouble": "the process that judges has ended"})

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(20)
