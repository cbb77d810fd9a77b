"""The worklist as operators see it: who is on it without his name.

https://dicom.nema.org/medical/dicom/current/output/html/part04.html#chapter_K
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import psycopg

_SHOWN = 2

_LIST = """
SELECT start_date, start_time, status, modality, stations, step_id, accession_number, patient_id,
    attributes -> 'PatientName' ->> 0, step -> 'ScheduledProcedureStepDescription' ->> 0,
    shown_until IS NOT NULL AND shown_until <= now()
FROM worklist_step
WHERE (%(every)s OR (status <> '' AND (shown_until IS NULL OR shown_until > now())))
  AND (%(day)s::text IS NULL OR start_date = %(day)s)
  AND (%(station)s::text IS NULL OR stations @> ARRAY[%(station)s::text])
  AND (%(modality)s::text IS NULL OR modality = %(modality)s)
ORDER BY start_date, start_time, id LIMIT %(limit)s
"""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which steps to show: of a day (YYYYMMDD), a station, a modality; also those that left."""

    day: str | None = None
    station: str | None = None
    modality: str | None = None
    every: bool = False
    limit: int = 200


@dataclass(frozen=True, slots=True)
class Line:
    """A step, its patient masked."""

    start: str
    status: str
    modality: str
    stations: tuple[str, ...]
    step_id: str
    accession_number: str
    patient: str
    description: str


def listed(connection: psycopg.Connection[tuple[Any, ...]], wanted: Wanted) -> list[Line]:
    """Return the steps that are wanted, by their start."""
    given = {
        "day": wanted.day,
        "station": wanted.station,
        "modality": wanted.modality,
        "every": wanted.every,
        "limit": wanted.limit,
    }
    return [_line(row) for row in connection.execute(_LIST, given).fetchall()]


def _line(row: Sequence[Any]) -> Line:
    day, time, status, modality, stations, step_id, accession, patient_id, name, text, over = row
    return Line(
        start=f"{day[:4]}-{day[4:6]}-{day[6:]} {time[:2]}:{time[2:4]}",
        status="over" if over and status else status or "left",
        modality=modality,
        stations=tuple(stations),
        step_id=step_id,
        accession_number=accession,
        patient=f"{initials(name or '')} {masked(patient_id)}".strip(),
        description=text or "",
    )


def initials(name: str) -> str:
    """Return the first letters of family and given name."""
    parts = next((group for group in name.split("=") if group.strip("^")), "").split("^")[:2]
    return " ".join(f"{part[0]}." for part in parts if part)


def masked(number: str) -> str:
    """Return the end of a number, the rest hidden."""
    return f"…{number[-_SHOWN:]}" if len(number) > _SHOWN else "…" * bool(number)
