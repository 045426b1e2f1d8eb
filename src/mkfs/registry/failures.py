"""What the HTTP library raises, in our words. Every exception of httpx2, httpcore2, h11, ssl and the sockets below becomes
`Unreachable`.

Rules of this file: no text of a library is passed on, as it may hold a URL or a header; what is said comes from the kind of the
error, an `errno`, or OpenSSL's name for it.
"""

import os
import socket
import ssl
from collections.abc import Iterator
from typing import Final

import h11
import httpcore2
import httpx2
import trio

from mkfs.errors import Unreachable
from mkfs.registry.hopeless import Hopeless
from mkfs.registry.retries import CONNECT_SECONDS
from mkfs.registry.urls import Origin

# Everything a transport may raise. `OSError` also covers `ssl.SSLError` and what sockets raise outside of the library's own care.
TRANSPORT_ERRORS: Final = (
    httpx2.HTTPError,
    httpx2.InvalidURL,
    httpx2.StreamError,
    trio.TooSlowError,
    httpcore2.TimeoutException,
    httpcore2.NetworkError,
    httpcore2.ProtocolError,
    httpcore2.ProxyError,
    httpcore2.UnsupportedProtocol,
    h11.ProtocolError,
    OSError,
)

_PLAIN_HTTP_HINT: Final = "if this registry speaks plain HTTP, pass --plain-http"
_TRUST_HINT: Final = "if its authority is your own, name its certificates with --ca-file"
_SHOW_HINT: Final = "if it wants a certificate of yours, put NAME.cert and NAME.key into /etc/containers/certs.d/{host}"
_START_HINT: Final = "check the host and port, and that the registry runs"
# What OpenSSL calls an answer that is no TLS; 3.2 renamed it.
_NOT_TLS: Final = frozenset({"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG", "RECORD_LAYER_FAILURE"})

_TIMEOUTS: Final = (httpx2.TimeoutException, httpcore2.TimeoutException, trio.TooSlowError)
_CONNECTS: Final = (httpx2.ConnectTimeout, httpcore2.ConnectTimeout)
_PROTOCOL: Final = (httpx2.ProtocolError, httpcore2.ProtocolError, h11.ProtocolError)
_LOCAL: Final = (httpx2.LocalProtocolError, httpcore2.LocalProtocolError, h11.LocalProtocolError, httpx2.InvalidURL)
_PROXY: Final = (httpx2.ProxyError, httpcore2.ProxyError)


def unreachable(
    error: Exception, origin: Origin, *, seconds: float, connect_seconds: float = CONNECT_SECONDS, answered: bool = False
) -> Unreachable:
    """The error for a person. `answered`: the head of an answer had come, so what broke is its body. `seconds` is how long
    nothing came, where that is the error, and `connect_seconds` how long a connection was tried.
    """
    host = origin.authority
    if isinstance(error, _CONNECTS):
        return Unreachable(f"no connection within {connect_seconds:.3g} s", host, _START_HINT)
    if isinstance(error, _TIMEOUTS):
        return Unreachable(f"no byte for {seconds:.0f} s", host, _START_HINT)
    if isinstance(error, _LOCAL):
        return Hopeless("the request cannot be sent", host)
    if isinstance(error, _PROXY):
        return Unreachable("the proxy refuses to connect", host, "check HTTPS_PROXY and NO_PROXY")
    if answered:
        return Unreachable("the connection broke before the answer was complete", host)
    system = next((cause for cause in _causes(error) if isinstance(cause, OSError) and cause.errno is not None), None)
    if system is not None:
        return _system_error(system, host)
    if isinstance(error, _PROTOCOL):
        return Unreachable("the connection was closed without an answer, or the answer is not HTTP", host)
    return Unreachable("the connection broke", host)


def _system_error(error: OSError, host: str) -> Unreachable:
    if isinstance(error, ssl.SSLCertVerificationError):
        reason = getattr(error, "verify_message", "") or "no reason given"  # set by OpenSSL, not by every Python layer above it
        return Hopeless(f"the certificate is not trusted ({reason})", host, _TRUST_HINT)
    if isinstance(error, ssl.SSLError):
        reason = getattr(error, "reason", "") or "no reason given"
        hint = _PLAIN_HTTP_HINT if reason in _NOT_TLS else _SHOW_HINT.format(host=host) if "ALERT" in reason else ""
        return Hopeless(f"no TLS connection ({reason.lower().replace('_', ' ')})", host, hint)
    if isinstance(error, socket.gaierror):
        again = error.errno == socket.EAI_AGAIN
        return (Unreachable if again else Hopeless)("the host name cannot be resolved", host, _START_HINT)
    if isinstance(error, ConnectionRefusedError):
        return Hopeless("connection refused", host, _START_HINT)
    return Unreachable(os.strerror(error.errno or 0).lower(), host)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """The error and what led to it, outermost first, groups taken apart. The pool cuts `__cause__` off, so contexts count, too."""
    seen: list[BaseException] = []
    while error is not None and error not in seen:
        seen.append(error)
        if isinstance(error, BaseExceptionGroup):
            for member in error.exceptions:
                yield from _causes(member)
        else:
            yield error
        error = error.__cause__ or error.__context__
