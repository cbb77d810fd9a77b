"""What the HL7 v2 adapter keeps of a patient, removed for good."""

from collections.abc import Iterable
from typing import Any, Final

from fhir_server.database import Connection
from fhir_server.interactions.erasure import Erased
from fhir_server.server import Server

_AT_ONCE: Final = 1_000
_PERSONS: Final = {
    b"PID": (2, 3, 4),
    b"MRG": (1, 2, 3, 4),
    b"QPD": (3,),
    b"P": (2, 3, 4),
    b"Q": (2,),
}
"""Fields that have identifiers of the patient (HL7 v2, 3.4.2 and 3.4.9; ASTM E1394, 7 and 11)."""
_ASKING: Final = frozenset((b"QPD", b"Q"))
"""Segments and records in which any component may be one."""

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
               WHERE position(convert_to('|' || v.value || '^', 'UTF8') IN payload) > 0
                  OR position(convert_to('~' || v.value || '^', 'UTF8') IN payload) > 0)
"""
# Sessions under way: what they said so far, which may stand in two frames.
_SESSIONS: Final = """
SELECT session, said FROM (
    SELECT session, string_agg(text, '' ORDER BY number) AS said FROM hl7_astm_frame GROUP BY 1
) AS s WHERE EXISTS (SELECT FROM unnest(%s::text[]) AS v(value)
                     WHERE position(convert_to(v.value, 'UTF8') IN said) > 0)
"""
_END_SESSIONS: Final = "DELETE FROM hl7_astm_frame WHERE session = ANY(%s)"
_OTHERS: Final = (
    "DELETE FROM hl7_report WHERE patient_id = %(patient)s OR message_id = ANY(%(messages)s)",
    "DELETE FROM hl7_applied WHERE resource = ANY(%(literals)s)",
    """DELETE FROM hl7_pending_link WHERE source = ANY(%(literals)s)
        OR EXISTS (SELECT FROM unnest(%(values)s::text[]) AS v(value), unnest(tokens) AS t(token)
                   WHERE right(t.token, length(v.value) + 1) = '|' || v.value)""",
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

    A message is his when it made something of his, or has an identifier of his where it says
    whose it is, or who is asked for.
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
        rows = await (await connection.execute(_SESSIONS, (given["values"],))).fetchall()
        wanted = {one.encode() for one in gone.identifiers}
        own = [session for session, said in rows if wanted & set(_named(bytes(said)))]
        await connection.execute(_END_SESSIONS, (own,))
    return count + len(own)


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
    if raw.startswith(b"MSH"):
        field, component, repetition = raw[3:4], raw[4:5], raw[5:6]
    else:
        # Records of an analyzer (ASTM E1394, 6.4); a session under way may have said but these.
        field, repetition, component = raw[1:2] or b"|", raw[2:3] or b"\\", raw[3:4] or b"^"
    if not (field and component and repetition):
        return
    for line in raw.replace(b"\n", b"\r").split(b"\r"):
        values = line.split(field)
        for number in _PERSONS.get(values[0], ()):
            for one in values[number].split(repetition) if number < len(values) else ():
                parts = one.split(component)
                yield from parts if values[0] in _ASKING else parts[:1]
