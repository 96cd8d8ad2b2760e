"""The real components that the tests run: `locate` finds each, or builds it once.

A part comes from the folder that `KUBEBUILDER_ASSETS` names, else from the PATH
when its version is close enough to the pinned one, else from the Go modules
beside this file, built once into a cache outside the tree.
"""

from tests.parts.find import locate
from tests.parts.recipe import PARTS, PartUnavailableError

__all__ = ["PARTS", "PartUnavailableError", "locate"]
