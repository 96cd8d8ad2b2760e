"""What the sentences of a finding are made of: its names, fit to be shown, and its commands."""

import re

from webhook.credentials.keyring import Broken, Keyring
from webhook.credentials.secret import DOCKERCFG_TYPE, Secret
from webhook.images.reference import Reference
from webhook.registry.outcome import Cause
from webhook.review.words import quoted, shell_word, shown
from webhook.rules.facts import NamedSecret
from webhook.rules.judge import Finding

DOCKER_HUB = "docker.io"
DOCKER_HUB_SERVER = "https://index.docker.io/v1/"
"""The key of Docker Hub: the kubelet does not take ``docker.io/v1`` or the registry's host."""
NEW_SECRET = "regcred"  # noqa: S105  # a name that Kubernetes' own documentation uses
NAME_LIMIT = 80
_SETTABLE = ("Deployment", "StatefulSet", "DaemonSet", "CronJob")
_OBJECT_NAME = re.compile(r"[a-z0-9](?:[-a-z0-9.]{0,251}[a-z0-9])?")
_SOURCES = {"secret": "secret", "file": "file", "node": "node's", "provider": "provider"}


class Subject:
    """One finding's names and texts, each of them on one line and bounded."""

    def __init__(self, finding: Finding) -> None:
        judged = finding.judged
        reference = judged.use.reference
        parsed = reference if isinstance(reference, Reference) else None
        self.finding = finding
        self.judged = judged
        self.outcome = judged.outcome
        self.written = judged.use.written
        self.image = quoted(self.written)
        self.detail = shown(finding.detail or judged.outcome.detail)
        self.host = shown(parsed.host) if parsed else ""
        self.repository = quoted(parsed.repository) if parsed else ""
        self.tag = shown(parsed.tag or "") if parsed else ""
        self.digest = parsed.digest or "" if parsed else ""
        self.name = shown(parsed.name) if parsed else ""
        self.namespace = shown(judged.pod.namespace)
        self.spec = judged.pod.spec_field
        self.secret = quoted(finding.secret, NAME_LIMIT)
        self.user = self._sent_user()
        self.sent = named_source(judged.outcome.source) if judged.outcome.source else ""

    # -- credentials --------------------------------------------------------------------

    @property
    def login(self) -> str:
        """Whose credential was sent: ``user "bot" of secret "regcred"``."""
        user = f"user {quoted(self.user, NAME_LIMIT)}" if self.user else "the user"
        return f"{user} of {self.sent}" if self.sent else user

    def _sent_user(self) -> str:
        source = self.outcome.source
        matching = [c.username for c in self.judged.credentials if c.source == source]
        sent = [r.user for r in self.outcome.requests if r.user in matching]
        return (sent or matching or [""])[-1] or ""

    @property
    def tried(self) -> list[str]:
        """The sources of the credentials that matched, each once."""
        return list(dict.fromkeys(named_source(c.source) for c in self.judged.credentials))

    @property
    def broken_key(self) -> str:
        """The key of the entry that cannot be decoded, empty where it is not one entry."""
        keyring = self.judged.pod.keyring
        return keyring.location if isinstance(keyring, Broken) else ""

    @property
    def broken_entry(self) -> str:
        """The same in parentheses."""
        return f" (entry {quoted(self.broken_key, NAME_LIMIT)})" if self.broken_key else ""

    def keys_of(self, source: str) -> list[str]:
        """Return the registries that one secret holds entries for."""
        keyring = self.judged.pod.keyring
        credentials = keyring.credentials if isinstance(keyring, Keyring) else ()
        return list(
            dict.fromkeys(
                # A key with an odd scheme keeps its user and password in its path.
                shown(c.key.rpartition("@")[2], NAME_LIMIT)
                for c in credentials
                if c.source == source
            )
        )

    def named_secret(self) -> NamedSecret | None:
        """Return the pull secret that the finding is about, where the pod names it."""
        secrets = self.judged.pod.secrets
        return next((s for s in secrets if s.name == self.finding.secret), None)

    @property
    def secret_type(self) -> str:
        """The type of the secret that the finding is about."""
        named = self.named_secret()
        state = named.state if named is not None else None
        return quoted(state.type, NAME_LIMIT) if isinstance(state, Secret) else "another"

    # -- commands -----------------------------------------------------------------------

    def create_secret(self, name: str, server: str = "") -> str:
        """Return the command that makes a pull secret, by itself for the image's registry."""
        host = DOCKER_HUB_SERVER if self.host == DOCKER_HUB else self.host or "REGISTRY"
        return (
            f"kubectl create secret docker-registry {shell_word(name)} "
            f"-n {shell_word(self.judged.pod.namespace)} "
            f"--docker-server={shell_word(server or host)} "
            "--docker-username=USER --docker-password=PASSWORD"
        )

    def renewed_secret(self, name: str, server: str = "", *, force: bool = False) -> str:
        """Return the command that puts new content into a secret that is there."""
        # What has another type, or none of its content, cannot be changed in place.
        into = "replace --force" if force else "apply"
        create = self.create_secret(name, server)
        return f"{create} --dry-run=client -o yaml | kubectl {into} -f -"

    def attach_secret(self) -> str:
        """Return the command for a secret of its own, and the edit that names it.

        Recreating one that is there would drop its entries for other registries.
        """
        names = {s.name for s in self.judged.pod.secrets}
        fresh = (n for n in (NEW_SECRET, *(f"{NEW_SECRET}-{i}" for i in range(2, len(names) + 3))))
        name = next(n for n in fresh if n not in names)
        field = f"{self.spec}.imagePullSecrets"
        if names and self.judged.pod.account_state is not None:
            # A list of the pod's own would take the account's secrets from it.
            account = quoted(self.judged.pod.account, NAME_LIMIT)
            edit = f"add {{name: {name}}} to imagePullSecrets of service account {account}"
        elif names:
            edit = f"add {{name: {name}}} to {field}"
        else:
            edit = f"write {field}: [{{name: {name}}}]"
        return f"{edit}, and create that secret if it is not there: {self.create_secret(name)}"

    def renew_credential(self) -> str:
        """Return what puts another user or password where the one that was sent stands."""
        kind, _, name = self.outcome.source.partition("/")
        if kind != "secret":
            return f"put a working user and password into {self.sent or 'its config'}"
        others = [key for key in self.keys_of(self.outcome.source) if key not in self._own_keys()]
        if others:
            listed = ", ".join(others[:3])
            return (
                f"correct the entry for {self.host} in {self.sent} of namespace {self.namespace} "
                f"(do not recreate it: it also serves {listed})"
            )
        return self.renewed_secret(name, self.broken_key, force=self._is_legacy(name))

    def _own_keys(self) -> set[str]:
        source = self.outcome.source
        return {shown(c.key, NAME_LIMIT) for c in self.judged.credentials if c.source == source}

    def _is_legacy(self, name: str) -> bool:
        states = [s.state for s in self.judged.pod.secrets if s.name == name]
        return any(isinstance(s, Secret) and s.type == DOCKERCFG_TYPE for s in states)

    def set_image(self, image: str) -> str:
        """Return the command that changes the image of an object that is there, or nothing."""
        pod, use = self.judged.pod, self.judged.use
        settable = pod.kind in _SETTABLE and use.place in ("containers", "initContainers")
        if pod.operation != "UPDATE" or not settable or not (pod.name and use.container):
            return ""
        target = shell_word(f"{pod.kind.lower()}/{pod.name}")
        change = shell_word(f"{use.container}={image}")
        return f"kubectl set image {target} {change} -n {shell_word(pod.namespace)}"

    @property
    def refused_at_once(self) -> bool:
        """Tell whether the registry refused without asking for a login."""
        return self.outcome.before_credentials and self.finding.cause is Cause.DENIED_OR_MISSING


def named_source(source: str) -> str:
    """Name where a credential comes from: ``secret/regcred`` is ``secret "regcred"``."""
    kind, _, name = source.partition("/")
    return f"{_SOURCES.get(kind, kind)} {quoted(name, NAME_LIMIT)}"


def can_be_named(name: str) -> bool:
    """Tell whether an object of the API can have that name."""
    return _OBJECT_NAME.fullmatch(name) is not None
