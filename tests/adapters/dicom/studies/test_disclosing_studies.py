"""Which studies a consent lets go to another organisation."""

from typing import Any

from adapters.dicom.studies import disclosing
from tests.adapters.dicom.studies.archive import SYSTEM, Held, image

THERE, ELSEWHERE = "Organization/there", "Organization/elsewhere"
SCOPE = "http://terminology.hl7.org/CodeSystem/consentscope"
ACTIONS = "http://terminology.hl7.org/CodeSystem/consentaction"


def consent(status: str) -> dict[str, Any]:
    return {
        "resourceType": "Consent",
        "id": "c",
        "status": status,
        "scope": {"coding": [{"system": SCOPE, "code": "patient-privacy"}]},
        "category": [{"text": "privacy"}],
        "patient": {"reference": "Patient/a"},
        "policy": [{"uri": "http://example.org/policy"}],
        "provision": {
            "type": "permit",
            "actor": [{"role": {"text": "recipient"}, "reference": {"reference": THERE}}],
            "action": [{"coding": [{"system": ACTIONS, "code": "disclose"}]}],
        },
    }


async def test_studies_go_to_another_organisation_by_consent_alone(archive: Held) -> None:
    for id_, number in (("a", "P7"), ("b", "P8")):
        identifier = [{"system": SYSTEM, "value": number}]
        await archive.put({"resourceType": "Patient", "id": id_, "identifier": identifier})
    for organization in (THERE, ELSEWHERE):
        id_ = organization.partition("/")[2]
        await archive.put({"resourceType": "Organization", "id": id_, "name": id_})
    for study, number in (("1.2.1", "P7"), ("1.2.2", "P8"), ("1.2.3", "nobody's")):
        said = {"PatientID": number, "StudyDate": "20240131"}
        await archive.send(image(f"{study}.9", study=study, series=f"{study}.1", **said))
    every = ("1.2.1", "1.2.2", "1.2.3", "1.2.4")
    server = archive.server
    rows = await archive.found("ImagingStudy")
    subjects = [one.get("subject", {}).get("reference") for one in rows]
    assert (len(rows), {"Patient/a", "Patient/b"} <= set(subjects)) == (3, True)
    assert await disclosing.permitted(server, THERE, every) == set()
    await archive.put(consent("active"))
    assert await disclosing.permitted(server, THERE, every) == {"1.2.1"}
    assert await disclosing.permitted(server, ELSEWHERE, every) == set()
    await archive.put(consent("inactive"))
    assert await disclosing.permitted(server, THERE, every) == set()
