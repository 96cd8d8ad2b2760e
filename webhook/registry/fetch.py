"""Content by digest, over all hosts of a registry.

Reproduces ``dockerFetcher.Fetch`` of containerd 2.4: the hosts anew and in order, each
from an unauthenticated request; the first host's error is the one that is told. What
a manifest calls ``urls`` is never followed.
"""

import re
from collections.abc import Mapping, Sequence

from webhook.registry.attempt import AFTER_OK, NOT_FOUND, OK, Attempt
from webhook.registry.authorizer import Authority
from webhook.registry.endpoint import Endpoint
from webhook.registry.manifest import MANIFEST_LIMIT, holds
from webhook.registry.ocispec import Descriptor
from webhook.registry.outcome import Cause, Outcome, Pull
from webhook.registry.session import Session, Wanted, length_of
from webhook.registry.urls import origin_of
from webhook.registry.walk import Kind, Want
from webhook.registry.wire import Reply, Steps

SMALL = 32 * 1024
"""Bytes up to which a blob is read and verified, rather than asked for by HEAD."""
MAX_CUTS = 3
"""How often a body that broke off is asked for again before the pull counts as broken."""
_UNPACKED = frozenset({"zstd", "gzip", "deflate"})
"""Encodings that containerd undoes, in any order (``dockerFetcher.open``)."""


class Fetcher:
    """Fetches for one attempt. ``known`` is authority that is used without being asked for it."""

    def __init__(
        self,
        attempt: Attempt,
        hosts: Sequence[Endpoint],
        known: Mapping[Endpoint, Authority] | None = None,
    ) -> None:
        self._attempt = attempt
        self._sessions = [Session(attempt, host, last=host is hosts[-1]) for host in hosts]
        for session in self._sessions:
            authority = (known or {}).get(session.endpoint)
            if authority is not None:
                session.authorizer.take(authority)

    def root(self, root: Descriptor) -> Steps[bytes | Outcome]:
        """Return the bytes of what a name was resolved to: as many as were announced."""
        return self._bytes(root, "manifests", Cause.DIGEST_NOT_FOUND)

    def wanted(self, want: Want) -> Steps[bytes | int | Outcome]:
        """Return what a walk asks for: bytes, or the length of a blob that is there."""
        descriptor = want.descriptor
        if any(origin_of(url) is not None for url in descriptor.urls):
            # containerd would go there first; we go nowhere that a manifest says.
            why = "a part of it is to be fetched from an address of its own"
            return self._attempt.fails(None).unknown(Cause.EGRESS_REFUSED, why)
        if want.kind is not Kind.BLOB:
            kind = "manifests" if want.kind is Kind.MANIFEST else "blobs"
            return (yield from self._bytes(descriptor, kind, Cause.BLOB_MISSING))
        if descriptor.size > SMALL:
            return (yield from self._length(descriptor))
        body = yield from self._bytes(descriptor, "blobs", Cause.BLOB_MISSING)
        if isinstance(body, Outcome):
            return body
        if not holds(descriptor.digest, body):
            why = f"the bytes of {descriptor.digest} are others"
            return self._attempt.fails(Cause.DIGEST_MISMATCH, why)
        return len(body)

    def _bytes(self, wanted: Descriptor, kind: str, missing: Cause) -> Steps[bytes | Outcome]:
        if wanted.size > MANIFEST_LIMIT:
            # containerd reads on here; nobody should make us do so.
            large = self._attempt.fails(Cause.MANIFEST_TOO_LARGE)
            return large.unknown(Cause.MANIFEST_TOO_LARGE, f"{wanted.size} bytes are not read")
        accept = _accept(wanted.media_type)
        ask = Wanted(
            "GET", kind, wanted.digest, wanted.size + 1, accept, unpacks=("gzip", "deflate")
        )
        for cuts in range(MAX_CUTS):
            reply = yield from self._first(ask, missing)
            if isinstance(reply, Outcome):
                if cuts and reply.pull is Pull.FAILS:
                    # What keeps it from going on is not told.
                    return self._attempt.fails(Cause.RESET, "its bytes broke off")
                return reply
            packed = self._packed(reply)
            if packed is not None:
                return packed
            if not reply.cut or len(reply.body) >= wanted.size:
                break
        else:
            return self._attempt.fails(Cause.RESET, "its bytes broke off")
        if len(reply.body) == wanted.size:
            return reply.body
        came = "more" if len(reply.body) > wanted.size else f"{len(reply.body)}"
        why = f"{wanted.size} bytes were announced and {came} came"
        return self._attempt.fails(Cause.DIGEST_MISMATCH, why)

    def _packed(self, reply: Reply) -> Outcome | None:
        """Tell what it means that an answer is packed in a way that was not unpacked here."""
        encoding = reply.header("content-encoding")
        names = _encodings(encoding)
        if not names <= _UNPACKED:
            why = "its bytes are encoded in a way that containerd does not know"
            return self._attempt.fails(Cause.UNEXPECTED_STATUS, why)
        if names and encoding.strip().lower() not in ("gzip", "deflate"):
            why = "its bytes are packed in a way that is not unpacked here"
            return self._attempt.fails(None).unknown(Cause.OVERLOADED, why)
        return None

    def _length(self, wanted: Descriptor) -> Steps[int | Outcome]:
        """Look whether a blob is there, without its bytes."""
        accept = _accept(wanted.media_type)
        head = Wanted("HEAD", "blobs", wanted.digest, 0, accept)
        reply = yield from self._first(head, Cause.BLOB_MISSING)
        if isinstance(reply, Outcome):
            # containerd asks by GET alone: a registry may know nothing of HEAD here.
            get = Wanted("GET", "blobs", wanted.digest, 0, accept)
            reply = yield from self._first(get, Cause.BLOB_MISSING)
        if isinstance(reply, Outcome):
            return reply
        names = _encodings(reply.header("content-encoding"))
        if not names <= _UNPACKED:
            return self._packed(reply) or wanted.size
        length = length_of(reply)
        # Of what is packed, the length is not that of the blob.
        return wanted.size if length is None or names else length

    def _first(self, wanted: Wanted, missing: Cause) -> Steps[Reply | Outcome]:
        """Return the first good answer, or else what the first host's failure means."""
        failure: Outcome | None = None
        for session in self._sessions:
            reply = yield from session.request(wanted)
            if isinstance(reply, Reply) and OK <= reply.status < AFTER_OK:
                return reply
            outcome = reply if isinstance(reply, Outcome) else self._refused(reply, missing)
            if outcome.pull is Pull.UNKNOWN:
                return outcome
            failure = failure or outcome
        if failure is None:
            why = "hosts.toml names no host that may be asked for it"
            return self._attempt.fails(Cause.MANIFEST_UNKNOWN, why)
        return failure

    def _refused(self, reply: Reply, missing: Cause) -> Outcome:
        if reply.status != NOT_FOUND:
            return self._attempt.refused(reply)
        if missing is Cause.BLOB_MISSING:
            return self._attempt.fails(missing, "a part of it is not there")
        return self._attempt.fails(missing, "HEAD found it, GET by digest did not")


def _encodings(encoding: str) -> set[str]:
    return set(re.split(r"[ \t,]+", encoding.lower())) - {"", "identity"}


def _accept(type_: str) -> str:
    return f"{type_}, */*" if type_ else "*/*"
