"""Associations that we open with peers, with TLS where their row says so.

https://dicom.nema.org/medical/dicom/current/output/html/part15.html#sect_B.12
"""

import socket
import ssl
from collections.abc import Callable, Iterable, Mapping

from adapters.dicom.network import tls
from adapters.dicom.network.associate import Role
from adapters.dicom.network.scu import Sender
from adapters.dicom.query.peers import Known, check
from adapters.dicom.query.suboperations import Pair
from fhir_server.dicom_settings import DicomSettings


def files(settings: DicomSettings) -> tls.Files:
    """Return the files of TLS that these settings name."""
    return tls.Files(
        settings.tls_certificate,
        settings.tls_key,
        settings.tls_ca,
        required=settings.tls_client_cert == "required",
    )


def call(
    settings: DicomSettings,
    peer: Known,
    calling: str,
    pairs: Iterable[Pair],
    providing: Mapping[str, tuple[str, ...]] | None = None,
    roles: Mapping[str, Role] | None = None,
) -> Sender:
    """Open an association with a peer, calling as this AE title.

    Raises Refusal when it does not accept, OSError when it cannot be reached or does not
    prove to be the peer, or when it would be called in the clear and nobody said so.
    """
    check(peer)
    return Sender(
        (peer.host, peer.port),
        called=peer.ae_title,
        calling=calling,
        contexts=pairs,
        timeout=settings.dimse_seconds,
        waiting=settings.connect_seconds,
        providing=providing,
        roles=roles,
        secure=_secured(settings, peer) if peer.tls else None,
    )


def _secured(settings: DicomSettings, peer: Known) -> Callable[[socket.socket], socket.socket]:
    """Return what shakes hands as a client; the certificate must be that of the peer.

    With an identity in its row that is what it must prove, else its host's name.
    """
    context = tls.client_context(files(settings))
    context.check_hostname = not peer.identity

    def secure(connection: socket.socket) -> socket.socket:
        try:
            wrapped = context.wrap_socket(connection, server_hostname=peer.host)
        except OSError:
            connection.close()
            raise
        shown = tls.certificate(wrapped)
        if peer.identity and not (shown and shown.proves(peer.identity)):
            wrapped.close()
            raise ssl.SSLCertVerificationError("The certificate is not that of the peer")
        return wrapped

    return secure


def accepting(settings: DicomSettings) -> Callable[[socket.socket], socket.socket]:
    """Return what puts TLS on accepted connections; files that are replaced count at once.

    The handshake comes with the first read, in the association's own thread. Raises OSError
    where a file is missing or wrong.
    """
    reloading = tls.Reloading(files(settings))

    def secure(connection: socket.socket) -> socket.socket:
        return reloading.context().wrap_socket(
            connection, server_side=True, do_handshake_on_connect=False
        )

    return secure
