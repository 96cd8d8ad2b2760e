"""What is wrong with the pull secrets themselves.

The kubelet passes over a secret that is not there, of another type, or empty,
without a word; it tells of a missing one only after a pull has failed.
"""

from collections.abc import Iterator

from webhook.cluster.view import Absent
from webhook.credentials.secret import Secret
from webhook.registry.outcome import Cause, Pull
from webhook.rules.facts import PULL_SECRET_TYPES, Found, Judged, NamedSecret

_WANT_OF_CREDENTIAL = frozenset({Cause.CREDENTIALS_MISSING, Cause.DENIED_OR_MISSING})


def findings(judged: Judged) -> Iterator[Found]:
    """Yield what is wrong with the account and each secret that the pod names."""
    pod = judged.pod
    if isinstance(pod.account_state, Absent):
        field = f"{pod.spec_field}.serviceAccountName"
        yield Found(Cause.SERVICE_ACCOUNT_NOT_FOUND, field=field, secret=pod.account)
    for secret in pod.secrets:
        cause = _fault(secret)
        if cause is not None:
            yield Found(cause, field=secret.field, secret=secret.name)
    if _lacks_entry(judged):
        for secret in pod.secrets:
            if secret.is_usable and not secret.is_broken:
                yield Found(Cause.SECRET_NO_ENTRY, field=secret.field, secret=secret.name)


def _fault(secret: NamedSecret) -> Cause | None:
    if not secret.name:
        return None
    if isinstance(secret.state, Absent):
        return Cause.SECRET_NOT_FOUND
    if not isinstance(secret.state, Secret):
        return None
    if secret.state.type not in PULL_SECRET_TYPES:
        return Cause.SECRET_WRONG_TYPE
    return None if secret.is_usable else Cause.SECRET_MALFORMED


def _lacks_entry(judged: Judged) -> bool:
    return (
        judged.outcome.pull is not Pull.OK
        and judged.outcome.cause in _WANT_OF_CREDENTIAL
        and not judged.credentials
    )
