"""What a performed procedure step says it made, against what is stored.

https://dicom.nema.org/medical/dicom/current/output/html/part04.html#sect_F.7.2.2.2
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import psycopg

from adapters.dicom.mpps.content import instances
from adapters.dicom.mpps.rows import Performed
from fhir_server.database import Connection

Sync = psycopg.Connection[tuple[Any, ...]]
Instance = tuple[str, str]
"""Series and SOP Instance UID."""

_STORED: Final = """
SELECT series_instance_uid, sop_instance_uid FROM dicom_instance
WHERE sop_instance_uid = ANY(%(instances)s) OR series_instance_uid = ANY(%(series)s)
ORDER BY series_instance_uid, instance_number, sop_instance_uid
"""


@dataclass(frozen=True, slots=True)
class Completeness:
    """How much of a step has come: what it names, and what is missing of that.

    `unlisted` is what is stored in the same series and what it does not name.
    """

    expected: int
    stored: int
    missing: tuple[Instance, ...]
    unlisted: tuple[Instance, ...]


def compare(named: Sequence[Instance], stored: Collection[Instance]) -> Completeness:
    """Return how far `stored` has what a step has `named`; an instance is known by its UID."""
    here = {uid for _, uid in stored}
    said = {uid for _, uid in named}
    missing = tuple(one for one in named if one[1] not in here)
    unlisted = tuple(one for one in stored if one[1] not in said)
    return Completeness(len(named), len(named) - len(missing), missing, unlisted)


def of_steps(connection: Sync, steps: Sequence[Performed]) -> Mapping[str, Completeness]:
    """Return the completeness of each step, by its SOP Instance UID."""
    return _compared(steps, connection.execute(_STORED, _wanted(steps)).fetchall())


async def completeness(
    connection: Connection, steps: Sequence[Performed]
) -> Mapping[str, Completeness]:
    """Return the completeness of each step, by its SOP Instance UID."""
    cursor = await connection.execute(_STORED, _wanted(steps))
    return _compared(steps, await cursor.fetchall())


def _wanted(steps: Sequence[Performed]) -> dict[str, list[str]]:
    every = [one for step in steps for one in instances(step.attributes)]
    return {
        "instances": sorted({uid for _, uid in every}),
        "series": sorted({series for series, _ in every}),
    }


def _compared(
    steps: Sequence[Performed], rows: Sequence[tuple[Any, ...]]
) -> dict[str, Completeness]:
    found = [(str(series), str(uid)) for series, uid in rows]
    named = {one.sop_instance_uid: instances(one.attributes) for one in steps}
    return {uid: compare(some, _near(some, found)) for uid, some in named.items()}


def _near(named: Sequence[Instance], found: Sequence[Instance]) -> list[Instance]:
    """Return what is stored of a step: what it names, and what else is in its series."""
    series, uids = {one for one, _ in named}, {uid for _, uid in named}
    return [one for one in found if one[0] in series or one[1] in uids]
