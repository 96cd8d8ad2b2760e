"""What a case may say: the schema of the manifests, which README.md explains."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from tests.differential.model import Case as LabCase
from tests.differential.model import Content, Secret, Server

Object = dict[str, Any]
Names = dict[str, Literal["nxdomain", "servfail", "silent", "refused", "empty"] | list[str]]


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Case(Strict):
    """One namespace of the cluster, the servers that are its own, and what is applied in it."""

    id: str = Field(pattern="^[a-z0-9][a-z0-9-]{0,61}[a-z0-9]$")
    title: str
    servers: list[Server] = []
    hosts: dict[str, str | dict[str, str]] = {}
    dns: Names = {}
    secrets: list[Secret] = []
    # On the node before its kubelet starts.
    preload: list[str] = []
    objects: list[Object] = []
    # Each applied when all of the one before has come to something.
    steps: list[list[Object]] = []
    # How long the kubelet may take to come to something, in seconds.
    patience: float = 25

    @model_validator(mode="after")
    def _has_one_way_of_saying_it(self) -> Case:
        if bool(self.objects) == bool(self.steps):
            msg = "a case has either objects or steps"
            raise ValueError(msg)
        return self

    @property
    def in_steps(self) -> list[list[Object]]:
        return self.steps or [self.objects]

    def as_lab_case(self) -> LabCase:
        """Return what the lab is to open for it; every image of it runs."""
        servers = [running(server, first=n == 0) for n, server in enumerate(self.servers)]
        return LabCase(
            id=self.id,
            group="exchange",
            title=self.title,
            image="",
            secrets=self.secrets,
            servers=servers,
            hosts=self.hosts,
            dns=self.dns,
        )


class Node(Strict):
    """How the node is set up before it joins."""

    # The kubelet's own docker configuration.
    docker_config: dict[str, Any] | None = None
    # Of a CredentialProviderConfig; each program is a script by name.
    providers: list[dict[str, Any]] = []
    programs: dict[str, str] = {}
    # The hosts that all this gives a login for that is good.
    opens: list[str] = []


class World(Strict):
    """What all cases share: servers that have real names, and the node."""

    servers: list[Server]
    dns: Names = {}
    hosts: dict[str, str | dict[str, str]] = {}
    node: Node = Node()

    def as_lab_case(self) -> LabCase:
        return LabCase(
            id="world",
            group="exchange",
            title="What all cases share",
            image="",
            servers=[running(server) for server in self.servers],
            hosts=self.hosts,
            dns=self.dns,
        )


def running(server: Server, *, first: bool = True) -> Server:
    """Give the server's images a program, where nothing else is asked of their layers."""
    given = server.model_dump(by_alias=True)
    if given["content"] is None:
        if not first:
            return server  # it has what the first one has
        given["content"] = [Content().model_dump()]
    given["content"] = [_running(one) for one in given["content"]]
    return Server.model_validate(given)


def _running(content: dict[str, Any]) -> dict[str, Any]:
    runs = content["layer"] == "good" and content["platform"].startswith("linux/amd64")
    layer = "runs" if runs else content["layer"]
    manifests = [_running(one) for one in content["manifests"]]
    return {**content, "layer": layer, "manifests": manifests}
