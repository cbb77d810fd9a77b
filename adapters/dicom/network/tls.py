"""TLS of associations: our certificate, and whom the other one names.

https://dicom.nema.org/medical/dicom/current/output/html/part15.html#sect_B.12
https://www.rfc-editor.org/rfc/rfc9325
"""

import hashlib
import ssl
import threading
from dataclasses import dataclass
from pathlib import Path

# For TLS 1.2 only ECDHE with authenticated encryption (RFC 9325, 4.2).
_SUITES = "ECDHE+AESGCM:ECDHE+CHACHA20"

Stamp = tuple[tuple[int, int, int], ...]


@dataclass(frozen=True, slots=True)
class Files:
    """Paths in PEM: our certificate chain, its key, and the authorities that peers have theirs of.

    Without `authorities` a server asks for no certificate; `required` says whether one
    may be missing.
    """

    certificate: str
    key: str
    authorities: str = ""
    required: bool = True


@dataclass(frozen=True, slots=True)
class Certificate:
    """A verified certificate of a peer: its names, and its SHA-256 in hex."""

    names: frozenset[str]
    fingerprint: str

    def proves(self, identity: str) -> bool:
        """Return whether it is that of `identity`, a name or a fingerprint."""
        return identity in self.names or identity.replace(":", "").lower() == self.fingerprint


def server_context(files: Files) -> ssl.SSLContext:
    """Return what a listener shakes hands with; OSError where a file is missing or wrong."""
    context = _strict(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
    context.load_cert_chain(files.certificate, files.key)
    if files.authorities:
        context.load_verify_locations(files.authorities)
        context.verify_mode = ssl.CERT_REQUIRED if files.required else ssl.CERT_OPTIONAL
    # A session that goes on would pass by the certificates of today.
    context.num_tickets = 0
    context.options |= ssl.OP_NO_TICKET
    return context


def client_context(files: Files) -> ssl.SSLContext:
    """Return what we call peers with; OSError where a file is missing or wrong.

    Without `authorities` those of the system are trusted.
    """
    context = _strict(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
    if files.certificate:
        context.load_cert_chain(files.certificate, files.key)
    if files.authorities:
        context.load_verify_locations(files.authorities)
    else:
        context.load_default_certs()
    return context


def _strict(context: ssl.SSLContext) -> ssl.SSLContext:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(_SUITES)
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    return context


def certificate(connection: ssl.SSLSocket) -> Certificate | None:
    """Return the verified certificate at the other end, None without one."""
    der, read = connection.getpeercert(binary_form=True), connection.getpeercert()
    if not der or not read:
        return None
    names = [str(entry[1]) for entry in read.get("subjectAltName", ())]
    return Certificate(frozenset(names), hashlib.sha256(der).hexdigest())


class Reloading:
    """The context of these files as they are now, made again when one was replaced."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self._lock = threading.Lock()
        self._stamp = _stamp(files)
        self._context = server_context(files)

    def context(self) -> ssl.SSLContext:
        """Return the context; the one before where the files cannot be read now."""
        with self._lock:
            try:
                now = _stamp(self._files)
                if now != self._stamp:
                    self._context = server_context(self._files)
                    self._stamp = now
            except OSError:
                pass  # A replacement may be half done; the next association looks again.
            return self._context


def _stamp(files: Files) -> Stamp:
    paths = [Path(name) for name in (files.certificate, files.key, files.authorities) if name]
    found = [path.stat() for path in paths]
    return tuple((one.st_mtime_ns, one.st_size, one.st_ino) for one in found)
