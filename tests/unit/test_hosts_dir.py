"""Where containerd's certs.d is named: by a flag, or by the RegistryConfig."""

from pathlib import Path

import pytest

from webhook.cli import main
from webhook.cli.assemble import settings_for
from webhook.cli.options import Parser, ViewOptions, add_view, view_of
from webhook.images.reference import Reference, parse
from webhook.policy.files import PolicySet, load
from webhook.registry.misspelt import with_misspelling
from webhook.registry.outcome import Cause, Outcome, Pull
from webhook.registry.settings import RegistrySettings

CONFIG = """\
apiVersion: pullproof.dev/v1alpha1
kind: RegistryConfig
metadata: {name: nodes}
spec:
  hostsDir: /etc/containerd/certs.d
"""


def configured(tmp_path: Path) -> RegistrySettings:
    file = tmp_path / "registries.yaml"
    file.write_text(CONFIG)
    loaded = load([file])
    assert isinstance(loaded, PolicySet), loaded
    return loaded.registry


def options(*arguments: str) -> ViewOptions:
    parser = Parser(prog="x")
    add_view(parser)
    return view_of(parser.parse_args(arguments))


def test_a_registry_config_names_the_folder(tmp_path: Path) -> None:
    settings = settings_for(configured(tmp_path), options(), local=False)
    assert settings.hosts_dir == Path("/etc/containerd/certs.d")
    assert RegistrySettings().hosts_dir is None


def test_the_flag_wins(tmp_path: Path) -> None:
    given = options("--hosts-dir", str(tmp_path))
    assert settings_for(configured(tmp_path), given, local=False).hosts_dir == tmp_path


def test_a_flag_that_names_no_folder_is_misuse(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    absent = tmp_path / "absent"
    assert main(["inspect", "nginx", "--offline", "--hosts-dir", str(absent)]) == 3
    assert capsys.readouterr().err == f"pullproof: --hosts-dir: {absent} is no folder\n"


def test_a_registry_that_a_hosts_toml_serves_is_not_called_misspelt(tmp_path: Path) -> None:
    (tmp_path / "gchr.io").mkdir()
    reference = parse("gchr.io/acme/app")
    assert isinstance(reference, Reference)
    nowhere = Outcome(Pull.FAILS, Cause.DNS_NOT_FOUND)
    assert with_misspelling(nowhere, reference, RegistrySettings()) != nowhere
    assert with_misspelling(nowhere, reference, RegistrySettings(hosts_dir=tmp_path)) == nowhere
