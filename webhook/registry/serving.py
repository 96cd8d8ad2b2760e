"""Which platforms an image serves, and whether its content is all there: no I/O here.

For each platform the walk of containerd's pull (:mod:`webhook.registry.walk`) is driven
as far as the depth asks; what was fetched for one platform serves the others.
"""

from dataclasses import replace

from webhook.images.platform import Platform, may_run, shown
from webhook.registry.attempt import Attempt
from webhook.registry.fetch import Fetcher
from webhook.registry.manifest import IMAGE_TYPES, holds, read_document
from webhook.registry.ocispec import Descriptor, ImageIndex, ImageManifest
from webhook.registry.outcome import Cause, Outcome, Pull
from webhook.registry.walk import Content, Kind, Puller, Walked, Want, choose, pull
from webhook.registry.wire import Steps

LINUX_AMD64 = Platform("linux", "amd64")
"""What nodes are taken for where none is known."""


class Serving:
    """Judges what a name was resolved to. ``whole``: to the last blob, not to the index alone.

    ``sizes``: to the manifest of each platform, which tells how large its layers are. Asked
    for or not, sizes are told where that of everything that is taken is known.

    The config of a single manifest decides no pull. It is looked at where platforms are
    known, to tell that an image will be pulled and cannot run.
    """

    def __init__(
        self,
        attempt: Attempt,
        root: Descriptor,
        platforms: tuple[Platform, ...],
        *,
        whole: bool,
        sizes: bool = False,
    ) -> None:
        self._attempt = attempt
        self._root = root
        self._platforms = platforms or (LINUX_AMD64,)
        self._known = bool(platforms)
        self._whole = whole
        self._sizes = sizes

    def outcome(self, fetcher: Fetcher) -> Steps[Outcome]:
        """Fetch the root and go as far from it as was asked, for every platform."""
        body = yield from fetcher.root(self._root)
        if isinstance(body, Outcome):
            return body
        if not holds(self._root.digest, body):
            why = f"its bytes are not those of {self._root.digest}"
            return self._attempt.fails(Cause.DIGEST_MISMATCH, why)
        content, refused, foreign = Content(), list[Platform](), list[Platform]()
        taken: list[tuple[Platform, int | None]] = []
        failed: list[tuple[Platform, Outcome]] = []
        built_for: Platform | None = None
        for platform in self._platforms:
            walked = yield from self._tried(body, platform, content, fetcher)
            if isinstance(walked, Outcome):
                if walked.pull is not Pull.FAILS:
                    return walked
                failed.append((platform, walked))
                continue
            built_for = walked.platform or built_for
            if walked.unusable is not None:
                refused.append(platform)
                continue
            taken.append((platform, walked.size))
            if walked.platform is not None and not may_run(platform, walked.platform):
                foreign.append(platform)
        if failed:
            return self._failing(failed, good_for_others=bool(taken))
        told = self._told(body, refused, foreign, built_for)
        if told.cause is Cause.PLATFORM_NONE:
            older = any(self._older_takes(body, platform, content) for platform in refused)
            told = replace(told, older_take=older)
        return replace(told, sizes=_all_known(taken))

    def _failing(self, failed: list[tuple[Platform, Outcome]], *, good_for_others: bool) -> Outcome:
        """Return the first failure; nothing is proven where other platforms get the image."""
        platform, outcome = failed[0]
        if not good_for_others or outcome.cause is None:
            return outcome
        only = f"for {platform.named} alone"
        detail = f"{only}: {outcome.detail}" if outcome.detail else only
        return replace(outcome, digest=self._root.digest).unknown(outcome.cause, detail)

    def _told(
        self,
        body: bytes,
        refused: list[Platform],
        foreign: list[Platform],
        built_for: Platform | None,
    ) -> Outcome:
        document = read_document(body, self._root.media_type)
        offered = document.platforms if isinstance(document, ImageIndex) else None
        if offered is None and built_for is not None and built_for.architecture:
            offered = (shown(built_for),)
        good = replace(
            self._attempt.fails(None),
            pull=Pull.OK,
            digest=self._root.digest,
            platforms=offered,
            judged_for=tuple(platform.named for platform in self._platforms),
            unserved=tuple(platform.named for platform in refused or foreign),
        )
        if not refused:
            return good
        if len(refused) < len(self._platforms):
            return good.unknown(Cause.PLATFORM_SOME, "")
        return replace(good, pull=Pull.FAILS, cause=Cause.PLATFORM_NONE)

    def _older_takes(self, body: bytes, platform: Platform, content: Content) -> bool:
        """Tell whether containerd before 2.1 may take another entry of an index; asks nobody.

        It does where its own walk gets as far as to want something that was not fetched.
        Where an entry declares no platform, versions differ in what they make of its config.
        """
        document = read_document(body, self._root.media_type)
        if not isinstance(document, ImageIndex):
            return False
        if any(entry.platform is None for entry in document.manifests):
            return True
        try:
            next(choose(self._root, body, platform, content, Puller.LOCAL))
        except StopIteration as done:
            walked: Walked = done.value
            return walked.unusable is None
        return True

    def _tried(
        self, body: bytes, platform: Platform, content: Content, fetcher: Fetcher
    ) -> Steps[Walked | Outcome]:
        """Return what the walk came to; how it failed, unless the platform is not served."""
        walked = yield from self._walked(body, platform, content, fetcher)
        if isinstance(walked, Outcome) or walked.unusable is None:
            return walked
        if walked.unusable.cause is Cause.PLATFORM_NONE:
            return walked
        failing = self._attempt.fails(walked.unusable.cause, walked.unusable.detail)
        return replace(failing, older_take=self._older_takes(body, platform, content))

    def _walked(
        self, body: bytes, platform: Platform, content: Content, fetcher: Fetcher
    ) -> Steps[Walked | Outcome]:
        walk = (pull if self._whole else choose)(self._root, body, platform, content)
        try:
            want = next(walk)
            while True:
                if not self._whole and self._is_enough(want):
                    return self._cut_short(content)
                came = yield from fetcher.wanted(want)
                if isinstance(came, Outcome):
                    return came
                want = walk.send(came)
        except StopIteration as done:
            walked: Walked = done.value
            return walked

    def _is_enough(self, want: Want) -> bool:
        """Tell whether what is known already serves: an index's own word of a platform does."""
        entry = want.descriptor
        declared = entry.media_type in IMAGE_TYPES and entry.platform is not None
        of_a_single_one = want.kind is Kind.CONFIG and self._root.media_type in IMAGE_TYPES
        return (declared and not self._sizes) or (of_a_single_one and not self._known)

    def _cut_short(self, content: Content) -> Walked:
        """Return what is known where no more is asked for."""
        read = content.documents.get((self._root.digest, False))
        return Walked(layers=read.layers if isinstance(read, ImageManifest) else None)


def _all_known(taken: list[tuple[Platform, int | None]]) -> tuple[tuple[Platform, int], ...]:
    """Return the sizes where each is known: a part would be taken for all."""
    known = tuple((platform, size) for platform, size in taken if size is not None)
    return known if len(known) == len(taken) else ()
