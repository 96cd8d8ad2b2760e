"""TLS over a pipe: the bytes go through our hands, so that each step ends at the deadline.

It also lets us see what a peer says in answer to the first hello: a server that
speaks plain HTTP says ``HTTP/``, and containerd looks for just that.
"""

import ssl

from webhook.registry.outcome import Cause
from webhook.registry.sockets import Pipe, TroubledError
from webhook.registry.wire import Trust

_CHUNK = 65_536
_HTTP = b"HTTP/"
_EXPIRED = frozenset({9, 10})  # X509_V_ERR_CERT_NOT_YET_VALID, _HAS_EXPIRED
_WRONG_NAME = frozenset({62, 64})  # X509_V_ERR_HOSTNAME_MISMATCH, _IP_ADDRESS_MISMATCH


def tls_context(trust: Trust) -> ssl.SSLContext:
    """Return a context that trusts what Go's default trusts: the system, and ``cas`` beside."""
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # Go takes any trusted certificate for an anchor, and has no strict mode.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    for ca in trust.cas:
        try:
            context.load_verify_locations(cafile=ca)
        except OSError as error:
            raise TroubledError(Cause.EGRESS_REFUSED, "its CA file cannot be read") from error
    if not trust.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


class TlsPipe(Pipe):
    """What :class:`Pipe` is, encrypted; made by shaking hands over a plain one."""

    def __init__(self, plain: Pipe, context: ssl.SSLContext, name: str | None) -> None:
        super().__init__(plain.sock)
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        try:
            self.tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=name)
            self._shake_hands()
        except ssl.SSLCertVerificationError as error:
            raise _distrust(error) from error
        except (ssl.SSLEOFError, ssl.SSLZeroReturnError) as error:
            raise TroubledError(Cause.RESET, "the TLS handshake broke off") from error
        except (ssl.SSLError, ValueError) as error:
            raise TroubledError(Cause.TLS_FAILING, "the TLS handshake failed") from error

    def _shake_hands(self) -> None:
        heard = b""
        while True:
            try:
                self.tls.do_handshake()
            except ssl.SSLWantReadError:
                self._flush()
                came = self._feed()
            else:
                self._flush()
                return
            if len(heard) < len(_HTTP):
                heard += came[: len(_HTTP) - len(heard)]
                if heard == _HTTP:
                    raise TroubledError(Cause.PLAIN_HTTP, "it answers in plain HTTP")

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
            super().write(self._outgoing.read())

    def _feed(self) -> bytes:
        came = super().read(_CHUNK)
        if came:
            self._incoming.write(came)
        else:
            self._incoming.write_eof()
        return came


def _distrust(error: ssl.SSLCertVerificationError) -> TroubledError:
    if error.verify_code in _EXPIRED:
        return TroubledError(Cause.CERTIFICATE_EXPIRED, "its certificate is out of its time")
    if error.verify_code in _WRONG_NAME:
        return TroubledError(Cause.CERTIFICATE_WRONG_NAME, "its certificate names other hosts")
    return TroubledError(
        Cause.CERTIFICATE_UNKNOWN_AUTHORITY, "its certificate is of an unknown authority"
    )
