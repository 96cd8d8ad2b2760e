"""What a node's content store holds in the course of a walk, and how it is filled.

Reproduces ``remotes.Fetch`` and ``content.ReadBlob`` of containerd 2.4: each digest is
fetched once, under the size and digest that a descriptor declares, unless the
descriptor brings the content along.
"""

from collections.abc import Generator, Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeAlias

from webhook.registry.manifest import (
    DOCKER_SCHEMA_1,
    INDEX_TYPES,
    MANIFEST_TYPES,
    Unusable,
    holds,
    read_document,
    valid_digest,
)
from webhook.registry.ocispec import Descriptor, ImageIndex, ImageManifest
from webhook.registry.outcome import Cause


class Kind(StrEnum):
    """What is to be done for a descriptor, and where the registry has it.

    A ``MANIFEST`` is fetched under ``/manifests/``, a ``CONFIG`` under ``/blobs/``; of a
    ``BLOB`` only the existence matters.
    """

    MANIFEST = "manifest"
    CONFIG = "config"
    BLOB = "blob"


@dataclass(frozen=True, slots=True)
class Want:
    """Asks for the bytes of a manifest or config, or for the length of a blob.

    The length may be sent as None where the registry does not tell it.
    """

    descriptor: Descriptor
    kind: Kind


Sent: TypeAlias = bytes | int | None
"""The bytes of a manifest or config; of a blob its length, or None where it is not told."""
Steps: TypeAlias = Generator[Want, Sent, None]
Documented: TypeAlias = Generator[Want, Sent, ImageManifest | ImageIndex]
Reading: TypeAlias = Generator[Want, Sent, bytes]


@dataclass(slots=True)
class Content:
    """What was fetched of one repository, by digest; walks for several nodes share it.

    Bytes are held for as long as this lives. It trusts them: a walk has verified them.
    """

    bodies: dict[str, bytes] = field(default_factory=dict, repr=False)
    sizes: dict[str, int | None] = field(default_factory=dict, repr=False)
    documents: dict[tuple[str, bool], "ImageManifest | ImageIndex | Unusable"] = field(
        default_factory=dict, repr=False
    )

    def document(self, descriptor: Descriptor, body: bytes) -> ImageManifest | ImageIndex:
        """Decode once what may be read often. Raises Fails."""
        key = descriptor.digest, descriptor.media_type in INDEX_TYPES
        if key not in self.documents:
            self.documents[key] = read_document(body, descriptor.media_type)
        read = self.documents[key]
        if isinstance(read, Unusable):
            raise Fails(read)
        return read


class Fails(Exception):  # noqa: N818  # no error: how a walk ends early
    """Ends a walk; never leaves this room."""

    def __init__(self, unusable: Unusable) -> None:
        super().__init__(unusable.cause)
        self.unusable = unusable


def fails(cause: Cause, detail: str) -> Fails:
    """Make the end of a walk; ``detail`` holds nothing that a registry wrote."""
    return Fails(Unusable(cause, detail))


class ContentStore:
    """The content store of one node; what was read of a repository is shared by all."""

    def __init__(self, content: Content) -> None:
        self._content = content
        self._present: set[str] = set()

    def __contains__(self, digest: str) -> bool:
        return digest in self._present

    def put(self, descriptor: Descriptor, body: bytes) -> None:
        """Take what was fetched before. Raises Fails where it is not what is declared."""
        if descriptor.digest not in self._content.bodies:
            _verify(descriptor, body)
            self._content.bodies[descriptor.digest] = body
        self._present.add(descriptor.digest)

    def fetch(self, descriptor: Descriptor, kind: Kind) -> Steps:
        """Bring a descriptor's content into the store (``remotes.Fetch``), once."""
        if descriptor.media_type == DOCKER_SCHEMA_1:
            raise fails(Cause.MEDIA_TYPE_UNSUPPORTED, "it holds a schema 1 manifest")
        if descriptor.digest in self._present:
            return
        if descriptor.size <= 0:
            raise fails(Cause.MANIFEST_MALFORMED, "it gives something a size of zero or less")
        if not valid_digest(descriptor.digest):
            raise fails(Cause.MANIFEST_MALFORMED, "a digest in it is none")
        if len(descriptor.data) == descriptor.size:
            _verify(descriptor, descriptor.data)
            self._content.bodies[descriptor.digest] = descriptor.data
        elif kind is Kind.BLOB:
            yield from self._ask_length(descriptor)
        else:
            yield from self._ask_body(descriptor, kind)
        self._present.add(descriptor.digest)

    def _ask_length(self, descriptor: Descriptor) -> Steps:
        digest, sizes = descriptor.digest, self._content.sizes
        if digest in self._content.bodies:
            sizes[digest] = len(self._content.bodies[digest])
        elif digest not in sizes:
            sent = yield Want(descriptor, Kind.BLOB)
            sizes[digest] = len(sent) if isinstance(sent, bytes) else sent
        if sizes[digest] not in (None, descriptor.size):
            raise fails(Cause.DIGEST_MISMATCH, "a layer is not of the size that it declares")

    def _ask_body(self, descriptor: Descriptor, kind: Kind) -> Steps:
        body = self._content.bodies.get(descriptor.digest)
        if body is None:
            sent = yield Want(descriptor, kind)
            body = sent if isinstance(sent, bytes) else b""
            _verify(descriptor, body)
            self._content.bodies[descriptor.digest] = body
        elif len(body) != descriptor.size:
            raise fails(Cause.DIGEST_MISMATCH, "it declares another size than there is")

    def document(self, descriptor: Descriptor) -> Documented:
        """Read and decode a manifest or index. Raises Fails."""
        return self._content.document(descriptor, (yield from self.read(descriptor)))

    def read(self, descriptor: Descriptor) -> Reading:
        """Read what was fetched (``content.ReadBlob``); a descriptor may bring it along."""
        if len(descriptor.data) == descriptor.size:
            if not valid_digest(descriptor.digest):
                raise fails(Cause.MANIFEST_MALFORMED, "a digest in it is none")
            if holds(descriptor.digest, descriptor.data):
                return descriptor.data
        if descriptor.digest not in self._present:
            raise not_fetched()
        if descriptor.digest not in self._content.bodies:
            kind = Kind.MANIFEST if descriptor.media_type in MANIFEST_TYPES else Kind.CONFIG
            yield from self._ask_body(descriptor, kind)
        return self._content.bodies[descriptor.digest]


def transferred(descriptors: Iterable[Descriptor]) -> int:
    """Return the bytes that fetching ``descriptors`` takes, as they are declared.

    Content is kept by its digest, so that each is fetched once, however often a manifest
    lists it. Where its mentions disagree the largest counts; less than nothing is nothing.
    """
    sizes: dict[str, int] = {}
    for one in descriptors:
        sizes[one.digest] = max(0, one.size, sizes.get(one.digest, 0))
    return sum(sizes.values())


def _verify(descriptor: Descriptor, body: bytes) -> None:
    if len(body) != descriptor.size:
        raise fails(
            Cause.DIGEST_MISMATCH, f"{descriptor.size} bytes are declared, {len(body)} are there"
        )
    if not valid_digest(descriptor.digest) or not holds(descriptor.digest, body):
        raise fails(Cause.DIGEST_MISMATCH, "its bytes are not those of its digest")


def not_fetched() -> Fails:
    """Make the end of a walk that reads what was filtered out before (``not found``)."""
    return fails(
        Cause.PLATFORM_NONE, "containerd looks for an entry of its index that it does not fetch"
    )
