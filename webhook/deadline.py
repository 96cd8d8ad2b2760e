"""The absolute time by which an answer has to stand, passed down to each socket."""

import time
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True, order=True)
class Deadline:
    """A point on the monotonic clock, in seconds, after which nobody waits any more."""

    at: float

    @classmethod
    def after(cls, seconds: float) -> Self:
        """Return the deadline that lies ``seconds`` from now."""
        return cls(time.monotonic() + seconds)

    def left(self) -> float:
        """Return the seconds that are left, never less than zero."""
        return max(0.0, self.at - time.monotonic())

    def share(self, part: float) -> "Deadline":
        """Return the deadline that lies after ``part`` (0 to 1) of the seconds that are left."""
        return Deadline.after(self.left() * part)

    @property
    def passed(self) -> bool:
        """Tell whether no time is left."""
        return time.monotonic() >= self.at
