"""One credential's try at one pull: what it may be told, what came of it so far."""

from dataclasses import dataclass, field, replace

from webhook.credentials.keyring import Credential
from webhook.registry.endpoint import Endpoint, Registry
from webhook.registry.outcome import Cause, Exchanged, Outcome, Pull
from webhook.registry.quota import Quota, quota_of
from webhook.registry.wire import Reply, Trouble

OK, AFTER_OK, ERRORS, SERVER_ERRORS = 200, 300, 400, 500
UNAUTHORIZED, FORBIDDEN, NOT_FOUND, NO_METHOD, TOO_MANY = 401, 403, 404, 405, 429

_NOT_KNOWN = frozenset(
    {Cause.DEADLINE, Cause.OVERLOADED, Cause.EGRESS_REFUSED, Cause.RUNTIME_UNKNOWN}
)
"""Troubles that are ours alone: containerd may well have had an answer."""


@dataclass(slots=True)
class Attempt:
    """Gathers the evidence while its sessions run, and words their conclusions.

    ``challenged``: a host asked for authority. ``sent``: the credential was used.
    ``own_host``: the last answer came from a host of the registry, not from a
    redirect's target. ``unheard``: a host that should have been asked first gave no answer.
    ``quota`` is what the host that has the name told of its pulls.
    """

    registry: Registry
    repository: str
    credential: Credential | None
    trail: list[Exchanged] = field(default_factory=list)
    challenged: bool = False
    sent: bool = False
    own_host: bool = True
    unheard: bool = False
    quota: Quota | None = None

    @property
    def has_password(self) -> bool:
        """Tell whether there is anything that could be handed out."""
        # An empty username is sent nowhere: the pull is then anonymous.
        return (
            self.credential is not None
            and bool(self.credential.username)
            and bool(self.credential.password)
        )

    def resolved(self, reply: Reply, host: Endpoint) -> None:
        """Take down what ``host`` told with the good answer to the name that just came."""
        told = quota_of(
            reply.headers_named("ratelimit-remaining"), reply.headers_named("ratelimit-limit")
        )
        user = self.trail[-1].user
        # What a redirect's target tells is no quota of the registry, and whose account a
        # header of hosts.toml stands for nobody says.
        if told is None or not self.own_host or (user is None and host.authorizes):
            self.quota = None
        else:
            self.quota = told.of(host.name, user or "")

    def fails(self, cause: Cause | None, detail: str = "") -> Outcome:
        """Return a failure that came about as things stand."""
        return Outcome(
            Pull.FAILS,
            cause,
            detail=detail,
            before_credentials=not self.challenged,
            own_host=self.own_host,
            source=self.credential.source if self.sent and self.credential else "",
        )

    def troubled(self, trouble: Trouble) -> Outcome:
        """Return what it means that no answer came."""
        outcome = self.fails(trouble.cause, trouble.detail)
        return replace(outcome, pull=Pull.UNKNOWN) if trouble.cause in _NOT_KNOWN else outcome

    def refused(self, reply: Reply) -> Outcome:
        """Return what an answer means that is neither good nor "not found"."""
        status = reply.status
        if status == UNAUTHORIZED:
            cause = Cause.CREDENTIALS_REJECTED if self.sent else Cause.CREDENTIALS_MISSING
        elif status == FORBIDDEN:
            cause = Cause.PERMISSION_DENIED if self.sent else Cause.DENIED_OR_MISSING
        elif status == TOO_MANY:
            cause = Cause.TOO_MANY_REQUESTS
        elif status >= SERVER_ERRORS:
            cause = Cause.SERVER_ERROR
        else:
            cause = Cause.UNEXPECTED_STATUS
        return self.fails(cause, f"it answered {status}")

    def kept_back(self, why: str) -> Outcome:
        """Return that we would not ask where containerd does: the pull may well succeed."""
        cause = Cause.CREDENTIAL_WITHHELD if self.has_password else Cause.EGRESS_REFUSED
        return self.fails(None).unknown(cause, why)

    def header_kept_back(self) -> Outcome:
        """Return that another host refused what a header of hosts.toml might have opened."""
        why = "a header of its hosts.toml goes to no other host"
        return self.fails(None).unknown(Cause.CREDENTIAL_WITHHELD, why)
