"""TLS over a pipe: the bytes go through our hands, so that each step ends at the deadline.

It also lets us see what a peer says in answer to the first hello: a server that
speaks plain HTTP says ``HTTP/``, and containerd looks for just that.
"""

import ssl
from contextlib import suppress
from pathlib import Path

from webhook.registry.certificates import fault_of
from webhook.registry.gopem import blocks
from webhook.registry.outcome import Cause
from webhook.registry.sockets import Pipe, TroubledError
from webhook.registry.wire import Trust

_CHUNK = 65_536
_HTTP = b"HTTP/"
_CIPHERS = ":".join(
    (
        *("ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-RSA-AES128-GCM-SHA256"),
        *("ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-RSA-AES256-GCM-SHA384"),
        *("ECDHE-ECDSA-CHACHA20-POLY1305", "ECDHE-RSA-CHACHA20-POLY1305"),
        *("ECDHE-ECDSA-AES128-SHA", "ECDHE-RSA-AES128-SHA"),
        *("ECDHE-ECDSA-AES256-SHA", "ECDHE-RSA-AES256-SHA"),
        "@SECLEVEL=1",
    )
)
"""What Go offers below TLS 1.3. Level 1: RSA keys from 1024 bits, no SHA-1 signature, as in Go."""
_EXPIRED = frozenset({9, 10})  # X509_V_ERR_CERT_NOT_YET_VALID, _HAS_EXPIRED
_UNFIT = frozenset({25, 26, 34, 47, 48, 49, 50, 51, 52, 53})
"""X509_V_ERR_PATH_LENGTH_EXCEEDED, _INVALID_PURPOSE, _UNHANDLED_CRITICAL_EXTENSION, and what
goes against name constraints: no question of who signed."""
_WORDS = {
    Cause.CERTIFICATE_EXPIRED: "its certificate is out of its time",
    Cause.CERTIFICATE_WRONG_NAME: "its certificate names other hosts",
    Cause.CERTIFICATE_UNKNOWN_AUTHORITY: "its certificate is of an unknown authority",
    Cause.TLS_FAILING: "its certificate is not fit for a server",
}


class DistrustError(TroubledError):
    """The chain was refused: what the leaf itself says is not known here."""


def files_of(trust: Trust) -> tuple[Path, ...]:
    """Return every file that a context is made of."""
    pairs = (file for pair in trust.clients for file in pair if file is not None)
    return (*trust.cas, *pairs)


def tls_context(trust: Trust) -> ssl.SSLContext:
    """Return a context that trusts what Go's default trusts: the system, and ``cas`` beside.

    Names are not its business: :class:`TlsPipe` looks at them, by Go's rules.
    """
    cas = [certificate for ca in trust.cas for certificate in _certificates(ca)]
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(_CIPHERS)
    context.check_hostname = False
    # Go takes any trusted certificate for an anchor, and has no strict mode.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    for certificate in cas:
        context.load_verify_locations(cadata=certificate)
    # Of several that would serve Go presents the first, OpenSSL the last.
    for cert, key in reversed(trust.clients):
        try:
            context.load_cert_chain(cert, key, password=lambda: "")
        except (OSError, ValueError) as error:
            detail = "its client certificate cannot be read"
            raise TroubledError(Cause.EGRESS_REFUSED, detail) from error
    if not trust.verify:
        context.verify_mode = ssl.CERT_NONE
    return context


def _certificates(ca: Path) -> list[bytes]:
    """Return what Go's ``AppendCertsFromPEM`` takes of a file; what is unreadable is skipped."""
    try:
        pem = ca.read_bytes()
    except (OSError, ValueError) as error:
        raise TroubledError(Cause.EGRESS_REFUSED, "its CA file cannot be read") from error
    found = []
    scratch = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    for block in blocks(pem):
        if block.type != b"CERTIFICATE" or block.has_headers:
            continue
        with suppress(ValueError, ssl.SSLError):
            scratch.load_verify_locations(cadata=block.content)
            found.append(block.content)
    if not found:
        raise TroubledError(Cause.EGRESS_REFUSED, "its CA file holds no certificate")
    return found


