"""What the tests against real components share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.oracle import Oracle
from tests.parts.sight import locate_in_sight


@pytest.fixture(scope="session")
def oracle(pytestconfig: pytest.Config) -> Iterator[Oracle]:
    """The kubelet's own parser and keyring, running."""
    locate_in_sight(pytestconfig, ["oracle"])
    with Oracle() as running:
        yield running
