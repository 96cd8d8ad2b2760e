"""All that nodes hold themselves, in the kubelet's order: their file, then their plugins.

``imageManager`` of the kubelet (1.37) tries the pod's secrets first; then what is told
here. Every plugin that matches is asked, whatever was found before; the answers of all
make one keyring, in which equal keys keep the order of the configuration.
"""

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from webhook.credentials.dockerconfig import Entry
from webhook.credentials.execute import Runner, run_process
from webhook.credentials.files import Stamp, stamp_of
from webhook.credentials.keyring import Credential, keyring_of_entries
from webhook.credentials.nodefile import NodeDockerConfig, Unreadable
from webhook.credentials.providerconfig import Refused, config_files, read_config
from webhook.credentials.providers import Failing, PluginProvider, Provided
from webhook.deadline import Deadline

logger = logging.getLogger(__name__)


class NodeCause(StrEnum):
    """Why what a node holds is not known; the values are causes of the rule ``undecided``."""

    PROVIDER_FAILING = "provider-failing"
    UNDECLARED = "node-credentials-undeclared"


@dataclass(frozen=True, slots=True)
class Undecided:
    """A node may hold more than ``credentials``, which are those that are known.

    With them a pull that succeeds, succeeds; one that fails proves nothing. ``why`` is
    one plain sentence's part, without any secret.
    """

    cause: NodeCause
    why: str
    credentials: tuple[Credential, ...] = ()


class NodeKeyring(Protocol):
    """What nodes would try for an image after the pod's own secrets."""

    def lookup(self, name: str, deadline: Deadline) -> tuple[Credential, ...] | Undecided:
        """Ask for the image ``name`` (fully qualified, no tag); never raises, ends in time."""
        ...


class NoNodeCredentials:
    """Nodes that hold nothing of their own, or of which nothing was declared."""

    def lookup(self, name: str, deadline: Deadline) -> tuple[Credential, ...]:  # noqa: ARG002 - protocol
        """Return nothing."""
        return ()


class NodeFiles:
    """What the files of a node hold; may be used from many threads."""

    def __init__(
        self,
        docker_config: Path | None,
        credential_providers: tuple[Path, Path] | None,
        *,
        runner: Runner = run_process,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        """Take the docker config, and a CredentialProviderConfig with its plugins' folder.

        ``environ`` is where PATH, HOME and the proxies of plugins are taken from; None:
        this process's own environment.
        """
        self._file = NodeDockerConfig(docker_config) if docker_config is not None else None
        self._plugins: _Plugins | None = None
        if credential_providers is not None:
            config, bin_dir = credential_providers

            def made(of: Path) -> tuple[PluginProvider, ...] | Refused:
                providers = read_config(of)
                if isinstance(providers, Refused):
                    return providers
                return tuple(
                    PluginProvider(one, bin_dir, runner=runner, environ=environ)
                    for one in providers
                )

            self._plugins = _Plugins(config, made)

    def lookup(self, name: str, deadline: Deadline) -> tuple[Credential, ...] | Undecided:
        """Return what a node would try for ``name``, in its order."""
        found: tuple[Credential, ...] = ()
        unknown: list[tuple[NodeCause, str]] = []
        if self._file is None and self._plugins is None:
            why = "neither nodeDockerConfig nor credentialProviders is set"
            unknown.append((NodeCause.UNDECLARED, why))
        if self._file is not None:
            keyring = self._file.keyring()
            if isinstance(keyring, Unreadable):
                unknown.append((NodeCause.UNDECLARED, keyring.why))
            else:
                found = keyring.lookup(name)
        if self._plugins is not None:
            answers, faults = self._plugins.asked(name, deadline)
            unknown += [(NodeCause.PROVIDER_FAILING, why) for why in faults]
            found += keyring_of_entries(answers).lookup(name)
        if not unknown:
            return found
        return Undecided(unknown[0][0], "; ".join(why for _, why in unknown), found)


def node_keyring(
    docker_config: Path | None,
    credential_providers: tuple[Path, Path] | None,
    *,
    files: bool,
    runner: Runner = run_process,
) -> NodeKeyring:
    """Return what nodes hold: nothing unless ``files`` (``nodeCredentials: files``)."""
    if not files:
        return NoNodeCredentials()
    return NodeFiles(docker_config, credential_providers, runner=runner)


class _Plugins:
    """The plugins of a CredentialProviderConfig, made anew when it changes."""

    def __init__(
        self, config: Path, made: Callable[[Path], tuple[PluginProvider, ...] | Refused]
    ) -> None:
        self._config = config
        self._made = made
        self._lock = threading.Lock()
        self._read: tuple[object, tuple[PluginProvider, ...] | Refused] | None = None

    def asked(
        self, name: str, deadline: Deadline
    ) -> tuple[list[tuple[str, tuple[Entry, ...]]], list[str]]:
        """Return the answers with their sources, and why there are not more."""
        plugins = self._current()
        if isinstance(plugins, Refused):
            return [], [f"no kubelet starts with this CredentialProviderConfig: {plugins.reason}"]
        answers, faults = [], []
        for plugin in plugins:
            if not plugin.matches(name):
                continue
            result = plugin.provide(name, deadline)
            if isinstance(result, Provided):
                answers.append((f"provider/{result.name}", result.entries))
            elif isinstance(result, Failing):
                faults.append(f"credential provider {result.name} {result.why}")
            else:
                faults.append(
                    f"credential provider {result.name} wants a token of the pod's service "
                    "account, which is not asked for here"
                )
        return answers, faults

    def _current(self) -> tuple[PluginProvider, ...] | Refused:
        with self._lock:
            stamp = self._stamp()
            if self._read is None or self._read[0] != stamp:
                plugins = self._made(self._config)
                if isinstance(plugins, Refused):
                    logger.error("credential providers are not known: %s", plugins.reason)
                for plugin in () if isinstance(plugins, Refused) else plugins:
                    if plugin.wants_token:
                        words = "credential provider %s wants service account tokens: not run"
                        logger.warning(words, plugin.name)
                self._read = stamp, plugins
            return self._read[1]

    def _stamp(self) -> tuple[tuple[str, Stamp], ...] | None:
        try:
            return tuple((file.name, stamp_of(file)) for file in config_files(self._config))
        except (OSError, ValueError):
            return None
