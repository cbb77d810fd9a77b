"""TLS of a channel: its certificate, and who may come in with which.

https://www.rfc-editor.org/rfc/rfc9325
"""

import hashlib
import ssl
from typing import Any, Final

from fhir_server.channel_settings import Hl7Tls
from fhir_server.entrance import Following

_VERSIONS: Final = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
_MODES: Final = {
    "none": ssl.CERT_NONE,
    "optional": ssl.CERT_OPTIONAL,
    "required": ssl.CERT_REQUIRED,
}


def server_context(tls: Hl7Tls) -> ssl.SSLContext:
    """Return what a listener shakes hands with; OSError where a file is missing or wrong."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = _VERSIONS[tls.minimum]
    context.load_cert_chain(tls.certificate, tls.key)
    if tls.client_ca:
        context.load_verify_locations(tls.client_ca)
    context.verify_mode = _MODES[tls.client_cert]
    # A session that goes on would pass by the certificates of today.
    context.num_tickets = 0
    context.options |= ssl.OP_NO_TICKET
    return context


def following(tls: Hl7Tls) -> Following:
    """Return what a listener shakes hands with, as its files are now; OSError as above."""
    files = (tls.certificate, tls.key, tls.client_ca)
    return Following(files, lambda: server_context(tls))


def identity(certificate: dict[str, Any] | None, der: bytes | None) -> tuple[tuple[str, ...], str]:
    """Return the names and the SHA-256 of a verified client certificate, as Origin has them."""
    if not certificate or not der:
        return (), ""
    names = [value for _, value in certificate.get("subjectAltName", ())]
    names += [
        value
        for part in certificate.get("subject", ())
        for name, value in part
        if name == "commonName"
    ]
    return tuple(dict.fromkeys(names)), hashlib.sha256(der).hexdigest()


def admits(tls: Hl7Tls, names: tuple[str, ...], fingerprint: str) -> bool:
    """Whether a client with this identity may come in; none shown is for the mode to judge."""
    if not fingerprint or not (tls.client_names or tls.client_fingerprints):
        return True
    allowed = {name.casefold() for name in tls.client_names}
    prints = {
        one.replace(":", "").lower().removeprefix("sha256") for one in tls.client_fingerprints
    }
    return fingerprint in prints or any(name.casefold() in allowed for name in names)
