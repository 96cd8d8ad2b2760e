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
from tests.e2e.stage import acme, registries, terminal, webhook

__all__ = [
    "acme",
    "authority",
    "basic_registry",
    "cluster",
    "namespace",
    "registries",
    "registry",
    "start_registry",
    "start_tokens",
    "terminal",
    "token_registry",
    "webhook",
]
