"""What operators say of a study, what follows, and taking it back; patients that are merged."""

from io import BytesIO
from typing import Any

import pytest
from pydicom.filereader import read_dataset

from adapters.dicom.dataset.levels import Level
from adapters.dicom.query.matching import Criterion, Exact
from adapters.dicom.query.retrieve import pieces
from adapters.dicom.query.statement import instances, matches
from adapters.dicom.query.suboperations import Held as Retrieved
from adapters.dicom.query.transcode import transcoded
from adapters.dicom.studies import corrections, merges
from fhir_server.errors import BadRequest, Conflict, NotFound
from tests.adapters.dicom.studies.archive import SYSTEM, Held, check, image
from tests.cluster import no_others

STUDY = "1.2.1"
SENT = {
    "PatientID": "P1",
    "PatientName": "Wrong^Name",
    "PatientBirthDate": "19800101",
    "StudyDescription": "Chest",
}


def person(id_: str, value: str, **more: Any) -> dict[str, Any]:
    identifier = [{"system": SYSTEM, "value": value}]
    name = [{"family": "Right", "given": ["Ann", "B"]}]
    return {"resourceType": "Patient", "id": id_, "identifier": identifier, "name": name, **more}


async def done(archive: Held, way: Any, *arguments: Any) -> Any:
    async with archive.server.database.transaction() as connection:
        found = await way(archive.server, connection, *arguments, "operator")
    await archive.work()
    return found


async def studies(archive: Held, **keys: str) -> list[str]:
    """Return the UIDs of the studies that a query finds."""
    asked = {name: Criterion("LO", Exact((value,))) for name, value in keys.items()}
    statement = matches(Level.STUDY, asked)
    async with archive.server.database.connection() as connection:
        cursor = await connection.execute(statement.sql, statement.values)
        return [row[0] for row in await cursor.fetchall()]


async def shown(archive: Held) -> dict[str, Any]:
    [one] = await archive.found("ImagingStudy")
    check(archive.server.validator, one)
    return {name: value for name, value in one.items() if name != "meta"}


async def test_a_link_gives_the_study_to_a_patient_and_is_undone(archive: Held) -> None:
    await archive.put(person("a", "P7", gender="female"))
    await archive.send(image("1.2.3", **SENT))
    before = await shown(archive)
    id_ = await done(archive, corrections.link, STUDY, "Patient/a")
    assert (await shown(archive))["subject"] == {"reference": "Patient/a"}
    [(overlay, name)] = await archive.rows(
        "SELECT overlay -> 'values', attributes -> 'PatientName' ->> 0 FROM dicom_study"
    )
    assert overlay == {
        "PatientBirthDate": [],
        "PatientID": ["P7"],
        "PatientName": ["Right^Ann^B"],
        "PatientSex": ["F"],
    }
    assert name == "Right^Ann^B"
    assert await studies(archive, PatientID="P7") == [STUDY]
    assert await studies(archive, PatientID="P1") == [STUDY]
    assert [one["status"] for one in await archive.found("Task")] == ["completed"]
    await done(archive, corrections.undo, id_)
    assert await shown(archive) == before
    assert await studies(archive, PatientID="P7") == []
    assert [one["status"] for one in await archive.found("Task")] == ["requested"]


async def test_what_goes_out_has_the_patient_that_was_linked(archive: Held) -> None:
    await archive.put(person("a", "P7"))
    one = image("1.2.3", **SENT)
    await archive.send(one)
    await done(archive, corrections.link, STUDY, "Patient/a")
    statement = instances({"StudyInstanceUID": Criterion("UI", Exact((STUDY,)))})
    async with archive.server.database.connection() as connection:
        cursor = await connection.execute(statement.sql, statement.values)
        [row] = await cursor.fetchall()
    for syntax in ("1.2.840.10008.1.2.1", "1.2.840.10008.1.2"):
        got = b"".join(pieces(archive.store.blobs, Retrieved(*row), syntax, transcoded))
        found = read_dataset(BytesIO(got), syntax.endswith("1.2"), is_little_endian=True)
        assert (found.PatientID, found.PatientName) == ("P7", "Right^Ann^B")
    [(blob,)] = await archive.rows("SELECT encode(blob, 'hex') FROM dicom_instance")
    assert archive.store.blobs.get(blob).endswith(one.data_set)


async def test_what_was_undone_is_not_undone_again(archive: Held) -> None:
    await archive.put(person("a", "P7"))
    await archive.put(person("b", "P8"))
    await archive.send(image("1.2.3", **SENT))
    first = await done(archive, corrections.link, STUDY, "Patient/a")
    second = await done(archive, corrections.link, STUDY, "Patient/b")
    with pytest.raises(Conflict):
        await done(archive, corrections.undo, first)
    await done(archive, corrections.undo, second)
    assert (await shown(archive))["subject"] == {"reference": "Patient/a"}
    with pytest.raises(Conflict):
        await done(archive, corrections.undo, second)
    with pytest.raises(NotFound):
        await done(archive, corrections.undo, second + 99)


