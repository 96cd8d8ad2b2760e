"""The walk of a pull over the children of a manifest: no I/O here.

A walk is a generator: it yields each :class:`Want`, is sent what the registry gave, and
returns a :class:`Walked`. Who drives it fetches, and ends it where something is gone.

:func:`choose` goes as far as ``images.Config`` does: which manifest of an index the node
takes. :func:`pull` does all that containerd's pull does, layers excepted: of those only
the existence is asked, and their content is not looked at. Both reproduce containerd
2.4's transfer service (``core/transfer/local``), or with ``Puller.LOCAL`` the client's
own pull, as containerd before 2.1 has it.
"""

from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeAlias, TypeVar

from webhook.images.platform import Comparer, Platform, chooser, fetcher, normalised
from webhook.registry.contents import (
    Content,
    ContentStore,
    Documented,
    Fails,
    Kind,
    Sent,
    Steps,
    Want,
    fails,
    not_fetched,
    transferred,
)
from webhook.registry.manifest import (
    CONFIG_TYPES,
    IMAGE_TYPES,
    INDEX_TYPES,
    MANIFEST_TYPES,
    Unusable,
    read_config,
    read_platform,
    read_rootfs,
    valid_digest,
)
from webhook.registry.mediatypes import is_layer, may_unpack
from webhook.registry.ocispec import Descriptor, ImageConfig, ImageIndex, ImageManifest
from webhook.registry.outcome import Cause

__all__ = [
    "LABEL_LIMIT",
    "REFERENCES_LIMIT",
    "Content",
    "Kind",
    "Puller",
    "Sent",
    "Walk",
    "Walked",
    "Want",
    "choose",
    "pull",
]

REFERENCES_LIMIT = 10_000
"""Descriptors in one walk, each mention counted (``maxReferences`` of ``core/images``)."""

LABEL_LIMIT = 4000
"""Characters of a child's digest past which it is no value of a label.

containerd labels a parent with each child's digest, fetched or not; label and value
are at most 4096 bytes together (``pkg/labels``).
"""


class Puller(StrEnum):
    """Which part of containerd pulls: 2.1 and later use the transfer service by default."""

    TRANSFER = "transfer"
    LOCAL = "local"


@dataclass(frozen=True, slots=True)
class Walked:
    """What a walk came to: ``unusable`` is why the pull fails, None that it goes through.

    ``offered`` is what the root index declares, for people; None for a single manifest.
    ``platform`` is what the chosen image is for, its config's word before its entry's;
    None where it was not learnt. ``layers`` are those of the chosen manifest, None where
    it was not read.
    """

    unusable: Unusable | None = None
    offered: tuple[str, ...] | None = None
    platform: Platform | None = None
    layers: tuple[Descriptor, ...] | None = None

    @property
    def size(self) -> int | None:
        """Return the bytes of the layers as they are transferred."""
        return None if self.layers is None else transferred(self.layers)


Walk: TypeAlias = Generator[Want, Sent, Walked]


def choose(
    root: Descriptor,
    body: bytes,
    node: Platform,
    content: Content | None = None,
    puller: Puller = Puller.TRANSFER,
) -> Walk:
    """Find what ``node`` takes of ``root``, and fetch no more than that needs.

    That is each index on the way, the chosen manifest, and the config of a single
    manifest or of one whose entry declares no platform.
    """
    return (yield from _walked(_Walker(root, node, content, puller), body, whole=False))


def pull(
    root: Descriptor,
    body: bytes,
    node: Platform,
    content: Content | None = None,
    puller: Puller = Puller.TRANSFER,
) -> Walk:
    """Do what a pull of ``root`` by ``node`` does, to the last layer's existence."""
    return (yield from _walked(_Walker(root, node, content, puller), body, whole=True))


def _walked(walker: "_Walker", body: bytes, *, whole: bool) -> Walk:
    offered = None
    chosen: _Chosen | None = None
    try:
        root = yield from walker.begin(body)
        offered = root.platforms if isinstance(root, ImageIndex) else None
        if whole:
            yield from walker.dispatch()
            yield from walker.unpack()
        chosen = yield from walker.chosen(whole=whole)
        if whole:
            chosen = yield from walker.recorded(chosen)
    except Fails as end:
        return _concluded(end.unusable, offered, chosen)
    return _concluded(None, offered, chosen)


def _concluded(
    unusable: Unusable | None, offered: tuple[str, ...] | None, chosen: "_Chosen | None"
) -> Walked:
    if chosen is None:
        return Walked(unusable, offered)
    return Walked(unusable, offered, chosen.platform, chosen.manifest.layers)


@dataclass(frozen=True, slots=True)
class _Chosen:
    manifest: ImageManifest
    platform: Platform | None


