"""Who asked for whose erasure, who may not be erased, and what was.

The ledger holds keyed digests alone. It is kept beside the database as well, in the file
`erased` of the data directory: a restored database does not know what was erased since.
"""

import hmac
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from fhir_server.database import Connection
from fhir_server.errors import Conflict, NotFound
from fhir_server.seal import derived

FILE: Final = "erased"

_ASK: Final = """
INSERT INTO erasure (patient, reason, asked_by) VALUES (%s, %s, %s)
ON CONFLICT (patient) WHERE state IN ('asked', 'approved') DO NOTHING RETURNING id
"""
_COLUMNS: Final = "id, patient, reason, state, asked_by, approved_by"
_OPEN: Final = f"""
SELECT {_COLUMNS} FROM erasure WHERE patient = %s AND state IN ('asked', 'approved') FOR UPDATE
"""
_ONE: Final = f"SELECT {_COLUMNS} FROM erasure WHERE id = %s FOR UPDATE"
_ALL: Final = f"SELECT {_COLUMNS} FROM erasure ORDER BY id"
_APPROVE: Final = "UPDATE erasure SET state = 'approved', approved_by = %s WHERE id = %s"
_WITHDRAW: Final = "UPDATE erasure SET state = 'withdrawn' WHERE id = %s"
_DONE: Final = """
UPDATE erasure SET state = 'done', patient = '', reason = '', done_at = now(), report = %s
WHERE id = %s
"""
_HOLD: Final = """
INSERT INTO legal_hold (patient, reason, held_by) VALUES (%s, %s, %s)
ON CONFLICT (patient) DO UPDATE SET reason = excluded.reason, held_by = excluded.held_by
"""
_HELD: Final = "SELECT EXISTS (SELECT FROM legal_hold WHERE patient = %s)"
_ADD: Final = """
INSERT INTO erased (digest) SELECT * FROM unnest(%s::bytea[]) ON CONFLICT DO NOTHING
"""


@dataclass(frozen=True, slots=True)
class Request:
    """A request to erase the patient with this id; when it is done it names nobody."""

    id: int
    patient: str
    reason: str
    state: str
    asked_by: str
    approved_by: str | None


def digest(secret: bytes, literal: str) -> bytes:
    """Return the digest of a reference (`Patient/1`) under the key of the installation."""
    return hmac.digest(derived(secret, "erasure ledger"), literal.encode(), "sha256")


def pseudonym(secret: bytes, literal: str) -> str:
    """Return the name under which AuditEvents go on to tell of what was erased."""
    return digest(secret, literal).hex()[:32]


async def ask(connection: Connection, patient: str, reason: str, by: str) -> int:
    """Note the request and return its number; Conflict when there is one."""
    row = await (await connection.execute(_ASK, (patient, reason, by))).fetchone()
    if row is None:
        raise Conflict("The erasure of this patient is asked for already")
    return int(row[0])


async def open_of(connection: Connection, patient: str) -> Request | None:
    """Return the request about a patient that is not done, locked."""
    row = await (await connection.execute(_OPEN, (patient,))).fetchone()
    return Request(*row) if row else None


async def one(connection: Connection, id_: int) -> Request:
    """Return a request, locked; NotFound where there is none."""
    row = await (await connection.execute(_ONE, (id_,))).fetchone()
    if row is None:
        raise NotFound("There is no such request of an erasure")
    return Request(*row)


async def requests(connection: Connection) -> list[Request]:
    """Return all requests, oldest first."""
    return [Request(*row) for row in await (await connection.execute(_ALL)).fetchall()]


async def approve(connection: Connection, asked: Request, by: str) -> None:
    """Approve a request; Conflict when it is not open, or is the approver's own."""
    if asked.state != "asked":
        raise Conflict("The erasure is not waiting for approval")
    if asked.asked_by == by:
        raise Conflict("Another person than who asked for the erasure approves it")
    await connection.execute(_APPROVE, (by, asked.id))


async def withdraw(connection: Connection, asked: Request) -> None:
    """Take a request back; Conflict when it was approved."""
    if asked.state != "asked":
        raise Conflict("The erasure is not waiting for approval")
    await connection.execute(_WITHDRAW, (asked.id,))


async def done(connection: Connection, id_: int, report: str) -> None:
    """Note that a request was carried out; it names nobody from now on."""
    await connection.execute(_DONE, (report, id_))


async def hold(connection: Connection, patient: str, reason: str, by: str) -> None:
    """Keep a patient from being erased."""
    await connection.execute(_HOLD, (patient, reason, by))


async def release(connection: Connection, patient: str) -> bool:
    """Let a patient be erased again; False when nothing kept from it."""
    held = await connection.execute("DELETE FROM legal_hold WHERE patient = %s", (patient,))
    return held.rowcount == 1


async def is_held(connection: Connection, patient: str) -> bool:
    """Whether a patient must not be erased."""
    row: tuple[Any, ...] | None = await (await connection.execute(_HELD, (patient,))).fetchone()
    return bool(row and row[0])


async def add(connection: Connection, folder: Path, digests: Iterable[bytes]) -> None:
    """Note what is erased, in the database and in the file beside it."""
    found = list(digests)
    with (folder / FILE).open("a") as file:
        file.writelines(f"{one.hex()}\n" for one in found)
    await connection.execute(_ADD, (found,))


async def known(connection: Connection, folder: Path) -> set[bytes]:
    """Return all that was ever erased, by the database or by the file beside it."""
    rows = await (await connection.execute("SELECT digest FROM erased")).fetchall()
    place = folder / FILE
    lines = place.read_text().split() if place.exists() else []
    return {bytes(row[0]) for row in rows} | {bytes.fromhex(line) for line in lines}
