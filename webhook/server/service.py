"""What the server serves: the seam between HTTP and the engine behind it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from webhook.deadline import Deadline
from webhook.review.answer import ReviewAnswer


@dataclass(frozen=True, slots=True)
class Check:
    """One line of ``/readyz``: ``gates`` tells whether the start waits for it."""

    name: str
    ok: bool
    reason: str
    gates: bool = True


class Service(Protocol):
    """The engine with its collaborators, made anew in the worker process."""

    def review(self, body: bytes, deadline: Deadline) -> ReviewAnswer:
        """Answer one AdmissionReview; raises MalformedReview for one that cannot be answered."""
        ...

    def start(self) -> None:
        """Start threads (reloads, the first contact with the cluster); returns at once."""
        ...

    def checks(self) -> Sequence[Check]:
        """Return what stands and what does not: policies, cluster and the like."""
        ...

    def close(self) -> None:
        """Stop the threads. What is under way may end."""
        ...
