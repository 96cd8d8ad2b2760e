"""Certificates and names of registries, as servers with other settings see them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from tests.e2e.harness import Authority, Registry, push_image
from tests.e2e.harness.manifests import deployment
from tests.e2e.installation import Installation, Server
from tests.e2e.stage import Registries, Terminal

CORP = "registry.globex.example"

# The name service of a test; that of the machine may be none at all. Under a name of its
# own a registry on loopback is held to its certificate, as containerd does not hold 127.0.0.1.
NAMES = f"""\
import socket

ask = socket.getaddrinfo


def getaddrinfo(host, *rest, **more):
    if host == "dokcer.io":
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    return ask("127.0.0.1" if host == "{CORP}" else host, *rest, **more)


socket.getaddrinfo = getaddrinfo
"""


Serve = Callable[..., AbstractContextManager[Server]]


@pytest.fixture
def serve(installation: Installation, registries: Registries, tmp_path: Path) -> Serve:
    """Start a server with that name service: by its vantage, and the registries it also knows."""
    (tmp_path / "sitecustomize.py").write_text(NAMES, encoding="utf-8")

    def start(vantage: str, *more: dict[str, str]) -> AbstractContextManager[Server]:
        config = registries.config(tmp_path, vantage, *more)
        return installation.serving([config], {"PYTHONPATH": str(tmp_path)})

    return start


@pytest.fixture
def corp(start_registry: Callable[..., Registry], authority: Authority) -> str:
    """The host and port of a registry whose certificate is of a company's own authority."""
    registry = start_registry(tls=authority, names=[CORP])
    push_image(registry, "team/ledger", "1.0")
    return f"{CORP}:{registry.port}"


def test_a_certificate_of_an_unknown_authority_is_warned_of_until_its_ca_is_given(
    serve: Serve, globex: str, registries: Registries, corp: str, terminal: Terminal
) -> None:
    terminal.call(corp, f"{CORP}:PORT")
    ledger = deployment(globex, "ledger", f"{corp}/team/ledger:1.0")
    terminal.remark("pullproof was not given the CA of the registry")
    with serve("pod", {"match": corp}):
        [warned] = terminal.apply(ledger, options=("--dry-run=server",))
    terminal.remark("RegistryConfig names the CA")
    with serve("pod", {"match": corp, "ca": str(registries.ca)}):
        [silent] = terminal.apply(ledger, options=("--dry-run=server",))
    assert (warned.returncode, warned.stderr.count("Warning: ")) == (0, 1)
    assert (silent.returncode, silent.stderr) == (0, "")
    terminal.compare("certificate-of-an-unknown-authority")


def test_a_registry_one_slip_from_a_public_one_is_denied(
    serve: Serve, globex: str, terminal: Terminal
) -> None:
    with serve("node"):
        [denied] = terminal.apply(deployment(globex, "nginx", "dokcer.io/library/nginx:1.27"))
    assert denied.returncode == 1
    terminal.compare("misspelled-registry")
