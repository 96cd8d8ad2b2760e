"""The kubelet's exec plugins: asked about an image, once at a time, and remembered.

Reproduces ``pluginProvider`` of ``pkg/credentialprovider/plugin`` (1.37): what an answer
holds for is the plugin's to say (image, registry, all), for how long too. Unlike there, a
failure is told: the plugin that fails here may do well on a node.
"""

import logging
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from webhook.credentials.dockerconfig import Entry
from webhook.credentials.execute import Command, RunFailure, Runner, run_process
from webhook.credentials.keyring import image_matches
from webhook.credentials.providerapi import (
    CacheKeyType,
    Response,
    ResponseFault,
    decode_response,
    encode_request,
)
from webhook.credentials.providerconfig import Provider
from webhook.deadline import Deadline

KUBELET_SECONDS = 60.0
"""How long the kubelet lets a plugin run."""
RUNS_AT_ONCE = 4
"""Processes of one plugin side by side: one that hangs leaves the others their share."""
PAUSE_SECONDS = 3.0
"""How long a plugin that did not end is not asked again: it would hold each review up."""
MAX_CACHED = 1024
"""Answers of one plugin that are kept."""

ENVIRONMENT = ("PATH", "HOME", *(f"{n}_PROXY" for n in ("HTTP", "HTTPS", "NO", "ALL")))
"""What of our own environment a plugin gets; the proxies' names in small letters too.

The kubelet hands on all of its own. Ours is a pod's: the identity that a cloud puts there
(``AWS_ROLE_ARN`` and such) is not the node's, and what else is there is nobody's business.
What a plugin needs beyond that stands in ``env`` of its configuration.
"""

_GLOBAL = "<global>"

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Provided:
    """A plugin's credentials, with their keys as it wrote them; none: it has none."""

    name: str
    entries: tuple[Entry, ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Failing:
    """A plugin gave no answer that the kubelet would take."""

    name: str
    why: str


@dataclass(frozen=True, slots=True)
class NeedsToken:
    """A plugin answers for a pod's service account only; no such token is asked for here."""

    name: str


ProviderResult: TypeAlias = Provided | Failing | NeedsToken


@dataclass(slots=True)
class _Flight:
    """A run that others may wait for."""

    done: threading.Event = field(default_factory=threading.Event)
    result: ProviderResult | None = None


def environment_of(environ: Mapping[str, str]) -> dict[str, str]:
    """Return what of an environment a plugin is given."""
    names = {*ENVIRONMENT, *(name.lower() for name in ENVIRONMENT if name.endswith("_PROXY"))}
    return {name: value for name, value in environ.items() if name in names}


class PluginProvider:
    """One plugin; may be used from many threads."""

    def __init__(
        self,
        config: Provider,
        bin_dir: Path,
        *,
        runner: Runner = run_process,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self.name = config.name
        self.wants_token = config.wants_token
        self._config = config
        self._path = bin_dir.absolute() / config.name
        self._runner = runner
        self._environ = environment_of(os.environ if environ is None else environ)
        self._lock = threading.Lock()
        self._slots = threading.BoundedSemaphore(RUNS_AT_ONCE)
        self._flights: dict[str, _Flight] = {}
        self._kept: OrderedDict[str, tuple[float, tuple[Entry, ...]]] = OrderedDict()
        self._paused_until = 0.0

    def matches(self, image: str) -> bool:
        """Tell whether the kubelet would ask this plugin about ``image`` (no tag)."""
        return any(image_matches(pattern, image) for pattern in self._config.match_images)

    def provide(self, image: str, deadline: Deadline) -> ProviderResult:
        """Return the plugin's credentials by ``deadline``; never raises for what it does."""
        if self.wants_token:
            return NeedsToken(self.name)
        with self._lock:
            kept = self._cached(image)
            flight = self._flights.get(image)
            leads = flight is None
            if flight is None:
                flight = self._flights[image] = _Flight()
            if kept is not None:
                if leads:
                    del self._flights[image]
                return kept
        if leads:
            try:
                flight.result = self._asked(image, deadline)
            finally:
                with self._lock:
                    del self._flights[image]
                flight.done.set()
        else:
            flight.done.wait(deadline.left())
        return flight.result or Failing(self.name, "gave no answer in time")

    def _asked(self, image: str, deadline: Deadline) -> ProviderResult:
        if not self._slots.acquire(timeout=deadline.left()):
            return Failing(self.name, f"is running {RUNS_AT_ONCE} times already")
        try:
            with self._lock:
                # While this one waited, another image's answer may have come to hold for it.
                kept, paused = self._cached(image), self._paused_until > time.monotonic()
            if kept is not None:
                return kept
            if paused:
                return Failing(self.name, "did not end in time a moment ago")
            result = self._run(image, min(deadline, Deadline.after(KUBELET_SECONDS)))
        finally:
            self._slots.release()
        if isinstance(result, Failing):
            logger.warning("credential provider %s %s", self.name, result.why)
        return result

    def _run(self, image: str, deadline: Deadline) -> Provided | Failing:
        version = self._config.api_version
        env = {**self._environ, **_variables(self._config.env)}
        request = encode_request(version, image)
        if deadline.passed:
            return Failing(self.name, "was not run, for want of time")
        raw = self._runner(Command(self._path, self._config.args, env, request), deadline)
        if isinstance(raw, RunFailure):
            if raw.timed_out:
                with self._lock:
                    self._paused_until = time.monotonic() + PAUSE_SECONDS
            return Failing(self.name, raw.why)
        try:
            response = decode_response(version, raw)
        except ResponseFault as fault:
            return Failing(self.name, str(fault))
        self._keep(image, response)
        return Provided(self.name, response.entries)

    def _cached(self, image: str) -> Provided | None:
        """Return a kept answer: for the image, its registry, or all; the lock is held."""
        now = time.monotonic()
        for key in (image, _registry(image), _GLOBAL):
            until, entries = self._kept.get(key, (0.0, ()))
            if until >= now:
                return Provided(self.name, entries)
            self._kept.pop(key, None)
        return None

    def _keep(self, image: str, response: Response) -> None:
        seconds = response.cache_seconds
        if seconds is None:
            seconds = self._config.cache_seconds
        if seconds <= 0:
            return
        key = {
            CacheKeyType.IMAGE: image,
            CacheKeyType.REGISTRY: _registry(image),
            CacheKeyType.GLOBAL: _GLOBAL,
        }[response.cache_key_type]
        with self._lock:
            self._kept[key] = (time.monotonic() + seconds, response.entries)
            self._kept.move_to_end(key)
            while len(self._kept) > MAX_CACHED:
                self._kept.popitem(last=False)


def _registry(image: str) -> str:
    return image.partition("/")[0]


def _variables(pairs: tuple[tuple[str, str], ...]) -> dict[str, str]:
    """Return configured variables as a process sees them: cut at the first ``=``, last wins."""
    variables = {}
    for name, value in pairs:
        key, _, rest = f"{name}={value}".partition("=")
        variables[key] = rest
    return variables
