"""What the HL7 v2 adapter keeps of a patient, removed for good."""

from collections.abc import Iterable
from typing import Any, Final

from fhir_server.database import Connection
from fhir_server.interactions.erasure import Erased
from fhir_server.server import Server

_AT_ONCE: Final = 1_000
_PERSONS: Final = {b"PID": (2, 3, 4), b"MRG": (1, 2, 3, 4)}
"""Fields that have identifiers of the patient (HL7 v2, 3.4.2 and 3.4.9)."""

# Where a message was taken in bulk, what it says of others is kept nowhere else either.
_MESSAGES: Final = """
SELECT id, raw, coalesce(result_versions::text, '') FROM hl7_message
WHERE id > %(after)s AND (
    EXISTS (SELECT FROM unnest(%(values)s::text[]) AS v(value)
            WHERE position(convert_to(v.value, 'UTF8') IN raw) > 0)
    OR EXISTS (SELECT FROM unnest(%(needles)s::text[]) AS n(needle)
               WHERE position(n.needle IN result_versions::text) > 0))
ORDER BY id LIMIT %(most)s
"""
_OUTBOUND: Final = """
DELETE FROM hl7_outbound WHERE reference = ANY(%(literals)s) OR keys && %(literals)s::text[]
    OR EXISTS (SELECT FROM unnest(%(values)s::text[]) AS v(value)
               WHERE position(convert_to('|' || v.value || '^', 'UTF8') IN payload) > 0)
"""
_OTHERS: Final = (
    "DELETE FROM hl7_report WHERE patient_id = %(patient)s OR message_id = ANY(%(messages)s)",
    "DELETE FROM hl7_applied WHERE resource = ANY(%(literals)s)",
    "DELETE FROM hl7_pending_link WHERE source = ANY(%(literals)s)",
    """DELETE FROM hl7_merge WHERE survivor = ANY(%(literals)s) OR retired = ANY(%(literals)s)
        OR survivor = %(patient)s OR retired = %(patient)s""",
    """DELETE FROM hl7_critical WHERE observation_id = ANY(%(ids)s)
        OR request_id = ANY(%(ids)s) OR flag_id = ANY(%(ids)s)""",
    "DELETE FROM hl7_awos WHERE request = ANY(%(ids)s) OR request = ANY(%(literals)s)",
    """DELETE FROM hl7_astm_order WHERE reference = ANY(%(literals)s)
        OR split_part(reference, '/', 1) || '/' || split_part(reference, '/', 2)
           = ANY(%(literals)s)""",
    """DELETE FROM hl7_alias WHERE EXISTS (SELECT FROM unnest(%(values)s::text[]) AS v(value)
        WHERE position(v.value IN key) > 0 OR position(v.value IN name) > 0)""",
)


async def erase(server: Server, gone: Erased) -> int:
    """Remove the messages and other rows of a patient; return how many messages.

    A message is his when it made something of his, or has an identifier of his in PID or MRG.
    """
    count, after = 0, 0
    messages: list[int] = []
    while True:
        async with server.database.transaction() as connection:
            found, last, more = await _candidates(connection, gone, after)
            await connection.execute("DELETE FROM hl7_message WHERE id = ANY(%s)", (found,))
        messages += found
        count, after = count + len(found), last
        if not more:
            break
    given: dict[str, Any] = {
        "patient": gone.patient,
        "values": sorted(gone.identifiers),
        "literals": sorted(gone.literals),
        "ids": sorted(one.partition("/")[2] for one in gone.literals),
        "messages": messages,
    }
    async with server.database.transaction() as connection:
        count += (await connection.execute(_OUTBOUND, given)).rowcount
        for statement in _OTHERS:
            await connection.execute(statement, given)
    return count


async def _candidates(
    connection: Connection, gone: Erased, after: int
) -> tuple[list[int], int, bool]:
    needles = [f"{one}{end}" for one in sorted(gone.literals) for end in ('"', "/")]
    values = sorted(gone.identifiers)
    given = {"after": after, "values": values, "needles": needles, "most": _AT_ONCE}
    rows = await (await connection.execute(_MESSAGES, given)).fetchall()
    wanted = {one.encode() for one in gone.identifiers}
    own = [
        id_
        for id_, raw, made in rows
        if any(one in made for one in needles) or wanted & set(_named(bytes(raw)))
    ]
    return own, rows[-1][0] if rows else after, len(rows) == _AT_ONCE


def _named(raw: bytes) -> Iterable[bytes]:
    """Yield the identifiers of patients in a message, as its own delimiters part them."""
    if not raw.startswith(b"MSH") or len(raw) < len("MSH|^~"):
        return
    field, component, repetition = raw[3:4], raw[4:5], raw[5:6]
    for line in raw.replace(b"\n", b"\r").split(b"\r"):
        values = line.split(field)
        for number in _PERSONS.get(values[0], ()):
            if number < len(values):
                for one in values[number].split(repetition):
                    yield one.split(component)[0]
