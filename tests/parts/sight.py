"""Building under pytest where it can be seen: the first time takes minutes."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from tests.parts.find import locate

if TYPE_CHECKING:
    import pytest


def locate_in_sight(config: pytest.Config, names: Iterable[str]) -> dict[str, Path]:
    """Locate parts from within a fixture, whose output pytest would keep to itself."""
    capture = config.pluginmanager.getplugin("capturemanager")
    with ExitStack() as stack:
        if capture is not None:
            stack.enter_context(capture.global_and_fixture_disabled())
        return locate(names)