def leaf_fault(plain: Pipe, name: str) -> TroubledError | None:
    """Shake hands anew without trust, only to see the server's certificate, and hang up.

    Python tells nothing of a certificate whose chain it refused, and Go looks at its
    time and its names first. Nothing is sent but the hello. None: it has no such fault.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_ciphers(_CIPHERS)
    try:
        fault = fault_of(TlsPipe(plain, context, name).certificate, name)
    except TroubledError:
        return None
    finally:
        plain.close()
    return None if fault is None else TroubledError(fault, _WORDS[fault])


class TlsPipe(Pipe):
    """What :class:`Pipe` is, encrypted; made by shaking hands over a plain one.

    ``name`` is the host whose certificate is wanted; a context that verifies nothing
    does not look at it.
    """

    def __init__(self, plain: Pipe, context: ssl.SSLContext, name: str) -> None:
        super().__init__(plain.sock)
        self._plain = plain
        self._name = name
        self._verifies = context.verify_mode != ssl.CERT_NONE
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        try:
            self.tls = context.wrap_bio(
                self._incoming, self._outgoing, server_hostname=name.rstrip(".") or None
            )
            self._shake_hands()
        except ssl.SSLCertVerificationError as error:
            raise _distrust(error) from error
        except (ssl.SSLEOFError, ssl.SSLZeroReturnError) as error:
            raise TroubledError(Cause.RESET, "the TLS handshake broke off", ended=True) from error
        except (ssl.SSLError, ValueError) as error:
            raise TroubledError(Cause.TLS_FAILING, "the TLS handshake failed") from error

    @property
    def certificate(self) -> bytes:
        """Return the server's certificate."""
        return self.tls.getpeercert(binary_form=True) or b""

    def _shake_hands(self) -> None:
        heard = b""
        while True:
            try:
                self.tls.do_handshake()
            except ssl.SSLWantReadError:
                self._flush()
                came = self._feed()
            else:
                # Before the last flight goes out: a client certificate would be in it.
                self._look_at_certificate()
                self._flush()
                return
            if len(heard) < len(_HTTP):
                heard += came[: len(_HTTP) - len(heard)]
                if heard == _HTTP:
                    raise TroubledError(Cause.PLAIN_HTTP, "it answers in plain HTTP")

    def _look_at_certificate(self) -> None:
        fault = fault_of(self.certificate, self._name) if self._verifies else None
        if fault is not None:
            raise TroubledError(fault, _WORDS[fault])

    def read(self, most: int) -> bytes:
        while True:
            try:
                return self.tls.read(most)
            except ssl.SSLWantReadError:
                self._flush()
                self._feed()
            except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
                return b""
            except ssl.SSLError as error:
                # A client certificate that TLS 1.3 misses shows only now.
                raise TroubledError(Cause.TLS_FAILING, "the TLS connection failed") from error

    def write(self, data: bytes) -> None:
        try:
            self.tls.write(data)
        except ssl.SSLError as error:
            raise TroubledError(Cause.TLS_FAILING, "the TLS connection failed") from error
        self._flush()

    def _flush(self) -> None:
        if self._outgoing.pending:
            self._plain.write(self._outgoing.read())

    def _feed(self) -> bytes:
        came = self._plain.read(_CHUNK)
        if came:
            self._incoming.write(came)
        else:
            self._incoming.write_eof()
        return came


def _distrust(error: ssl.SSLCertVerificationError) -> DistrustError:
    cause = Cause.CERTIFICATE_UNKNOWN_AUTHORITY
    if error.verify_code in _EXPIRED:
        cause = Cause.CERTIFICATE_EXPIRED
    elif error.verify_code in _UNFIT:
        cause = Cause.TLS_FAILING
    return DistrustError(cause, _WORDS[cause])
