"""The mutants themselves, without running them: they can be applied, and the table is theirs."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.differential.corpus import chosen, load
from tests.differential.model import Case
from tests.differential.mutants import (
    CAUGHT,
    ENGINE,
    TABLE,
    Mutant,
    fingerprint,
    load_mutants,
)

LEAST_MUTANTS = 30
MOST_CASES = 60

_EACH = pytest.mark.parametrize("mutant", load_mutants(), ids=lambda mutant: mutant.name)


@pytest.fixture(scope="module")
def fast() -> list[Case]:
    return [case for case in load() if "slow" not in case.tags]


@pytest.fixture(scope="module")
def table() -> str:
    return TABLE.read_text(encoding="utf-8")


def test_at_least_thirty_rules_are_broken_each_under_a_name_of_its_own() -> None:
    names = Counter(mutant.name for mutant in load_mutants())
    assert len(names) >= LEAST_MUTANTS
    assert set(names.values()) == {1}


@_EACH
def test_a_mutant_breaks_one_place_of_the_engine_and_is_still_python(mutant: Mutant) -> None:
    """Where this fails the engine's text has changed: renew `old` in mutants.yaml."""
    broken = mutant.applied((ENGINE / mutant.file).read_text(encoding="utf-8"))
    compile(broken, mutant.file, "exec")
    assert mutant.new != mutant.old


@_EACH
def test_a_mutant_is_put_to_a_few_fast_cases(mutant: Mutant, fast: list[Case]) -> None:
    assert 1 <= len(chosen(fast, mutant.only)) <= MOST_CASES
    assert [glob for glob in mutant.only if not chosen(fast, [glob])] == []


@_EACH
def test_the_table_tells_that_a_mutant_is_caught_by_a_case(
    mutant: Mutant, fast: list[Case], table: str
) -> None:
    [row] = [line for line in table.splitlines() if line.startswith(f"| {mutant.name} |")]
    assert row.startswith(mutant.row)
    noticed, verdict = row.removeprefix(mutant.row).strip(" |").split(" | ")
    assert verdict == CAUGHT
    count, case = noticed.split(": ")
    assert int(count) >= 1
    assert case.strip("`") in {one.id for one in chosen(fast, mutant.only)}


def test_the_table_is_that_of_these_very_mutants(table: str) -> None:
    """Where this fails mutants.yaml has changed: run `python -m tests.differential.mutants`."""
    mutants = load_mutants()
    rows = [line.split(" | ")[0].strip("| ") for line in table.splitlines() if line[:2] == "| "]
    assert rows[1:] == [mutant.name for mutant in mutants]
    assert fingerprint(mutants) in table
