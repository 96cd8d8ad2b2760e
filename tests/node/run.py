"""The two runs: every case with the webhook off, and once more with it on."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.differential.identities import Identities
from tests.differential.lab import Lab
from tests.differential.plot import Plot, Surveyor
from tests.differential.registries import Distributions
from tests.differential.runtimes import Puller
from tests.differential.space import furnish
from tests.e2e.harness.webhook import Webhook
from tests.node.checked import Check
from tests.node.corpus import filled
from tests.node.machine import Outfit
from tests.node.model import Case, World
from tests.node.stage import Doors, Laid, Row, Stage
from tests.node.traces import hide_folders

DEFAULT_POLICY = Path(__file__).parents[2] / "policies" / "default.yaml"


class Run:
    """Works inside the lab's own space, in `folder`."""

    def __init__(self, folder: Path, world: World, cases: Sequence[Case]) -> None:
        furnish(folder)
        hide_folders()
        self._folder = folder
        self._world = world
        self._identities = Identities(folder / "pki")
        self._lab = Lab(folder, self._identities)
        lab_cases = [case.as_lab_case() for case in cases]
        self._distributions = Distributions(lab_cases, self._identities)
        self._lab.always(self._distributions.names)
        surveyor = Surveyor(
            {"ca": str(self._identities.other.bundle)},
            self._distributions.hosts,
            self._distributions.tokens,
        )
        self._everywhere = surveyor.lay_out(world.as_lab_case())
        shared = _placeholders("world", self._everywhere)
        self._laid = []
        for case, lab_case in zip(cases, lab_cases, strict=True):
            plot = surveyor.lay_out(lab_case)
            known = {**shared, **_placeholders(case.id, plot)}
            self._laid.append(Laid(Case.model_validate(_walked(case, known)), plot))
            self._distributions.push(plot)
        self._puller = Puller()
        self._outfit = self._dressed(folder, filled(world.node.model_dump(), shared))

    def _dressed(self, folder: Path, node: dict[str, Any]) -> Outfit:
        programs = folder / "programs"
        programs.mkdir()
        for name, text in node["programs"].items():
            (programs / name).write_text(text, encoding="utf-8")
            (programs / name).chmod(0o755)
        docker_config = node["docker_config"]
        return Outfit(
            certs=self._lab.certs,
            pause=f"{self._everywhere.sites[0].host}/pause:1",
            environment=self._identities.environment,
            config_json=json.dumps(docker_config) if docker_config is not None else None,
            providers=_providers(node["providers"]) if node["providers"] else None,
            programs=programs if node["programs"] else None,
            opens=frozenset(node["opens"]),
        )

    def off(self) -> list[Row]:
        return self._on_stage("off", served=False)

    def on(self) -> list[Row]:
        return self._on_stage("on", served=True)

    def _on_stage(self, name: str, *, served: bool) -> list[Row]:
        began = time.monotonic()
        folder = self._folder / name
        with (
            self._lab.opened(self._everywhere),
            Stage(
                folder,
                self._outfit,
                self._laid,
                puller=self._puller,
                lab=self._lab,
                doors=self._doors() if served else None,
            ) as stage,
        ):
            _say(f"webhook {name}: the node is ready after {time.monotonic() - began:.0f} s")
            rows = stage.run()
            if stage.webhook is not None:
                (self._folder / "webhook.log").write_text(stage.webhook.said(), encoding="utf-8")
        _say(f"webhook {name}: {len(rows)} objects in {time.monotonic() - began:.0f} s")
        return rows

    def _doors(self) -> Doors:
        policy = self._folder / "registries.yaml"
        policy.write_text(json.dumps(self._registry_config()), encoding="utf-8")
        policies = [DEFAULT_POLICY, policy]
        options = ["--hosts-dir", str(self._lab.certs)]
        environment = self._identities.environment
        named = [word for path in policies for word in ("--policy", str(path))]
        return Doors(
            lambda cluster: Webhook(cluster, policies, options=options, env=environment),
            Check(
                self._folder / "check",
                [*named, *options, "--timeout", "60"],
                {**os.environ, **environment},
            ),
        )

    def _registry_config(self) -> dict[str, Any]:
        node = self._folder / "declared"
        node.mkdir(exist_ok=True)
        spec: dict[str, Any] = {
            "vantage": "node",
            "nodeCredentials": "none",
            "defaults": {"depth": "whole"},
            # The real registries of the lab are on loopback.
            "egress": {
                "allow": [*self._distributions.hosts.values(), *self._distributions.tokens.values()]
            },
            "registries": [
                {"match": "docker.io", "depth": "whole"},
                *(
                    {"match": self._distributions.hosts[kind], "tokenServices": [tokens]}
                    for kind, tokens in self._distributions.tokens.items()
                ),
            ],
        }
        if self._outfit.config_json is not None:
            (node / "config.json").write_text(self._outfit.config_json, encoding="utf-8")
            spec |= {"nodeCredentials": "files", "nodeDockerConfig": str(node / "config.json")}
        if self._outfit.providers is not None:
            (node / "providers.yaml").write_text(self._outfit.providers, encoding="utf-8")
            spec |= {
                "nodeCredentials": "files",
                "credentialProviders": {
                    "config": str(node / "providers.yaml"),
                    "binDir": str(self._outfit.programs),
                },
            }
        return {
            "apiVersion": "pullproof.dev/v1alpha1",
            "kind": "RegistryConfig",
            "metadata": {"name": "node"},
            "spec": spec,
        }

    def close(self) -> None:
        self._puller.close()
        self._distributions.close()


def _placeholders(name: str, plot: Plot) -> dict[str, str]:
    known = {"id": name}
    for site in plot.sites:
        known.update(site.placeholders)
    if plot.sites:
        known.update(plot.sites[0].shelf.placeholders)
    return known


def _walked(case: Case, known: dict[str, str]) -> dict[str, Any]:
    given = case.model_dump(by_alias=True)
    for part in ("preload", "objects", "steps"):
        given[part] = filled(given[part], known)
    return given


def _providers(providers: list[dict[str, Any]]) -> str:
    return json.dumps(
        {
            "apiVersion": "kubelet.config.k8s.io/v1",
            "kind": "CredentialProviderConfig",
            "providers": providers,
        }
    )


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
