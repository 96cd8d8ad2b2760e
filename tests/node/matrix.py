"""The confusion matrix: what the kubelet did with the webhook off, against what it said when on."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.node.objects import Use
from tests.node.review import Found, of_image
from tests.node.stage import Row
from tests.node.truth import FAILED, NO_WORD, PULLED, RAN, Done

# Of what ran, so much may be warned of.
WARNED_AT_MOST = 0.02
MANIFESTS = 150

# A warning of these says nothing of whether the pull goes through.
_APART = {"mutable-tag"}
# How long each waits for a silent registry is its own.
_PATIENCE = {"deadline", "timeout"}
_APART_CAUSES = {"secret-not-found", "secret-in-other-namespace"}


@dataclass(frozen=True)
class Cell:
    """One image: what became of it, and what was said of it. `said` is None where nobody asked.

    `pull` and `checked` are the words of the command that checks manifests, which is asked
    of the last step alone.
    """

    row: Row
    use: Use
    truth: Done
    said: tuple[Found, ...] | None
    verdict: str
    pull: str | None = None
    checked: tuple[Found, ...] = ()

    @property
    def name(self) -> str:
        sent = self.row.sent
        return f"{self.row.case}/{self.row.step} {sent.kind} {sent.name} {self.use.field}"

    @property
    def answer(self) -> str:
        """Return denied, warned or allowed: of this image, whatever became of its object."""
        told = self.told
        if any(one.action == "deny" for one in told):
            return "denied"
        return "warned" if told else "allowed"

    @property
    def told(self) -> tuple[Found, ...]:
        return tuple(
            one
            for one in self.said or ()
            if one.action in ("deny", "warn") and one.rule not in _APART
        )

    @property
    def cause(self) -> str:
        """Return our cause: the one that denies before others, "-" where there is none."""
        ranked = sorted(
            self.told, key=lambda one: (one.action != "deny", one.rule == "pull-secret")
        )
        return ranked[0].cause if ranked else "-"

    @property
    def is_silent(self) -> bool:
        return self.truth.by_records is None and self.answer == "allowed"

    @property
    def is_warned_in_vain(self) -> bool:
        """Tell whether a warning says what did not come to be.

        What is found of a secret is told once for the pod: there it may be the other
        image that it is about.
        """
        others_failed = any(one.verdict == FAILED for one in self.row.done.values())
        return self.truth.by_records is None and any(
            one.action == "warn"
            and one.cause not in _APART_CAUSES
            and (one.field == self.use.field or not others_failed)
            for one in self.told
        )

    @property
    def is_checked_wrong(self) -> bool:
        """Tell whether the command's `pull` says the contrary of what became of it."""
        if self.truth.by_records is not None:
            return False
        if self.truth.verdict == FAILED:
            return self.pull == "ok" and not any(one.action == "warn" for one in self.checked)
        ran = self.truth.verdict in (RAN, PULLED)
        return ran and (self.pull == "fails" or self._denied_in_vain)

    @property
    def _denied_in_vain(self) -> bool:
        denied = any(one.action == "deny" for one in self.checked)
        return denied and self.truth.verdict == RAN

    @property
    def doors_differ(self) -> bool:
        """Tell whether the webhook and the command find different things of the same image."""
        if self.said is None or self.pull is None:
            return False
        if any(one.cause in _PATIENCE for one in (*self.said, *self.checked)):
            return False
        return _as_set(self.said) != _as_set(self.checked)

    @property
    def is_wrong_by_records(self) -> bool:
        due = self.truth.by_records
        return due is not None and due != any(o.cause not in _APART_CAUSES for o in self.told)

    @property
    def real(self) -> str:
        due = {None: "", True: ", a warning is due", False: ", no warning is due"}
        records = due[self.truth.by_records]
        if self.truth.verdict == FAILED:
            causes = "/".join(self.truth.causes) or f"UNTAUGHT: {self.truth.message[:80]}"
            return causes + records
        return self.truth.verdict + records


