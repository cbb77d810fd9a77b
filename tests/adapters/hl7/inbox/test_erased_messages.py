"""What HL7 v2 and ASTM left of a patient goes with him, and what is of others stays."""

import re
from uuid import UUID

import pytest

from adapters.hl7.inbox import erase
from adapters.hl7.tables import metadata
from fhir_server.interactions.erasure import Erased
from fhir_server.server import Server

MARK, OTHER = "MRN-9042", "MRN-7"
GONE = Erased("ann", frozenset((MARK,)), frozenset(("Patient/ann", "ServiceRequest/r1")))
HEADER = "MSH|^~!&|A|B|C|D|20260101||{event}|1|P|2.5\r"


def adt(number: str) -> str:
    return f"{HEADER.format(event='ADT^A08')}PID|1||x^^^H~{number}^^^H||Doe^J\r"


def query(number: str) -> str:
    return f"{HEADER.format(event='QBP^Q22')}QPD|Q|T|@PID.3.1^{number}~@PID.8^F\r"


def records(number: str) -> str:
    return f"H|\\^&|||A|||||||P|1|2026\rP|1|{number}\rO|1|S-1\rL|1|N\r"


def asking(number: str) -> str:
    return f"H|\\^&|||A|||||||P|1|2026\rQ|1|{number}^S-1||ALL\rL|1|N\r"


SESSIONS = {"ann": str(UUID(int=1)), "bob": str(UUID(int=2))}
MESSAGES = (adt, query, records, asking)
_MESSAGE = """
INSERT INTO hl7_message (channel, sender, peer, raw, sha256, state, partition_keys, ack_mode)
VALUES ('c', 's', 'p', convert_to(%s, 'UTF8'), '', 'done', '{}', 'original')
"""
_FRAME = """
INSERT INTO hl7_astm_frame (session, number, channel, peer, text, final)
SELECT %(session)s::uuid, n, 'astm', 'p', convert_to(text, 'UTF8'), false
FROM unnest(%(texts)s::text[]) WITH ORDINALITY AS f(text, n)
"""
_LINK = """
INSERT INTO hl7_pending_link (source, element, type, tokens, inverse)
VALUES (%s, 'e', 'Patient', %s, false)
"""
_OUT = """
INSERT INTO hl7_outbound (destination, kind, event, control_id, keys, reference, version,
    content_sha256, payload, state)
VALUES ('d', 'adt', 'A08', %s, %s, %s, 1, '', convert_to(%s, 'UTF8'), 'queued')
"""
_ORDER = """
INSERT INTO hl7_astm_order (sender, reference, action, records, state)
VALUES ('a', %s, 'N', convert_to(%s, 'UTF8'), 'queued')
"""


@pytest.fixture
async def left(server: Server) -> Server:
    """Rows in which the patient is named, each beside one that names another."""
    async with server.database.transaction() as connection:
        for number, patient, order in ((MARK, "ann", "r1"), (OTHER, "bob", "r2")):
            for make in MESSAGES:
                await connection.execute(_MESSAGE, (make(number),))
            text = records(number)
            at = text.index(number) + 3  # the number stands in two frames
            await connection.execute(
                _FRAME, {"session": SESSIONS[patient], "texts": [text[:at], text[at:]]}
            )
            await connection.execute(_LINK, (f"RelatedPerson/of-{patient}", [f"urn:mrn|{number}"]))
            await connection.execute(_LINK, (f"Patient/{patient}", ["urn:x|y"]))
            await connection.execute(_OUT, (number, [], "Encounter/e", adt(number)))
            await connection.execute(
                _OUT, (f"2{number}", [f"Patient/{patient}"], "Encounter/e", "MSH|x")
            )
            await connection.execute(_ORDER, (f"ServiceRequest/{order}", records(number)))
    return server


async def told(server: Server) -> list[str]:
    """The rows of all tables of the adapter, as text."""
    found = []
    async with server.database.connection() as connection:
        for name in metadata.tables:
            rows = await (await connection.execute(f"SELECT t::text FROM {name} AS t")).fetchall()
            found += [f"{name} {row[0]}" for row in rows]
    return [
        re.sub(r"\\x((?:[0-9a-f]{2})+)", lambda m: str(bytes.fromhex(m[1])), one) for one in found
    ]


async def test_nothing_of_him_is_left_and_all_of_others(left: Server) -> None:
    before = await told(left)
    his = [one for one in before if MARK in one or "Patient/ann" in one or SESSIONS["ann"] in one]
    others = [one for one in before if one not in his]
    assert len(his) == len(others) == len(MESSAGES) + 7
    assert await erase.erase(left, GONE) == len(MESSAGES) + 3
    after = await told(left)
    assert after == others
