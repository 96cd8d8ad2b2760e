"""What a policy does with a finding."""

from enum import StrEnum


class Action(StrEnum):
    """What a finding does, from the strongest down."""

    DENY = "deny"
    WARN = "warn"
    AUDIT = "audit"
    OFF = "off"

    @property
    def weight(self) -> int:
        """Return 3 for deny down to 0 for off, so that the milder of two can be taken."""
        return 3 - list(Action).index(self)

    def at_most(self, other: "Action") -> "Action":
        """Return the milder of the two."""
        return self if self.weight <= other.weight else other
