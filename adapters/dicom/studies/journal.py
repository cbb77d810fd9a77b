"""What operators did with studies, and how it is taken back."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from psycopg.types.json import Jsonb

from fhir_server.database import Connection
from fhir_server.errors import Conflict, NotFound

_ADD: Final = """
INSERT INTO dicom_action (study_instance_uid, action, actor, detail) VALUES (%s, %s, %s, %s)
RETURNING id
"""
_UNDO: Final = """
UPDATE dicom_action SET undone_by = %s, undone_at = clock_timestamp() WHERE id = %s
"""
_ONE: Final = """
SELECT id, study_instance_uid, action, detail, undone_at IS NOT NULL
FROM dicom_action WHERE id = %s FOR UPDATE
"""
_LATER: Final = """
SELECT id FROM dicom_action
WHERE study_instance_uid = %s AND action = %s AND id > %s AND undone_at IS NULL LIMIT 1
"""


@dataclass(frozen=True, slots=True)
class Action:
    """Something that was done; `detail` has what is needed to undo it."""

    id: int
    study: str
    action: str
    detail: Mapping[str, Any]
    undone: bool


async def add(
    connection: Connection, study: str, action: str, actor: str, detail: Mapping[str, Any]
) -> int:
    """Record an action inside the caller's transaction and return its number."""
    cursor = await connection.execute(_ADD, (study, action, actor, Jsonb(dict(detail))))
    row = await cursor.fetchone()
    assert row is not None
    return int(row[0])


async def undoable(connection: Connection, id_: int) -> Action:
    """Return an action, locked, that nothing later of its kind stands upon.

    Raises NotFound, and Conflict where it was undone or another has to be undone first.
    """
    row = await (await connection.execute(_ONE, (id_,))).fetchone()
    if row is None:
        raise NotFound(f"There is no action {id_}")
    found = Action(*row)
    if found.undone:
        raise Conflict(f"Action {id_} was undone already")
    cursor = await connection.execute(_LATER, (found.study, found.action, id_))
    if later := await cursor.fetchone():
        raise Conflict(f"Action {later[0]} of the study is to be undone first")
    return found


async def undone(connection: Connection, id_: int, actor: str) -> None:
    """Record that an action was undone."""
    await connection.execute(_UNDO, (actor, id_))
