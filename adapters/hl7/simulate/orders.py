"""Questions of imagined analyzers: what is to be measured of a specimen."""

from datetime import UTC, datetime, timedelta
from typing import Final

from adapters.hl7.simulate.results import header, joined

_START: Final = datetime(2026, 1, 1, tzinfo=UTC)
_ANALYZER: Final = "CHEM-SIM"


def qbp(seed: int, specimen: str) -> bytes:
    """Return the query of IHE LAW for the work of one specimen (LAB-27)."""
    moment = _START + timedelta(seconds=seed)
    tag = f"SIMQ{seed:010d}"
    head = header(_ANALYZER, "QBP^Q11^QBP_Q11", tag, moment).split("|")
    head[14:16] = ["ER", "AL"]
    return joined(
        [
            "|".join(head) + "|||LAB-27^IHE",
            f"QPD|WOS^Work Order Step^IHELAW|{tag}|{specimen}",
            "RCP|I||R",
        ]
    )


def records(seed: int, specimen: str) -> bytes:
    """Return the query of ASTM for all tests of one specimen."""
    moment = _START + timedelta(seconds=seed)
    lines = (
        f"H|\\^&|||SIM^{_ANALYZER}^1.0|||||||P|LIS2-A2|{moment:%Y%m%d%H%M%S}",
        f"Q|1|^{specimen}||ALL||||||||O",
        "L|1|N",
    )
    return ("\r".join(lines) + "\r").encode()


def accepted(order: bytes) -> bytes:
    """Return the answer to work that was sent (LAB-28): all of it is taken."""
    segments = [line.split(b"|") for line in order.split(b"\r") if line]
    control = segments[0][9] if len(segments[0]) > 9 else b""  # noqa: PLR2004  (MSH-10)
    moment = datetime.now(UTC)
    answer = header(_ANALYZER, "ORL^O34^ORL_O42", f"A{control.decode('latin-1')}"[:20], moment)
    lines = [answer, f"MSA|AA|{control.decode('latin-1')}"]
    for fields in segments:
        name = fields[0]
        if name in {b"SPM", b"SAC"}:
            lines.append(b"|".join(fields).decode("utf-8", "replace"))
        elif name == b"ORC":
            action = fields[1].decode("latin-1")
            number = fields[2].decode("latin-1") if len(fields) > 2 else ""  # noqa: PLR2004
            lines.append(f"ORC|{'CR' if action == 'CA' else 'OK'}|{number}")
    return joined(lines)
