from tests.e2e.harness.fixtures import (
    authority,
    basic_registry,
    cluster,
    namespace,
    registry,
    start_registry,
    start_tokens,
    token_registry,
)

__all__ = [
    "authority",
    "basic_registry",
    "cluster",
    "namespace",
    "registry",
    "start_registry",
    "start_tokens",
    "token_registry",
]