class Matrix:
    """Joins the two runs by case, step and object; `whole` when every case was run."""

    def __init__(self, off: Sequence[Row], on: Sequence[Row], *, whole: bool) -> None:
        self._whole = whole
        self._off = list(off)
        self._on = {row.key: row for row in on}
        self.cells = list(self._joined())

    def _joined(self) -> Iterator[Cell]:
        for row in sorted(self._off, key=lambda row: row.key):
            other = self._on.get(row.key)
            for use in row.sent.uses:
                reviewed = other.reviewed if other is not None else None
                said = reviewed.of(use.field) if reviewed is not None and reviewed.verdict else None
                verdict = reviewed.verdict if reviewed is not None else ""
                checked = other.checked if other is not None else None
                yield Cell(
                    row,
                    use,
                    row.done[use.field],
                    said,
                    verdict,
                    checked.pulls.get(use.field) if checked is not None else None,
                    of_image(checked.findings, use.field) if checked is not None else (),
                )

    @property
    def objects(self) -> int:
        return sum(bool(row.sent.uses) for row in self._off)

    def missed(self) -> list[str]:
        """Return each bar that is missed, with what missed it."""
        ran = [cell for cell in self.cells if cell.truth.verdict == RAN]
        failed = [cell for cell in self.cells if cell.truth.verdict == FAILED]
        warned = sum(cell.is_warned_in_vain for cell in ran)
        bars = {
            "failed and were let through without a word": sum(cell.is_silent for cell in failed),
            "ran and were denied": sum(cell.answer == "denied" for cell in ran),
            f"of {len(ran)} ran and were warned of": (
                warned if warned > WARNED_AT_MOST * len(ran) else 0
            ),
            "were warned of, or were not, though only the kubelet's records decide": sum(
                cell.is_wrong_by_records for cell in ran + failed
            ),
            "were never reviewed": sum(cell.said is None for cell in ran + failed),
            "were checked from manifests and told the contrary": sum(
                cell.is_checked_wrong for cell in self.cells
            ),
            "were told otherwise by the webhook than by check": sum(
                cell.doors_differ for cell in self.cells
            ),
            "came to nothing that is known": sum(_odd(cell) for cell in self.cells),
        }
        found = [f"{count} images {what}" for what, count in bars.items() if count]
        if self._whole and self.objects < MANIFESTS:
            found.append(f"{self.objects} objects, {MANIFESTS} are wanted")
        return found

    def lines(self) -> Iterator[str]:
        yield f"{self.objects} objects with {len(self.cells)} images"
        yield ""
        yield from self._table()
        yield ""
        yield "what disagrees:"
        for cell in self.cells:
            if _wrong(cell):
                yield f"  {cell.name}: {cell.use.image} [{cell.use.policy}]"
                yield f"    really {cell.real} ({cell.truth.reason}): {cell.truth.message[:300]}"
                told = ", ".join(f"{one.action} {one.cause}" for one in cell.told) or "nothing"
                checked = (
                    ", ".join(f"{one.action} {one.cause}" for one in cell.checked) or "nothing"
                )
                yield f"    said {told} (verdict {cell.verdict or 'none'})"
                if cell.pull is not None:
                    yield f"    check said {cell.pull}: {checked}"

    def _table(self) -> Iterator[str]:
        counts: Counter[tuple[str, str, str]] = Counter(
            (cell.real, cell.answer if cell.said is not None else "not asked", cell.cause)
            for cell in self.cells
        )
        yield f"{'what the kubelet did':<58} {'we said':<10} {'our cause':<32} images"
        for (real, answer, cause), count in sorted(counts.items()):
            yield f"{real:<58} {answer:<10} {cause:<32} {count:>6}"

    def write(self, folder: Path, lines: Sequence[str]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "report.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _odd(cell: Cell) -> bool:
    return cell.truth.verdict == NO_WORD


def _listed(findings: Sequence[Found]) -> str:
    return ", ".join(f"{one.action} {one.cause}" for one in findings) or "nothing"


def _as_set(findings: Sequence[Found]) -> set[tuple[str, str]]:
    # In a pod that is admitted its account's secrets are its own, and so is their field.
    return {(one.cause, one.action) for one in findings}


def _wrong(cell: Cell) -> bool:
    if cell.is_checked_wrong or cell.doors_differ:
        return True
    if cell.truth.by_records is not None:
        return cell.is_wrong_by_records or (cell.truth.verdict == RAN and cell.answer == "denied")
    if cell.truth.verdict == FAILED:
        return cell.answer == "allowed" or (cell.cause not in cell.truth.causes)
    if cell.truth.verdict == RAN:
        return cell.answer == "denied" or cell.is_warned_in_vain
    return _odd(cell)


def as_json(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Return rows for a file; what was sent is left out but for its images."""
    return [
        {
            "case": row.case,
            "step": row.step,
            "kind": row.sent.kind,
            "name": row.sent.name,
            "status": row.status,
            "message": row.message,
            "warnings": row.warnings,
            "seconds": round(row.seconds, 3),
            "findings": [dataclasses.asdict(f) for f in row.reviewed.findings]
            if row.reviewed
            else None,
            "checked": dataclasses.asdict(row.checked) if row.checked else None,
            "images": [
                {
                    "field": use.field,
                    "image": use.image,
                    "policy": use.policy,
                    **dataclasses.asdict(row.done.get(use.field, Done(""))),
                }
                for use in row.sent.uses
            ],
        }
        for row in rows
    ]


def write_rows(path: Path, rows: Sequence[Row]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(as_json(rows), indent=1) + "\n", encoding="utf-8")
