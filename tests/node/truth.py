"""What the kubelet did with each image, from the status of its pods: pure functions."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from tests.differential.runtimes import Failure, Pulled
from tests.differential.verdict import right_causes
from tests.node.objects import Use, is_volume

RAN = "ran"
PULLED = "pulled, did not run"
FAILED = "failed"
NOT_REACHED = "not reached"
NO_WORD = "no word"
REFUSED = "refused"
"""By the API server itself, with or without a webhook."""

_PULL_FAILED = ("ErrImagePull", "ImagePullBackOff")
# Reasons of the kubelet for a pull that was not tried; api/core has no list of them.
_NEVER_TRIED = {
    "InvalidImageName": None,
    "ErrImageNeverPull": "never-pulled",
    "ImageInspectError": None,
    "RegistryUnavailable": None,
    "SignatureValidationFailed": None,
}
# The image was there: what failed came after it.
_NOT_RUN = (
    "CrashLoopBackOff",
    "CreateContainerError",
    "CreateContainerConfigError",
    "RunContainerError",
    "StartError",
    "ContainerCannotRun",
)
_NOT_YET = ("ContainerCreating", "PodInitializing", "")


@dataclass(frozen=True)
class Done:
    """What became of one image. `reason` is the kubelet's word, `causes` what it means in ours.

    `by_records` is None but where the image was on the node already and the policy lets the
    kubelet use it: then only its records of who pulled it decide, which nobody else can
    read. It tells whether a warning is due: the registry refuses anonymous pulls, and no
    credential of the pod matches.
    """

    verdict: str
    reason: str = ""
    message: str = ""
    causes: tuple[str, ...] = ()
    by_records: bool | None = None


@dataclass(frozen=True)
class Seen:
    """A pod's containers and the events about it, as the API server has them."""

    status: Mapping[str, Any]
    events: Sequence[Mapping[str, Any]] = ()
    spec: Mapping[str, Any] = field(default_factory=dict)

    def state(self, container: str) -> Mapping[str, Any] | None:
        found = self._status(container)
        state: Mapping[str, Any] | None = found.get("state")
        return state

    def restarts(self, container: str) -> int:
        return int(self._status(container).get("restartCount", 0))

    def _status(self, container: str) -> Mapping[str, Any]:
        for part in ("initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses"):
            for one in self.status.get(part, []):
                if one["name"] == container:
                    found: Mapping[str, Any] = one
                    return found
        return {}


def settled(uses: Sequence[Use], pods: Sequence[Seen]) -> bool:
    """Tell whether everything of an object's pods has come to something."""
    return bool(pods) and all(_of_pod_settled(uses, pod) for pod in pods)


def _of_pod_settled(uses: Sequence[Use], pod: Seen) -> bool:
    done = {use.container: _of(use, pod) for use in uses if not is_volume(use)}
    if any(
        one.verdict == FAILED and "initContainers" in use.field
        for use in uses
        if (one := done.get(use.container)) is not None
    ):
        return True
    unmounted = [
        _of_volume(use, uses, pod)
        for use in uses
        if is_volume(use) and not any(use.image in one.mounted for one in uses)
    ]
    return all(one.verdict != NO_WORD for one in unmounted) and all(
        one.verdict in (RAN, PULLED, FAILED)
        or (one.verdict == NOT_REACHED and one.reason not in _NOT_YET)
        for one in done.values()
    )


def done(uses: Sequence[Use], pods: Sequence[Seen], *, matched: bool) -> dict[str, Done]:
    """Return what became of each image of an object, by its field."""
    found = {}
    for use in uses:
        of_pods = [_judged(use, uses, pod, matched=matched) for pod in pods]
        found[use.field] = of_pods[0] if of_pods else Done(NO_WORD)
    return found


def _judged(use: Use, uses: Sequence[Use], pod: Seen, *, matched: bool) -> Done:
    one = _of_volume(use, uses, pod) if is_volume(use) else _of(use, pod)
    if one.verdict != FAILED:
        return one
    return replace(one, causes=_causes(one, matched=matched))


def _of(use: Use, pod: Seen) -> Done:
    state = pod.state(use.container)
    if state is None:
        return Done(NO_WORD)
    # Our programs end badly only where they cannot be run at all.
    if "running" in state:
        return Done(PULLED if pod.restarts(use.container) else RAN, "running")
    if "terminated" in state:
        ended = state["terminated"]
        verdict = RAN if ended.get("exitCode") == 0 else PULLED
        return Done(verdict, ended.get("reason", ""), ended.get("message", ""))
    waiting = state.get("waiting", {})
    reason, message = waiting.get("reason", ""), waiting.get("message", "")
    if reason in _NOT_RUN:
        return Done(PULLED, reason, message)
    if reason in _NOT_YET:
        reached = reason != "PodInitializing"
        return Done(NO_WORD if reached else NOT_REACHED, reason, message)
    if use.mounted and f'"{use.image}"' not in message:
        # The kubelet tells each container that mounts it of a volume's failure.
        return Done(NOT_REACHED, reason, message)
    return Done(FAILED, reason, message)


def _of_volume(use: Use, uses: Sequence[Use], pod: Seen) -> Done:
    """Judge an image volume by those who mount it, or by the events where nobody does."""
    name = use.container.removeprefix("volume:")
    mounting = [one for one in uses if name in one.mounts]
    for one in mounting:
        state = (pod.state(one.container) or {}).get("waiting", {})
        reason = state.get("reason", "")
        message = state.get("message", "")
        its_own = f'"{one.image}"' in message or one.mounted != (use.image,)
        if reason not in (*_NOT_YET, *_NOT_RUN) and (use.image in message or not its_own):
            return Done(FAILED, reason, state.get("message", ""))
    texts = [event.get("message", "") for event in pod.events]
    failed = [text for text in texts if text.startswith("Failed") and f'"{use.image}"' in text]
    if failed:
        return Done(FAILED, "event" if not mounting else "ErrImagePull", failed[0])
    if any(use.image in text for text in texts if "pulled image" in text or "already" in text):
        return Done(RAN, "pulled")
    states = [pod.state(one.container) or {} for one in mounting]
    if any("running" in state or "terminated" in state for state in states):
        return Done(RAN, "mounted")
    return Done(NO_WORD)


def _causes(one: Done, *, matched: bool) -> tuple[str, ...]:
    message = re.sub(r"^Back-off pulling image \"[^\"]*\": ErrImagePull: ", "", one.message)
    if one.reason == "ErrImageNeverPull":
        return ("never-pulled",)
    if one.reason == "InvalidImageName":
        return tuple(sorted(_right("parse", message, matched=matched)))
    if one.reason not in (*_PULL_FAILED, "event"):
        # The bare words of Go: nothing was asked of anybody.
        return ("credential-undecodable",)
    return tuple(sorted(_right("pull", message, matched=matched)))


def _right(stage: str, message: str, *, matched: bool) -> Iterator[str]:
    failures = tuple(Failure("", text) for text in _each(message))
    pulled = Pulled("fails", stage, failures, matched=int(matched))
    yield from right_causes(pulled, None)


def _each(message: str) -> list[str]:
    """Take apart what the kubelet tells of several credentials: `[a, b]`."""
    if message.startswith("[") and message.endswith("]"):
        return re.split(r", (?=rpc error|failed to pull)", message[1:-1])
    return [message]
