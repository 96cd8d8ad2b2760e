"""Which media types containerd unpacks (``core/images/mediatypes.go``), and which are told."""

_OCI_LAYER = "application/vnd.oci.image.layer."
_OCI_DIFFS = frozenset({f"{_OCI_LAYER}v1.tar", f"{_OCI_LAYER}nondistributable.v1.tar"})
_DOCKER_DIFFS = frozenset(
    "application/vnd.docker.image.rootfs." + ending
    for ending in (
        "diff.tar",
        "diff.tar.gzip",
        "diff.tar.zstd",
        "foreign.diff.tar",
        "foreign.diff.tar.gzip",
    )
)
_EROFS = "application/vnd.erofs.layer.v1"
_ENCRYPTED = "encrypted"

TOLD_TYPES = frozenset(
    {
        *("text/html", "text/plain", "text/xml"),
        *("application/json", "application/octet-stream", "application/xml"),
        "application/vnd.docker.distribution.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.v1+prettyjws",
        "application/vnd.docker.distribution.manifest.v2+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
        "application/vnd.docker.container.image.v1+json",
        "application/vnd.docker.plugin.v1+json",
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.oci.image.config.v1+json",
        "application/vnd.oci.artifact.manifest.v1+json",
        "application/vnd.oci.empty.v1+json",
    }
)
"""What a message may name: any other type is whatever a registry liked to write."""


def is_layer(media_type: str) -> bool:
    """Tell whether containerd takes it for a layer of a root file system (``IsLayerType``)."""
    base = media_type.partition("+")[0]
    return media_type.startswith(_OCI_LAYER) or base in _DOCKER_DIFFS or base == _EROFS


def may_unpack(media_type: str) -> bool:
    """Tell whether a node may have what unpacks a layer of this media type.

    ``DiffCompression`` knows the tar archives, whatever is said of their compression.
    Encrypted and EROFS layers are unpacked by what a node's own configuration names.
    """
    base, _, suffixes = media_type.partition("+")
    return base in _OCI_DIFFS | _DOCKER_DIFFS | {_EROFS} or _ENCRYPTED in suffixes.split("+")
