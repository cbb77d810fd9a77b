"""Which studies may go to another organisation: those whose patient permits to disclose them.

https://hl7.org/fhir/R4/consent.html
"""

from collections.abc import Callable, Collection, Iterable
from typing import Final

from fhir_server.interactions import disclosing
from fhir_server.server import Server

Permit = Callable[[str, Collection[str]], Collection[str]]
"""Returns those of the studies (UIDs) that may go to an organisation (a reference)."""

_STUDIES: Final = """
SELECT study_instance_uid, patient, 'ImagingStudy/' || imaging_study FROM dicom_study
WHERE study_instance_uid = ANY(%s) AND patient LIKE 'Patient/%%' AND imaging_study IS NOT NULL
"""


async def permitted(server: Server, organization: str, studies: Iterable[str]) -> set[str]:
    """Return the studies whose ImagingStudy and patient a consent permits to disclose.

    One that has none yet, or whose patient is not known, may not go.
    """
    asked = sorted(set(studies))
    async with server.database.connection() as connection:
        rows = await (await connection.execute(_STUDIES, (asked,))).fetchall()
        literals = {one for _, *shown in rows for one in shown}
        may = await disclosing.permitted(server, connection, organization, literals)
    return {study for study, *shown in rows if may.issuperset(shown)}


def nothing(_: str, __: Collection[str]) -> Collection[str]:
    """Permit nothing: where nobody can be asked."""
    return ()
