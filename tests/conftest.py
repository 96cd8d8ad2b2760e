"""What pytest is asked on the command line, for every folder of tests."""

from __future__ import annotations

import pytest

UPDATE_GOLDENS = "--update-goldens"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        UPDATE_GOLDENS,
        action="store_true",
        default=False,
        help="write what was printed into the golden texts instead of comparing the two",
    )


def pytest_configure(config: pytest.Config) -> None:
    asked = config.getoption(UPDATE_GOLDENS)
    if asked and UPDATE_GOLDENS not in config.invocation_params.args:
        # PYTEST_ADDOPTS or a settings file would make every run agree with itself.
        msg = f"{UPDATE_GOLDENS} counts on the command line only"
        raise pytest.UsageError(msg)