async def test_only_what_is_there_is_linked(archive: Held) -> None:
    await archive.send(image("1.2.3", **SENT))
    with pytest.raises(NotFound):
        await done(archive, corrections.link, STUDY, "Patient/nobody")
    await archive.put(person("a", "P7"))
    with pytest.raises(NotFound):
        await done(archive, corrections.link, "1.2.99", "Patient/a")


async def test_a_patient_is_created_of_a_study(archive: Held) -> None:
    await archive.send(image("1.2.3", **SENT))
    await done(archive, corrections.create, STUDY)
    [patient] = await archive.found("Patient")
    check(archive.server.validator, patient)
    assert patient["name"] == [{"family": "Wrong", "given": ["Name"]}]
    assert (await shown(archive))["subject"] == {"reference": f"Patient/{patient['id']}"}
    with pytest.raises(Conflict):
        await done(archive, corrections.create, STUDY)
    assert await archive.rows("SELECT overlay FROM dicom_study") == [(None,)]


async def test_a_correction_is_seen_by_queries_and_in_fhir_and_is_undone(archive: Held) -> None:
    await archive.send(image("1.2.3", **SENT))
    before = await shown(archive)
    id_ = await done(
        archive, corrections.correct, STUDY, {"AccessionNumber": "A9", "StudyDescription": "Knee"}
    )
    after = await shown(archive)
    assert (after["description"], after["identifier"][1]["value"]) == ("Knee", "A9")
    assert await studies(archive, AccessionNumber="A9") == [STUDY]
    await archive.send(image("1.2.4", **SENT))
    assert (await shown(archive))["description"] == "Knee"
    await done(archive, corrections.undo, id_)
    assert (await shown(archive))["description"] == before["description"]
    assert await studies(archive, AccessionNumber="A9") == []


async def test_a_corrected_patient_id_finds_the_patient(archive: Held) -> None:
    await archive.put(person("a", "P7"))
    await archive.send(image("1.2.3", PatientID="P1"))
    await done(archive, corrections.correct, STUDY, {"PatientID": "P7"})
    assert (await shown(archive))["subject"] == {"reference": "Patient/a"}
    assert await studies(archive, PatientID="P1") == [STUDY]


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("Rows", "7"),
        ("PatientSex", "X"),
        ("PatientBirthDate", "19700231"),
        ("StudyDate", "1970"),
        ("StudyTime", "25h"),
        ("AccessionNumber", "12345678901234567"),
        ("PatientID", "a\\b"),
        ("PatientName", "a\nb"),
    ],
)
def test_a_value_that_dicom_does_not_allow_is_refused(keyword: str, value: str) -> None:
    with pytest.raises(BadRequest):
        corrections.check(keyword, value)


async def test_a_series_becomes_a_study_of_its_own_and_comes_back(archive: Held) -> None:
    one, other = image("1.2.3", **SENT), image("1.2.4", series="1.2.1.2", **SENT)
    await archive.send(one, other)
    before = await shown(archive)
    id_, into = await done(archive, corrections.split, STUDY, ["1.2.1.2"])
    assert (await archive.rows("SELECT overlay -> 'values' FROM dicom_study ORDER BY 1")) == [
        ({"StudyInstanceUID": [into]},),
        (None,),
    ]
    counts = {
        found["identifier"][0]["value"]: found["numberOfInstances"]
        for found in await archive.found("ImagingStudy")
    }
    assert counts == {f"urn:oid:{STUDY}": 1, f"urn:oid:{into}": 1}
    later = image("1.2.5", series="1.2.1.2", **SENT)
    await archive.send(later, other)
    assert await archive.rows(
        "SELECT study_instance_uid, count(*) FROM dicom_instance GROUP BY 1 ORDER BY 2"
    ) == [(STUDY, 1), (into, 2)]
    assert await archive.rows("SELECT count(*) FROM dicom_conflict") == [(0,)]
    await done(archive, corrections.undo, id_)
    by_uid = {
        found["identifier"][0]["value"]: found for found in await archive.found("ImagingStudy")
    }
    assert by_uid[f"urn:oid:{STUDY}"]["numberOfInstances"] == before["numberOfInstances"] + 1
    assert by_uid[f"urn:oid:{into}"]["status"] == "entered-in-error"


async def test_all_or_unknown_series_are_not_split_off(archive: Held) -> None:
    await archive.send(image("1.2.3", **SENT))
    with pytest.raises(Conflict):
        await done(archive, corrections.split, STUDY, ["1.2.1.1"])
    with pytest.raises(NotFound):
        await done(archive, corrections.split, STUDY, ["1.2.1.9"])


async def follow(archive: Held) -> None:
    await no_others(archive.server.database)
    while await merges.look(archive.server):
        pass
    await archive.work()


