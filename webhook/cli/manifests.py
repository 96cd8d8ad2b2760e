"""The manifests that a person names: files, folders, standard input, and the pods in them."""

import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from webhook.cli.options import UsageError
from webhook.cluster.manifests import MAX_BYTES, Manifest, ManifestError, documents, files, read
from webhook.images.workloads import inputs_at, pod_spec_path
from webhook.policy.model import WorkloadKind
from webhook.review.admission import CustomKinds
from webhook.review.engine import Workload

STANDARD_INPUT = "-"


@dataclass(frozen=True, slots=True)
class Found:
    """A workload and the manifest that it stands in."""

    manifest: Manifest
    workload: Workload


def read_all(paths: Sequence[str]) -> tuple[Manifest, ...]:
    """Read every manifest, each file once. Raises UsageError: ``file:line: reason``."""
    try:
        return tuple(_read_all(paths))
    except ManifestError as error:
        raise UsageError(str(error)) from error
    except RecursionError:
        # Aliases nest deeper than any text does.
        raise UsageError("a manifest is nested too deeply") from None


def _read_all(paths: Sequence[str]) -> Iterator[Manifest]:
    seen: set[Path] = set()
    for path in dict.fromkeys(paths):
        if path == STANDARD_INPUT:
            yield from read(sys.stdin.buffer.read(MAX_BYTES + 1), Path(STANDARD_INPUT))
            continue
        for file in files(Path(path)):
            if (same := file.resolve()) not in seen:
                seen.add(same)
                yield from documents(file)


def custom_kinds(declared: Iterable[WorkloadKind]) -> CustomKinds:
    """Return where the pods of the kinds stand that policies declare."""
    return {
        (f"{kind.group}/{kind.version}" if kind.group else kind.version, kind.kind): (
            *kind.pod_template.split("."),
            "spec",
        )
        for kind in declared
    }


def workloads(manifests: Iterable[Manifest], kinds: CustomKinds, namespace: str) -> Iterator[Found]:
    """Yield the manifests that make pods with images, as they would come to a review.

    Raises UsageError for what nobody can read.
    """
    for manifest in manifests:
        try:
            workload = workload_of(manifest, kinds, namespace)
        except RecursionError:
            where = f"{manifest.file}:{manifest.root.line}"
            raise UsageError(f"{where}: is nested too deeply") from None
        if workload is not None:
            yield Found(manifest, workload)


def workload_of(manifest: Manifest, kinds: CustomKinds, namespace: str) -> Workload | None:
    """Return what is to be judged of a manifest, None where it makes no pods."""
    group, _, version = manifest.api_version.rpartition("/")
    path = pod_spec_path(group, manifest.kind) if version else None
    path = path or kinds.get((manifest.api_version, manifest.kind))
    if path is None or (inputs := inputs_at(path, manifest.root.plain())) is None:
        return None
    return Workload(
        namespace=manifest.namespace(namespace),
        kind=manifest.kind,
        name=manifest.given_name or manifest.generate_name,
        inputs=inputs,
        spec_field=".".join(path),
    )
