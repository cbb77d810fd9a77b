"""A port on which a modality is told what was committed.

https://dicom.nema.org/medical/dicom/current/output/html/part04.html#sect_J.3.3
"""

import ipaddress
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from adapters.dicom.listener import Listener
from adapters.dicom.network.classes import COMMITMENT, VERIFICATION
from adapters.dicom.network.command import Field
from adapters.dicom.network.desk import Desk, Patience
from adapters.dicom.network.negotiate import Policy
from adapters.dicom.network.services import echo
from adapters.dicom.places import Limits, Places
from adapters.dicom.simulation.asking import Reports

_ANYWHERE = (ipaddress.ip_network("0.0.0.0/0"), ipaddress.ip_network("::/0"))
_STOP_SECONDS = 5.0
_MAX_PDU = 131072


@contextmanager
def listening(ae_title: str, port: int, reports: Reports) -> Iterator[int]:
    """Listen for reports on a port (0: any that is free), and lend its number."""
    places = Places(None, Limits(8, 8))
    listener = Listener(
        desk=Desk(
            Policy(
                ae_titles=frozenset((ae_title,)),
                calling=None,
                max_pdu=_MAX_PDU,
                prefer_explicit=True,
                accept_unknown=False,
                transfer_syntaxes=frozenset(),
                services=frozenset((COMMITMENT, VERIFICATION)),
            ),
            {Field.N_EVENT_REPORT_RQ: reports.service, Field.C_ECHO_RQ: echo},
        ),
        networks=_ANYWHERE,
        plain=_ANYWHERE,
        places=places,
        patience=Patience(artim=30, dimse=30, idle=60),
    )
    stop = threading.Event()
    with socket.create_server(("", port)) as sock:
        thread = threading.Thread(target=listener.listen, args=(sock, stop), daemon=True)
        thread.start()
        try:
            yield int(sock.getsockname()[1])
        finally:
            stop.set()
            thread.join(_STOP_SECONDS)
            listener.close(_STOP_SECONDS)
            places.close()
