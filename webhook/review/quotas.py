"""The sentences of a quota: what is left of it, for whom, and what a rollout takes of it."""

from webhook.registry.quota import Quota
from webhook.review.subject import NAME_LIMIT, Subject
from webhook.review.words import quoted, shown
from webhook.rules.facts import PulledBy, Shortage

_UNITS = ((3600, "hour", "h"), (60, "minute", "min"), (1, "second", "s"))
_ANYHOW = "pull through a mirror, or start fewer pods at a time"


def what(subject: Subject) -> str:
    """Say what is left, of how much, for whom, and how many pulls are started."""
    shortage = subject.finding.shortage
    if shortage is None:
        return "fewer pulls are left than this rollout starts"
    quota = shortage.quota
    whose = f"user {_user(quota)}" if quota.user else "anonymous pulls from pullproof's address"
    left = f"{_number(quota.remaining, 'pull')} left{_of_limit(quota)}"
    return f"{shown(quota.host)} has {left} for {whose}, and {_started(shortage)}"


def brief(subject: Subject) -> str:
    """Say the same without the limit."""
    shortage = subject.finding.shortage
    if shortage is None:
        return what(subject)
    quota = shortage.quota
    pulls = "pull" if quota.user else "anonymous pull"
    whose = f" for user {_user(quota)}" if quota.user else ""
    left = f"{_number(quota.remaining, pulls)} left{whose}"
    return f"{shown(quota.host)} has {left}, and {_started(shortage)}"


def mend(subject: Subject) -> str:
    """Say what brings a larger quota, or takes less of it."""
    shortage = subject.finding.shortage
    if shortage is None or _takes_no_login(subject, shortage.quota):
        return _ANYHOW
    if shortage.quota.user:
        user = _user(shortage.quota)
        return f"name a pull secret of an account with a higher limit than {user} has; or {_ANYHOW}"
    return f"{_ANYHOW}; or log in: {subject.attach_secret()}"


def quick(subject: Subject) -> str:
    """Say the same in the room of a warning."""
    shortage = subject.finding.shortage
    if shortage is None or _takes_no_login(subject, shortage.quota):
        return "start fewer pods at a time"
    way = "use a larger account" if shortage.quota.user else "log in"
    return f"{way}, or use a mirror"


def left_in_short(quota: Quota) -> str:
    """Return what is left on one line of ``inspect``: ``76 of 100 pulls left in 6 h (…)``."""
    limit = f" of {quota.limit}" if quota.limit is not None else ""
    noun = "pull" if (quota.limit or quota.remaining) == 1 else "pulls"
    span = ""
    if quota.window_seconds:
        count, _, unit = _in_units(quota.window_seconds)
        span = f" in {count} {unit}"
    whose = f"user {shown(quota.user, NAME_LIMIT)}" if quota.user else "anonymous"
    return f"{quota.remaining}{limit} {noun} left{span} ({whose})"


def _takes_no_login(subject: Subject, quota: Quota) -> bool:
    """Tell whether a pull secret would change nothing: none is asked for, or a mirror counts."""
    return quota.host != subject.host or (not quota.user and subject.outcome.before_credentials)


def _started(shortage: Shortage) -> str:
    if shortage.by is PulledBy.EVERY_NODE:
        return f"this rollout starts {shortage.pulls} on each node"
    to_each = shortage.pulls == shortage.images * shortage.most
    units = _number(shortage.most, shortage.by.value)
    where = (
        f"{'on' if shortage.by is PulledBy.NODE else 'for'} {'' if to_each else 'up to '}{units}"
    )
    pulls = f"up to {shortage.pulls}" if shortage.pulls > 1 else "1"
    return f"this rollout starts {pulls} ({_number(shortage.images, 'image')} {where})"


def _of_limit(quota: Quota) -> str:
    span = ""
    if quota.window_seconds:
        count, unit, _ = _in_units(quota.window_seconds)
        span = f" in {_number(count, unit)}"
    return f" (of {quota.limit}{span})" if quota.limit is not None else span


def _in_units(seconds: int) -> tuple[int, str, str]:
    """Return the largest unit of which it is a whole number, its name and its sign."""
    return next((seconds // size, name, sign) for size, name, sign in _UNITS if seconds % size == 0)


def _number(count: int, noun: str) -> str:
    return f"{count or 'no'} {noun}{'' if count == 1 else 's'}"


def _user(quota: Quota) -> str:
    return quoted(quota.user, NAME_LIMIT)