@dataclass(slots=True)
class _Layers:
    """The layers that wait for their config, and what is then done with them.

    Kept as ``unpack.Unpacker`` does: one manifest is unpacked for each config, of
    others that share it the layers are fetched.
    """

    waiting: dict[str, list[tuple[Descriptor, ...]]] = field(default_factory=dict)
    unpacked: dict[str, tuple[Descriptor, tuple[Descriptor, ...]]] = field(default_factory=dict)
    fetched: list[tuple[Descriptor, ...]] = field(default_factory=list)

    def found_config(self, config: Descriptor) -> None:
        waiting = self.waiting.pop(config.digest, [])
        if waiting and config.digest not in self.unpacked:
            self.unpacked[config.digest] = config, waiting.pop(0)
        self.fetched += waiting


class _Walker:
    """The walk of one node: what its content store holds, and what it does with it."""

    def __init__(
        self, root: Descriptor, node: Platform, content: Content | None, puller: Puller
    ) -> None:
        self._root = root
        self._node = node
        self._store = ContentStore(Content() if content is None else content)
        self._local = puller is Puller.LOCAL
        self._chooser = chooser(node)
        self._fetcher = self._chooser if self._local else fetcher(node)
        self._layers = _Layers()
        self._unpacks = 0
        self._references = 1

    def begin(self, body: bytes) -> Documented:
        """Take the root, which was resolved and fetched already."""
        if self._root.media_type not in MANIFEST_TYPES:
            raise fails(Cause.MEDIA_TYPE_UNSUPPORTED, "it is neither a manifest nor an index")
        self._store.put(self._root, body)
        return (yield from self._store.document(self._root))

    # -- images.Dispatch -------------------------------------------------------------------

    def dispatch(self) -> Steps:
        """Fetch all that is reached from the root, layers excepted, level by level."""
        level = [(self._root, Kind.MANIFEST)]
        while level:
            below: list[tuple[Descriptor, Kind]] = []
            for descriptor, kind in level:
                yield from self._store.fetch(descriptor, kind)
                if descriptor.media_type in MANIFEST_TYPES:
                    below += self._below((yield from self._store.document(descriptor)))
                elif descriptor.media_type in CONFIG_TYPES:
                    self._layers.found_config(descriptor)
            self._mention(len(below))
            level = below

    def _below(self, document: ImageManifest | ImageIndex) -> list[tuple[Descriptor, Kind]]:
        """Return what is fetched of a document's children, in order, and queue its layers."""
        if isinstance(document, ImageIndex):
            return [(child, _kind(child)) for child in self._of_index(document)]
        children = self._filtered((document.config, *document.layers))
        layers = tuple(child for child in children if is_layer(child.media_type))
        others = [child for child in children if not is_layer(child.media_type)]
        if layers:
            for child in others:
                if child.media_type in CONFIG_TYPES:
                    self._layers.waiting.setdefault(child.digest, []).append(layers)
        return [(child, _kind(child, config=child is document.config)) for child in others]

    def _of_index(self, index: ImageIndex) -> list[Descriptor]:
        children = self._filtered(index.manifests)
        if not self._local:
            return children
        if not children:
            raise fails(Cause.PLATFORM_NONE, "no entry of its index is for this platform")
        return self._sorted(children)[:1]

    def _filtered(self, children: Sequence[Descriptor]) -> list[Descriptor]:
        """Leave out what is declared for others (``FilterPlatforms``); a layer may be, too."""
        if any(len(child.digest) > LABEL_LIMIT for child in children):
            raise fails(Cause.MANIFEST_MALFORMED, "a digest in it is too long")
        return [child for child in children if _suits(child, self._fetcher)]

    def _mention(self, descriptors: int) -> None:
        self._references += descriptors
        if self._references > REFERENCES_LIMIT:
            raise fails(
                Cause.MANIFEST_MALFORMED, f"it refers to more than {REFERENCES_LIMIT} descriptors"
            )

    # -- unpack.Unpacker -------------------------------------------------------------------

    def unpack(self) -> Steps:
        """Go through the layers of each config that was found; nothing is unpacked before."""
        for config, layers in self._layers.unpacked.values():
            image = _or_fail(read_rootfs((yield from self._store.read(config))))
            if len(layers) != len(image.diff_ids):
                raise fails(
                    Cause.MANIFEST_MALFORMED,
                    f"it has {len(layers)} layers, its config {len(image.diff_ids)} diff IDs",
                )
            if self._unpacks_here(image):
                self._unpacks += 1
                _check_layers(layers, image)
            for layer in layers:
                yield from self._store.fetch(layer, Kind.BLOB)
        for layers in self._layers.fetched:
            for layer in layers:
                yield from self._store.fetch(layer, Kind.BLOB)

    def _unpacks_here(self, image: ImageConfig) -> bool:
        """Tell whether the layers are unpacked; those for other platforms are only fetched."""
        if image.rootfs_type not in ("", "layers"):
            return False
        return self._local or self._chooser.matches(self._canonical(image.platform))

    # -- images.Config ---------------------------------------------------------------------

    def chosen(self, *, whole: bool) -> Generator[Want, Sent, _Chosen]:
        """Follow the one entry of each index that this node prefers (``images.Manifest``)."""
        entry = self._root
        while entry.media_type in INDEX_TYPES:
            index = yield from self._store.document(entry)
            candidates = [
                child
                for child in (index.manifests if isinstance(index, ImageIndex) else ())
                if _suits(child, self._chooser)
            ]
            if not candidates or not isinstance(index, ImageIndex):
                raise fails(Cause.PLATFORM_NONE, "no entry of its index is for this platform")
            entry = self._sorted(candidates)[0]
            if not whole:
                yield from self._glance(index, entry)
        if entry.media_type not in IMAGE_TYPES:
            raise fails(Cause.MEDIA_TYPE_UNSUPPORTED, "the entry for this platform is no manifest")
        manifest = yield from self._store.document(entry)
        if not isinstance(manifest, ImageManifest):
            raise TypeError(manifest)
        return (yield from self._checked(entry, manifest, whole=whole))

    def _glance(self, index: ImageIndex, entry: Descriptor) -> Steps:
        """Fetch only the entry that will be chosen, if a pull fetches it at all."""
        fetched = self._of_index(index)
        self._mention(len(fetched))
        digests = {child.digest for child in fetched}
        sized = self._sorted(index.manifests)[0]
        if (
            sized.media_type in MANIFEST_TYPES
            and sized.digest not in digests
            and sized.digest not in self._store
        ):
            raise not_fetched()
        if entry.digest in digests:
            yield from self._store.fetch(entry, _kind(entry))

    def _checked(
        self, entry: Descriptor, manifest: ImageManifest, *, whole: bool
    ) -> Generator[Want, Sent, _Chosen]:
        """Ask the config for its platform where no entry declares one."""
        config = manifest.config
        single = entry.digest == self._root.digest
        if entry.platform is not None or (single and (whole or not _is_config(config))):
            return _Chosen(manifest, entry.platform)
        if not whole and _suits(config, self._fetcher):
            yield from self._store.fetch(config, Kind.CONFIG)
        declared = _or_fail(read_platform((yield from self._store.read(config))))
        platform = self._canonical(declared)
        if not single and not self._chooser.matches(platform):
            raise fails(Cause.PLATFORM_NONE, "its config is for another platform")
        return _Chosen(manifest, platform)

    # -- the CRI's image store -------------------------------------------------------------

    def recorded(self, chosen: _Chosen) -> Generator[Want, Sent, _Chosen]:
        """Read the config in full, and the documents that make up the image's size."""
        config = _or_fail(read_config((yield from self._store.read(chosen.manifest.config))))
        if self._local and not self._unpacks:
            self._unpack_again(chosen.manifest, config)
        level = [self._root]
        self._references = 1
        while level:
            below: list[Descriptor] = []
            for descriptor in level:
                if descriptor.media_type not in MANIFEST_TYPES:
                    continue
                document = yield from self._store.document(descriptor)
                if isinstance(document, ImageIndex):
                    # Not filtered before it is sorted, unlike everywhere else.
                    below += self._sorted(document.manifests)[:1]
                else:
                    below += (document.config, *document.layers)
            self._mention(len(below))
            level = below
        return _Chosen(chosen.manifest, self._canonical(config.platform))

    def _unpack_again(self, manifest: ImageManifest, config: ImageConfig) -> None:
        """Unpack what the unpacker left alone (``Image.Unpack`` of the client)."""
        layers = [layer for layer in manifest.layers if is_layer(layer.media_type)]
        if len(layers) != len(config.diff_ids):
            raise fails(
                Cause.MANIFEST_MALFORMED,
                f"it has {len(layers)} layers, its config {len(config.diff_ids)} diff IDs",
            )
        if any(layer.digest not in self._store for layer in layers):
            raise fails(Cause.MANIFEST_MALFORMED, "its layers are not fetched")
        _check_layers(layers, config)

    def _sorted(self, children: Sequence[Descriptor]) -> list[Descriptor]:
        return self._chooser.sorted(children, lambda child: child.platform)

    def _canonical(self, platform: Platform) -> Platform:
        return normalised(platform, self._node.os)


def _kind(descriptor: Descriptor, *, config: bool = False) -> Kind:
    if descriptor.media_type in MANIFEST_TYPES:
        return Kind.MANIFEST
    return Kind.CONFIG if config or _is_config(descriptor) else Kind.BLOB


def _is_config(descriptor: Descriptor) -> bool:
    return descriptor.media_type in CONFIG_TYPES


def _suits(descriptor: Descriptor, comparer: Comparer) -> bool:
    return descriptor.platform is None or comparer.matches(descriptor.platform)


def _check_layers(layers: Sequence[Descriptor], image: ImageConfig) -> None:
    """Refuse layers that no node can unpack, or whose content cannot have its diff ID."""
    if not all(may_unpack(layer.media_type) for layer in layers):
        raise fails(Cause.MEDIA_TYPE_UNSUPPORTED, "nothing unpacks a layer of such a media type")
    if not all(one.startswith("sha256:") and valid_digest(one) for one in image.diff_ids):
        raise fails(Cause.MANIFEST_MALFORMED, "a diff ID in its config is no SHA-256 digest")


_T = TypeVar("_T")


def _or_fail(read: _T | Unusable) -> _T:
    if isinstance(read, Unusable):
        raise Fails(read)
    return read
