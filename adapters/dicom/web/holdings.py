"""What is held of a study, a series or an instance, in the order in which it goes out."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from starlette.requests import Request

from adapters.dicom.studies.overlay import Overlay, parsed
from adapters.dicom.studies.rejection import Target, expunged
from adapters.dicom.web import access
from adapters.dicom.web.auditing import accessed
from adapters.dicom.web.service import Place, Web, place
from fhir_server.database import Connection
from fhir_server.errors import Gone, NotFound

_HELD: Final = """
SELECT i.study_instance_uid, i.series_instance_uid, i.sop_instance_uid, i.sop_class_uid,
       i.transfer_syntax_uid, encode(i.blob, 'hex'), i.data_set_offset, i.size, i.received_at,
       i.pixel_offset, s.overlay::text, coalesce(s.overlay_version, 0)
FROM dicom_instance i
LEFT JOIN dicom_series e USING (study_instance_uid, series_instance_uid)
LEFT JOIN dicom_study s USING (study_instance_uid)
WHERE study_instance_uid = %(study)s
  AND (%(series)s = '' OR series_instance_uid = %(series)s)
  AND (%(instance)s = '' OR sop_instance_uid = %(instance)s)
  AND i.state = 'live'
ORDER BY e.series_number, series_instance_uid, i.instance_number, sop_instance_uid
"""


@dataclass(frozen=True, slots=True)
class Holding:
    """A stored instance: its data set is `size` bytes from `offset` of its blob.

    `overlay` is what its study says otherwise, as of `overlay_version`.
    """

    study: str
    series: str
    instance: str
    sop_class_uid: str
    transfer_syntax_uid: str
    blob: str
    offset: int
    size: int
    received_at: datetime
    pixel_offset: int | None = None
    overlay: Overlay | None = None
    overlay_version: int = 0

    @property
    def version(self) -> tuple[str, str]:
        """Return what the content of the instance follows from."""
        return self.blob, str(self.overlay_version)

    @property
    def path(self) -> str:
        """Return the path of the instance below the service's root."""
        return f"/studies/{self.study}/series/{self.series}/instances/{self.instance}"


async def held(web: Web, request: Request) -> list[Holding]:
    """Return what the path names, at least one instance.

    Raises NotFound where nothing is there, or nothing that the caller may know of, and
    Gone where it was removed for good. What is rejected is not there.
    """
    return await held_at(web, request, place(request))


async def held_at(web: Web, request: Request, where: Place) -> list[Holding]:
    """Return what is held there, as `held` does."""
    who = access.caller(request)
    async with web.server.database.connection() as connection:
        await access.check(web.server, connection, who, where.study)
        found = await _found(connection, where)
    await access.require_reached_all(web.server, who, [where.study])
    await accessed(web, request, where.study)
    return found


async def _found(connection: Connection, where: Place) -> list[Holding]:
    asked = {"study": where.study, "series": where.series, "instance": where.instance}
    cursor = await connection.execute(_HELD, asked)
    found = [
        replace(Holding(*row[:10]), overlay=parsed(row[10]), overlay_version=row[11])
        for row in await cursor.fetchall()
    ]
    if found:
        return found
    target = Target(where.study, where.series or None, where.instance or None)
    if await expunged(connection, target):
        raise Gone("What was there has been removed")
    raise NotFound("There is no such study, series or instance")
