"""What the rules look at: one image of one pod with all that was learned of it."""

import dataclasses
from dataclasses import dataclass
from enum import StrEnum

from webhook.cluster.scheduling import Eligible
from webhook.cluster.view import Absent, ServiceAccount, Unreadable
from webhook.credentials.dockerconfig import Undecodable, entries_of
from webhook.credentials.keyring import Broken, Credential, Keyring
from webhook.credentials.node import Undecided
from webhook.credentials.secret import DOCKER_CONFIG_JSON_TYPE, DOCKERCFG_TYPE, Secret
from webhook.images.workloads import ImageUse
from webhook.policy.action import Action
from webhook.registry.outcome import Cause, Outcome
from webhook.registry.quota import Quota
from webhook.registry.settings import RegistrySettings

PULL_SECRET_TYPES = (DOCKER_CONFIG_JSON_TYPE, DOCKERCFG_TYPE)


@dataclass(frozen=True, slots=True)
class NamedSecret:
    """A pull secret that the pod, or its account, names; ``field`` is where."""

    name: str
    field: str
    state: Secret | Absent | Unreadable
    is_usable: bool = dataclasses.field(init=False)
    """Whether the kubelet reads credentials from it."""
    is_broken: bool = dataclasses.field(init=False)
    """Whether it holds an entry that breaks every pull of the pod."""

    def __post_init__(self) -> None:
        # Decoded once: every image of the pod asks, and a secret can hold a megabyte.
        entries = entries_of(self.state) if isinstance(self.state, Secret) else None
        object.__setattr__(self, "is_usable", entries is not None)
        object.__setattr__(self, "is_broken", isinstance(entries, Undecodable))


@dataclass(frozen=True, slots=True)
class PodFacts:
    """What the images of one pod share."""

    namespace: str
    kind: str
    name: str
    account: str
    account_state: ServiceAccount | Absent | Unreadable | None
    """None where the account was not looked at, since the pod names secrets itself."""
    secrets: tuple[NamedSecret, ...]
    keyring: Keyring | Broken
    settings: RegistrySettings
    spec_field: str = "spec"
    operation: str = "CREATE"
    eligible: Eligible | Unreadable | None = None
    """The nodes that the pod may run on, or why they are not known; None: none is known of."""

    @property
    def missing(self) -> tuple[NamedSecret, ...]:
        """Return the secrets that are named and not there."""
        return tuple(s for s in self.secrets if isinstance(s.state, Absent) and s.name)

    @property
    def unreadable(self) -> Unreadable | None:
        """Return why the pod's credentials are not all known, None where they are."""
        if isinstance(self.account_state, Unreadable):
            return self.account_state
        return next((s.state for s in self.secrets if isinstance(s.state, Unreadable)), None)


@dataclass(frozen=True, slots=True)
class Presence:
    """What the nodes say of an image: who lists it, and how many lists are too full to tell.

    ``perhaps_by`` are those that list as many names as they can of an image of the same
    repository. ``virtual`` counts nodes that tell nobody what they hold. ``unreadable`` says
    why the nodes are not known; nobody looked where all is empty.
    """

    held_by: tuple[str, ...] = ()
    perhaps_by: tuple[str, ...] = ()
    full_lists: int = 0
    virtual: int = 0
    unreadable: Unreadable | None = None


@dataclass(frozen=True, slots=True)
class Judged:
    """One image, the credentials that the kubelet would try for it, and what came of it.

    ``kept_back`` is None but where every node that may run the pod holds the image, so
    that only the kubelet's records of who pulled it decide: whether they may keep it from
    this pod (:mod:`webhook.rules.records`). ``undecided`` is why nodes may hold more
    credentials than ``credentials``, None where they do not.
    """

    pod: PodFacts
    use: ImageUse
    credentials: tuple[Credential, ...]
    outcome: Outcome
    presence: Presence = Presence()
    kept_back: bool | None = None
    undecided: Undecided | None = None


class PulledBy(StrEnum):
    """What pulls each image once: a node does for all its pods, where the nodes are known."""

    NODE = "node"
    POD = "pod"
    EVERY_NODE = "every node"


@dataclass(frozen=True, slots=True)
class Shortage:
    """A quota that is smaller than the pulls that one rollout starts at most.

    ``images`` are those that are pulled by it, ``most`` the pulls of the one that most
    need, in units of ``by``. By every node: the counts are those of one node, and how
    many there are is not known.
    """

    quota: Quota
    pulls: int
    images: int
    most: int
    by: PulledBy


@dataclass(frozen=True, slots=True)
class Found:
    """What a rule found: ``doubt`` says what is lacking for a denial, empty where nothing is.

    ``field`` and ``secret`` name the pull secret that a finding is about, ``shortage`` the
    quota that several images of the pod share. ``most`` is the most that may be done about it.
    ``detail`` is a phrase of its own for the message, where the outcome's is about something
    else.
    """

    cause: Cause
    doubt: str = ""
    field: str = ""
    secret: str = ""
    most: Action = Action.DENY
    shortage: Shortage | None = None
    detail: str = ""