async def test_a_merge_moves_all_studies_and_an_unmerge_brings_them_back(archive: Held) -> None:
    await archive.put(person("a", "P1"))
    await archive.put(person("b", "P2"))
    await follow(archive)
    await archive.send(
        image("1.2.3", PatientID="P1"),
        image("1.3.3", study="1.3.1", series="1.3.1.1", PatientID="P1"),
        image("1.4.3", study="1.4.1", series="1.4.1.1", PatientID="P2"),
    )
    link = [{"type": "replaced-by", "other": {"reference": "Patient/b"}}]
    await archive.put(person("a", "P1", active=False, link=link))
    await follow(archive)
    subjects = [one["subject"]["reference"] for one in await archive.found("ImagingStudy")]
    assert subjects == ["Patient/b"] * 3
    assert sorted(await studies(archive, PatientID="P2")) == ["1.2.1", "1.3.1", "1.4.1"]
    assert sorted(await studies(archive, PatientID="P1")) == ["1.2.1", "1.3.1"]
    kept = "SELECT attributes -> 'PatientID' ->> 0 FROM dicom_instance ORDER BY 1"
    assert await archive.rows(kept) == [("P1",), ("P1",), ("P2",)]
    await archive.put(person("a", "P1"))
    await follow(archive)
    subjects = sorted(one["subject"]["reference"] for one in await archive.found("ImagingStudy"))
    assert subjects == ["Patient/a", "Patient/a", "Patient/b"]
    assert await studies(archive, PatientID="P2") == ["1.4.1"]


async def test_a_patient_that_comes_after_its_study_gets_it(archive: Held) -> None:
    await follow(archive)
    await archive.send(image("1.2.3", PatientID="P1"))
    assert "reference" not in (await shown(archive))["subject"]
    await archive.put(person("a", "P1"))
    await follow(archive)
    assert (await shown(archive))["subject"] == {"reference": "Patient/a"}


async def test_an_id_that_is_given_to_another_patient_takes_its_studies_along(
    archive: Held,
) -> None:
    await archive.put(person("a", "P1"))
    await archive.put(person("b", "P2"))
    await follow(archive)
    await archive.send(image("1.2.3", PatientID="P1"))
    assert (await shown(archive))["subject"] == {"reference": "Patient/a"}
    await archive.put(person("a", "P9"))
    await follow(archive)
    assert "reference" not in (await shown(archive))["subject"]
    await archive.put(person("b", "P1"))
    await follow(archive)
    assert (await shown(archive))["subject"] == {"reference": "Patient/b"}
    await archive.put(person("a", "P1"))
    await follow(archive)
    assert "reference" not in (await shown(archive))["subject"]


async def test_a_corrected_accession_number_leads_to_its_order_alone(archive: Held) -> None:
    for id_, number in (("a", "A1"), ("b", "A2")):
        await archive.put(person(id_, f"P{number}"))
        await archive.put(
            {
                "resourceType": "ServiceRequest",
                "id": id_,
                "status": "active",
                "intent": "order",
                "subject": {"reference": f"Patient/{id_}"},
                "identifier": [{"system": "urn:sangam:accession-number", "value": number}],
            }
        )
    requested = [{"AccessionNumber": "A2"}]
    await archive.send(
        image("1.2.3", PatientID="PA1", AccessionNumber="A2", RequestAttributesSequence=requested)
    )
    assert "reference" not in (await shown(archive))["subject"]
    await done(archive, corrections.correct, STUDY, {"AccessionNumber": "A1"})
    study = await shown(archive)
    assert study["subject"] == {"reference": "Patient/a"}
    assert study["basedOn"] == [{"reference": "ServiceRequest/a"}]


async def test_a_corrected_patient_id_goes_before_the_order(archive: Held) -> None:
    await archive.put(person("a", "P1"))
    await archive.put(person("b", "P2"))
    uid = {"system": "urn:dicom:uid", "value": f"urn:oid:{STUDY}"}
    order = {"resourceType": "ServiceRequest", "status": "active", "intent": "order"}
    subject = {"reference": "Patient/b"}
    await archive.put({**order, "identifier": [uid], "subject": subject})
    await archive.send(image("1.2.3", PatientID="P2"))
    assert (await shown(archive))["subject"] == subject
    await done(archive, corrections.correct, STUDY, {"PatientID": "P1"})
    study = await shown(archive)
    assert study["subject"] == {"reference": "Patient/a"}
    assert "basedOn" not in study


async def test_a_patient_that_changes_otherwise_leaves_its_studies_alone(archive: Held) -> None:
    await archive.put(person("a", "P1"))
    await follow(archive)
    await archive.send(image("1.2.3", PatientID="P1"))
    await archive.put(person("a", "P1", active=True))
    await follow(archive)
    assert await archive.rows("SELECT folds FROM dicom_study") == [(1,)]
