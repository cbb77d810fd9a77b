"""The batch that answers a batch.

HL7 v2.9 chapter 2, sections 2.10.3.3 and 2.14.2 (BHS).
"""

from collections.abc import Sequence
from datetime import datetime

from adapters.hl7.acknowledgement.ack import control_id
from adapters.hl7.message.batch import BatchHeader


def acknowledge_batch(
    header: BatchHeader, acks: Sequence[bytes], now: datetime, comment: str = ""
) -> bytes:
    """Return the acknowledgements as a batch; `comment` tells a finding about the whole.

    BHS-12 names the batch that is answered.
    """
    f = header.field
    bhs = [
        f"BHS{f}{header.marks}",
        *header.receiving,
        *header.sending,
        f"{now:%Y%m%d%H%M%S%z}",
        "",
        "",
        comment,
        control_id(),
        header.control_id,
    ]
    first = f.join(bhs).encode("latin-1") + b"\r"
    last = f"BTS{f}{len(acks)}\r".encode("latin-1")
    return first + b"".join(acks) + last
