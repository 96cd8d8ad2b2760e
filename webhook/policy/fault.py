"""What is wrong with a policy file, in the form that editors and pipelines read."""

from dataclasses import asdict, dataclass
from enum import StrEnum

ROOT = "."
"""The path of a fault that concerns a whole file or document."""


class Severity(StrEnum):
    """An error refuses the set of files, a warning only speaks."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault. ``line`` and ``column`` are 1-based; ``path`` is ``spec.rules.mutable-tag``.

    Printed as ``file:line:column: error: path: text``.
    """

    file: str
    line: int
    column: int
    severity: Severity
    path: str
    text: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}:{self.column}"
        return f"{place}: {self.severity}: {self.path}: {self.text}"

    def to_json(self) -> dict[str, str | int]:
        """Return the fields by their names, for machines."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Refused:
    """A set of files that was refused whole: every fault, warnings too, in reading order."""

    faults: tuple[Fault, ...]

    def __str__(self) -> str:
        return "\n".join(map(str, self.faults))


def path_text(steps: tuple[str | int, ...]) -> str:
    """Return ``spec.exempt[0].reason`` for its steps, :data:`ROOT` for none."""
    text = ""
    for step in steps:
        text += f"[{step}]" if isinstance(step, int) else f".{step}"
    return text.removeprefix(".") or ROOT
