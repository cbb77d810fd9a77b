"""What the archive has of a patient who is erased goes, and nobody else's."""

from adapters.dicom.studies import erase
from fhir_server.interactions.erasure import Erased
from tests.adapters.dicom.studies.archive import SYSTEM, Held, instances


async def test_studies_of_an_erased_patient_go_with_their_files(archive: Held) -> None:
    for seed in (1, 2):
        sent = instances(seed, slices=2)
        await archive.send(*sent)
    rows = await archive.rows("SELECT study_instance_uid, patient_id FROM dicom_study ORDER BY 1")
    (his, patient_id), (other, _) = rows
    patient = {"resourceType": "Patient", "identifier": [{"system": SYSTEM, "value": patient_id}]}
    literal = await archive.put(patient)
    await archive.rows(
        "UPDATE dicom_study SET patient = %s WHERE study_instance_uid = %s", literal, his
    )
    blobs = await archive.rows("SELECT study_instance_uid, encode(blob, 'hex') FROM dicom_instance")
    gone = Erased(literal.partition("/")[2], frozenset((patient_id,)), frozenset((literal,)))
    assert await erase.erase(archive.server, gone) == 2
    assert await archive.rows("SELECT study_instance_uid FROM dicom_study") == [(other,)]
    assert await archive.rows("SELECT DISTINCT study_instance_uid FROM dicom_series") == [(other,)]
    assert await archive.rows("SELECT DISTINCT study_instance_uid FROM dicom_instance") == [
        (other,)
    ]
    there = {study for study, digest in blobs if archive.store.blobs.place(digest).exists()}
    assert there == {other}
    assert await erase.erase(archive.server, gone) == 0
