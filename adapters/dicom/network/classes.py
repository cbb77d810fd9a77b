"""SOP classes of the services that are not storage, and the names of services.

https://dicom.nema.org/medical/dicom/current/output/html/part04.html#chapter_C
https://dicom.nema.org/medical/dicom/current/output/html/part04.html#chapter_K
"""

from enum import StrEnum

VERIFICATION = "1.2.840.10008.1.1"

PATIENT_ROOT_FIND = "1.2.840.10008.5.1.4.1.2.1.1"
PATIENT_ROOT_MOVE = "1.2.840.10008.5.1.4.1.2.1.2"
PATIENT_ROOT_GET = "1.2.840.10008.5.1.4.1.2.1.3"
STUDY_ROOT_FIND = "1.2.840.10008.5.1.4.1.2.2.1"
STUDY_ROOT_MOVE = "1.2.840.10008.5.1.4.1.2.2.2"
STUDY_ROOT_GET = "1.2.840.10008.5.1.4.1.2.2.3"
PATIENT_STUDY_ONLY_FIND = "1.2.840.10008.5.1.4.1.2.3.1"
PATIENT_STUDY_ONLY_MOVE = "1.2.840.10008.5.1.4.1.2.3.2"
PATIENT_STUDY_ONLY_GET = "1.2.840.10008.5.1.4.1.2.3.3"
WORKLIST_FIND = "1.2.840.10008.5.1.4.31"

MPPS = "1.2.840.10008.3.1.2.3.3"
MPPS_RETRIEVE = "1.2.840.10008.3.1.2.3.4"
MPPS_NOTIFICATION = "1.2.840.10008.3.1.2.3.5"
COMMITMENT = "1.2.840.10008.1.20.1"
COMMITMENT_INSTANCE = "1.2.840.10008.1.20.1.1"

FIND = frozenset((PATIENT_ROOT_FIND, STUDY_ROOT_FIND, PATIENT_STUDY_ONLY_FIND))
MOVE = frozenset((PATIENT_ROOT_MOVE, STUDY_ROOT_MOVE, PATIENT_STUDY_ONLY_MOVE))
GET = frozenset((PATIENT_ROOT_GET, STUDY_ROOT_GET, PATIENT_STUDY_ONLY_GET))
RETIRED = frozenset((PATIENT_STUDY_ONLY_FIND, PATIENT_STUDY_ONLY_MOVE, PATIENT_STUDY_ONLY_GET))


class Service(StrEnum):
    """What a peer may be allowed to use."""

    ECHO = "echo"
    STORE = "store"
    FIND = "find"
    MOVE = "move"
    GET = "get"
    WORKLIST = "worklist"
    MPPS = "mpps"
    COMMITMENT = "commitment"


_SERVICES = {
    VERIFICATION: Service.ECHO,
    **dict.fromkeys(FIND, Service.FIND),
    **dict.fromkeys(MOVE, Service.MOVE),
    **dict.fromkeys(GET, Service.GET),
    WORKLIST_FIND: Service.WORKLIST,
    **dict.fromkeys((MPPS, MPPS_RETRIEVE, MPPS_NOTIFICATION), Service.MPPS),
    COMMITMENT: Service.COMMITMENT,
}


def service_of(abstract_syntax: str) -> Service:
    """Return the service of a SOP class; what has no other is storage."""
    return _SERVICES.get(abstract_syntax, Service.STORE)
