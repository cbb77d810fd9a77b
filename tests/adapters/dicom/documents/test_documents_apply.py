import base64
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import httpx
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as Items

from adapters.dicom.dataset.head import head
from adapters.dicom.dataset.rejections import SAFETY
from adapters.dicom.documents import apply, rows
from adapters.dicom.network.scu import Instance
from adapters.dicom.storage.index import INSERT, Row, Rules, documents_job, written
from adapters.dicom.storage.store import archive_root
from adapters.dicom.studies import fold, rejection
from adapters.dicom.studies.reading import CALLER
from fhir_server import jobs
from fhir_server.blobs import Blobs
from fhir_server.config import Settings
from fhir_server.dicom_settings import DicomSettings
from fhir_server.errors import Unprocessable
from fhir_server.interactions.entry import Entry
from fhir_server.interactions.transaction import transaction
from fhir_server.r4 import json
from fhir_server.server import Server
from tests.adapters.dicom.conftest import serving
from tests.adapters.dicom.documents import sr_samples as samples

Json = dict[str, Any]
RUNS = {"dicom.fold": fold.run, apply.KIND: apply.run}
ENCAPSULATED = "1.2.840.10008.5.1.4.1.1.104."


@pytest.fixture
def settings(tmp_path: Any) -> Settings:
    return Settings(demo=True, data_dir=tmp_path / "data", dicom=DicomSettings(quiet_seconds=0))


async def work(server: Server) -> None:
    """Carry out what is ready until nothing is, folds first."""
    for _ in range(10):
        async with server.database.statement() as connection:
            cursor = await connection.execute(
                "SELECT id FROM job WHERE state = 'ready' AND due_at <= now() AND kind = ANY (%s) "
                "ORDER BY kind DESC",
                (list(RUNS),),
            )
            ids = [row[0] for row in await cursor.fetchall()]
            for id_ in ids:
                job = await jobs.claim(connection, id_, 1)
                if job is not None:
                    await RUNS[job.kind](server, job.payload)
                    await jobs.finish(connection, job.id, 1)
        if not ids:
            return


async def stored(server: Server, *documents: Dataset, timezone: str = "") -> None:
    """Store documents as the archive does, without an association, and let the jobs run.

    `timezone` is the offset that the index has of the peer.
    """
    blobs = Blobs(archive_root(server.blobs.root), server.data_keys)
    for one in documents:
        sent = samples.instance(one)
        found_ = head(sent.data_set, len(sent.data_set), sent.transfer_syntax_uid)
        row = Row(
            sent.sop_instance_uid, found_.study_instance_uid, found_.series_instance_uid,
            sent.sop_class_uid, sent.transfer_syntax_uid,
            bytes.fromhex(blobs.put(sent.data_set)), hashlib.sha256(sent.data_set).digest(),
            len(sent.data_set), 0, None, "MODALITY", "127.0.0.1", [], dict(found_.attributes),
        )  # fmt: skip
        if timezone:
            row.attributes["TimezoneOffsetFromUTC"] = [timezone]
        values, jobs_ = written(row, Rules(), 0)
        values["withdrawn"] = None
        async with server.database.transaction() as connection:
            await connection.execute(INSERT, values)
            await jobs.enqueue(connection, jobs_)
    await work(server)


async def sent(server: Server, *documents: Dataset) -> None:
    """Send documents over an association."""
    statuses = await anyio.to_thread.run_sync(_send, server, *map(samples.instance, documents))
    assert statuses == [0] * len(documents)


def _send(server: Server, *instances: Instance) -> list[int]:
    with serving(server.settings, server.database.conninfo) as archive:
        return archive.send(*instances)


async def found(server: Server, url: str) -> list[Json]:
    async with server.database.transaction() as connection:
        [outcome] = await transaction(server, connection, CALLER, [Entry("GET", url)])
    return [one["resource"] for one in json.decode(outcome.body or b"{}").get("entry", ())]


async def document(server: Server, uid: str) -> tuple[Any, ...]:
    async with server.database.statement() as connection:
        cursor = await connection.execute(
            "SELECT state, reason, items, unmapped, flags FROM dicom_document "
            "WHERE sop_instance_uid = %s",
            (uid,),
        )
        row = await cursor.fetchone()
    assert row is not None
    return row


async def enqueue(server: Server) -> None:
    async with server.database.transaction() as connection:
        await jobs.enqueue(connection, [documents_job(samples.STUDY)])


def report_url(uid: str) -> str:
    return f"DiagnosticReport?identifier=urn:dicom:uid|urn:oid:{uid}"


async def statuses(server: Server, kind: str) -> list[str]:
    return sorted(one["status"] for one in await found(server, f"{kind}?_count=100"))


@pytest.mark.parametrize("name", samples.MADE)
async def test_a_document_becomes_what_its_template_says_once(server: Server, name: str) -> None:
    made = samples.MADE[name]()
    await stored(server, made)
    uid = str(made.SOPInstanceUID)
    state, reason, items, _, flags = await document(server, uid)
    assert (state, reason, flags) == ("mapped", "", [])
    assert items > 0
    [report] = await found(server, report_url(uid))
    [study] = await found(server, "ImagingStudy")
    assert report["subject"] == study["subject"]
    assert report["imagingStudy"] == [{"reference": f"ImagingStudy/{study['id']}"}]
    async with server.database.statement() as connection:
        await connection.execute("UPDATE dicom_document SET fingerprint = ''")
    before = await found(server, "Observation?_count=100")
    await enqueue(server)
    await work(server)
    assert await found(server, "Observation?_count=100") == before
    [again] = await found(server, report_url(uid))
    assert again["meta"]["versionId"] == "1"


async def test_members_and_sources_are_resources_of_the_server(server: Server) -> None:
    await stored(server, samples.measurement_report())
    [report] = await found(server, report_url(f"{samples.STUDY}.4"))
    observations = {
        f"Observation/{one['id']}": one for one in await found(server, "Observation?_count=100")
    }
    results = [observations[one["reference"]] for one in report["result"]]
    assert [len(one["hasMember"]) for one in results] == [4, 1, 1]
    [total] = [observations[one["reference"]] for one in results[2]["hasMember"]]
    [length] = [
        observations[one["reference"]]
        for one in results[0]["hasMember"]
        if observations[one["reference"]]["code"]["text"] == "Length"
    ]
    assert total["derivedFrom"][1] == {"reference": f"Observation/{length['id']}"}
    assert str(length["valueQuantity"]["value"]) == "12.50"


async def test_a_report_follows_its_study_to_another_patient(server: Server) -> None:
    await stored(server, samples.basic_report())
    [study] = await found(server, "ImagingStudy")
    async with server.database.transaction() as connection:
        patient = {"resourceType": "Patient", "name": [{"family": "Other"}]}
        [made] = await transaction(server, connection, CALLER, [Entry("POST", "Patient", patient)])
        other = {"reference": f"Patient/{made.id}"}
        changed = {**study, "subject": other}
        url = f"ImagingStudy/{study['id']}"
        await transaction(server, connection, CALLER, [Entry("PUT", url, changed)])
    await enqueue(server)
    await work(server)
    subjects = [
        one["subject"]
        for kind in ("DiagnosticReport", "Observation", "Media")
        for one in await found(server, kind)
    ]
    assert subjects == [other] * 5


async def reject(server: Server, uid: str, state: str) -> None:
    async with server.database.statement() as connection:
        await connection.execute(
            "UPDATE dicom_instance SET state = %s WHERE sop_instance_uid = %s", (state, uid)
        )
    await enqueue(server)
    await work(server)


async def test_a_rejected_document_is_withdrawn_and_comes_back_when_it_is_restored(
    server: Server,
) -> None:
    await stored(server, samples.basic_report(), samples.ct_dose())
    uid = f"{samples.STUDY}.3"
    target = rejection.Target(samples.STUDY, None, uid)
    async with server.database.transaction() as connection:
        await rejection.reject(connection, target, SAFETY, "an operator")
    await work(server)
    for kind, count in (("DiagnosticReport", 1), ("Observation", 3), ("Media", 1)):
        assert (await statuses(server, kind)).count("entered-in-error") == count
    assert (await document(server, uid))[0] == "withdrawn"
    async with server.database.transaction() as connection:
        await rejection.restore(connection, target, "an operator")
    await work(server)
    assert await statuses(server, "DiagnosticReport") == ["final", "preliminary"]
    assert await statuses(server, "Observation") == ["final"] * 3 + ["preliminary"] * 4


def amended(**changes: Any) -> Dataset:
    before = samples.related(samples.STUDY, samples.SERIES, f"{samples.STUDY}.4", f"{samples.SR}33")
    return samples.measurement_report(
        sop=f"{samples.STUDY}.41", PredecessorDocumentsSequence=Items([before]), **changes
    )


@pytest.mark.parametrize("order", ["in order", "the amendment first"])
async def test_an_amendment_takes_the_place_of_its_predecessor(server: Server, order: str) -> None:
    documents = [samples.measurement_report(), amended()]
    for one in documents if order == "in order" else documents[::-1]:
        await stored(server, one)
    [report] = await found(server, "DiagnosticReport")
    assert report["status"] == "amended"
    assert [one["value"][-3:] for one in report["identifier"]] == [".41", "1.4"]
    assert report["identifier"][1]["use"] == "old"
    in_force = [
        one["identifier"][0]["value"].partition("/")[0]
        for one in await found(server, "Observation?status:not=entered-in-error&_count=100")
    ]
    assert set(in_force) == {f"{samples.STUDY}.41"}
    assert (await document(server, f"{samples.STUDY}.4"))[0] == "superseded"


async def test_a_withdrawn_amendment_leaves_its_predecessor_in_force(server: Server) -> None:
    await stored(server, samples.measurement_report())
    await stored(server, amended())
    await reject(server, f"{samples.STUDY}.41", "rejected")
    await work(server)
    [report] = await found(server, "DiagnosticReport")
    assert report["status"] == "final"
    assert report["identifier"][0]["value"] == f"urn:oid:{samples.STUDY}.4"
    in_force = await found(server, "Observation?status=final&_count=100")
    assert {one["identifier"][0]["value"].partition("/")[0] for one in in_force} == {
        f"{samples.STUDY}.4"
    }


async def test_a_report_on_measurements_of_another_title_leaves_them_in_force(
    server: Server,
) -> None:
    await stored(server, samples.measurement_report())
    before = samples.related(samples.STUDY, samples.SERIES, f"{samples.STUDY}.4")
    second = samples.basic_report()
    second.PredecessorDocumentsSequence = Items([before])
    await stored(server, second)
    [first] = await found(server, report_url(f"{samples.STUDY}.4"))
    [report] = [
        one
        for one in await found(server, "DiagnosticReport")
        if one["code"]["coding"][0]["code"] == "18782-3"
    ]
    assert report["status"] == "final"
    assert report["extension"][0]["valueReference"] == {
        "reference": f"DiagnosticReport/{first['id']}"
    }
    assert await statuses(server, "Observation") == ["final"] * 12


async def test_orders_are_found_by_number_and_subject(server: Server) -> None:
    await stored(server, samples.basic_report())
    [patient] = await found(server, "Patient")
    order = {
        "resourceType": "ServiceRequest",
        "identifier": [{"system": "urn:example:orders", "value": "F77"}],
        "status": "active",
        "intent": "order",
        "subject": {"reference": f"Patient/{patient['id']}"},
    }
    async with server.database.transaction() as connection:
        [made] = await transaction(
            server, connection, CALLER, [Entry("POST", "ServiceRequest", order)]
        )
    requests = []
    for number in ("F77", "F78"):
        requests.append(Dataset())
        requests[-1].FillerOrderNumberImagingServiceRequest = number
    document_ = samples.ct_dose()
    document_.ReferencedRequestSequence = Items(requests)
    await stored(server, document_)
    [report] = await found(server, report_url(f"{samples.STUDY}.5"))
    assert report["basedOn"][0] == {"reference": f"ServiceRequest/{made.id}"}
    assert report["basedOn"][1]["identifier"]["value"] == "F78"


async def test_an_order_of_nobody_is_not_that_of_a_study_that_waits(server: Server) -> None:
    order = {
        "resourceType": "ServiceRequest",
        "identifier": [{"system": "urn:example:orders", "value": "F77"}],
        "status": "active",
        "intent": "order",
        "subject": {"type": "Patient", "display": "Somebody"},
    }
    async with server.database.transaction() as connection:
        await transaction(server, connection, CALLER, [Entry("POST", "ServiceRequest", order)])
    request = Dataset()
    request.FillerOrderNumberImagingServiceRequest = "F77"
    document_ = samples.ct_dose()
    document_.PatientID = "UNKNOWN"
    document_.ReferencedRequestSequence = Items([request])
    await stored(server, document_)
    [report] = await found(server, report_url(f"{samples.STUDY}.5"))
    assert "reference" not in report["subject"]
    assert "reference" not in report["basedOn"][0]


@pytest.mark.parametrize(
    ("sent", "peers", "offset"),
    [("+0200", "", "+02:00"), (None, "-0500", "-05:00"), (None, "", "+05:30")],
    ids=["that was sent", "else the peer's", "else the agreed one"],
)
async def test_times_in_a_tree_are_of_the_zone_of_its_header(
    server: Server, sent: str | None, peers: str, offset: str
) -> None:
    document_ = samples.ct_dose()
    document_.TimezoneOffsetFromUTC = sent
    root = document_.ContentSequence
    event = next(one for one in root if one.ConceptNameCodeSequence[0].CodeValue == "113819")
    event.ContentSequence.append(
        samples.at(samples.dcm("111526", "DateTime Started"), "20240102101500").dataset()
    )
    await stored(server, document_, timezone=peers)
    uid = f"urn:dicom:uid|urn:oid:{samples.STUDY}.600"
    [made] = await found(server, f"Observation?identifier={uid}")
    assert made["effectiveDateTime"] == f"2024-01-02T10:15:00{offset}"
    [report] = await found(server, report_url(f"{samples.STUDY}.5"))
    assert report["effectiveDateTime"] == f"2024-01-02T11:12:13{offset}"


async def test_what_cannot_be_parsed_is_shown_as_far_as_it_can_be(server: Server) -> None:
    leaf = samples.text(samples.dcm("121071", "Finding"), "deep")
    for _ in range(70):
        leaf = samples.container(samples.dcm("121070", "Findings"), leaf)
    root = samples.container(("18782-3", "LN", "Report"), leaf, relationship="")
    await stored(server, samples.document(root))
    state, reason, _, _, flags = await document(server, f"{samples.STUDY}.3")
    assert (state, flags) == ("rendered", ["unreadable"])
    assert reason == "Content items are nested too deep"
    [report] = await found(server, report_url(f"{samples.STUDY}.3"))
    assert "cannot be shown" in report["conclusion"]
    assert await found(server, "Observation") == []


async def test_what_fhir_refuses_is_shown_by_its_rendering(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> list[Any]:
        return [draft_of(_[0])]

    def draft_of(draft: Any) -> Any:
        bad = {"resourceType": "Observation", "status": "no such"}
        return draft.add(bad, {"system": "urn:x", "value": "1"})

    monkeypatch.setattr("adapters.dicom.documents.mapping._results", broken)
    await stored(server, samples.basic_report())
    state, reason, items, unmapped, _ = await document(server, f"{samples.STUDY}.3")
    assert state == "rendered"
    assert reason == "A required element is missing (Bundle.entry[2].resource.code)"
    assert 0 < len(unmapped) < items
    [report] = await found(server, report_url(f"{samples.STUDY}.3"))
    assert "result" not in report
    [html, plain] = report["presentedForm"]
    assert b"Tumour likely" in base64.b64decode(html["data"])
    assert b"Tumour likely" in base64.b64decode(plain["data"])


async def test_what_the_mapping_stumbles_over_is_shown_by_its_rendering(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: Any) -> list[Any]:
        raise KeyError("1")

    monkeypatch.setattr("adapters.dicom.documents.mapping._results", broken)
    await stored(server, samples.basic_report())
    uid = f"{samples.STUDY}.3"
    assert (await document(server, uid))[:2] == ("rendered", "The mapping failed (KeyError)")
    [report] = await found(server, report_url(uid))
    assert len(report["presentedForm"]) == 2


async def test_what_was_written_before_is_known_when_nothing_can_be_written(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    await stored(server, samples.basic_report())

    def refuses(*_: Any, **__: Any) -> Any:
        raise Unprocessable("Not today")

    uid = f"{samples.STUDY}.3"
    with monkeypatch.context() as patched:
        patched.setattr("adapters.dicom.documents.apply._made", refuses)
        async with server.database.statement() as connection:
            await connection.execute("UPDATE dicom_document SET fingerprint = ''")
        await enqueue(server)
        await work(server)
        assert (await document(server, uid))[:2] == ("failed", "Not today")
    await reject(server, uid, "rejected")
    assert await statuses(server, "DiagnosticReport") == ["entered-in-error"]


def encapsulated(kind: int, content: bytes, *, length: bool = True, **changes: Any) -> Dataset:
    made = Dataset()
    made.SpecificCharacterSet = "ISO_IR 192"
    made.SOPClassUID, made.SOPInstanceUID = f"{ENCAPSULATED}{kind}", f"{samples.STUDY}.20"
    made.StudyInstanceUID, made.SeriesInstanceUID = samples.STUDY, samples.SERIES
    made.PatientName, made.PatientID, made.Modality = "Simulated^Person", "SIM1", "DOC"
    made.ContentDate, made.ContentTime = "20240102", "111213"
    made.DocumentTitle = "Letter"
    made.ConceptNameCodeSequence = Items([samples.coded(("11488-4", "LN", "Consult note"))])
    made.EncapsulatedDocument = content + b"\0" * (len(content) % 2)
    if length:
        made.EncapsulatedDocumentLength = len(content)
    for keyword, value in changes.items():
        setattr(made, keyword, value)
    return made


PDF = b"%PDF-1.4\na letter\n%%EOF"
CDA = (
    b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/hostname">]>'
    b'<ClinicalDocument xmlns="urn:hl7-org:v3">&e;</ClinicalDocument>'
)
LARGE = b"%PDF-1.4 " + bytes(range(256)) * 5000 + b"1"


@pytest.mark.parametrize(
    ("kind", "content", "length", "media"),
    [
        pytest.param(1, PDF, True, "application/pdf", id="odd"),
        pytest.param(1, PDF + b"\n", True, "application/pdf", id="even"),
        pytest.param(1, PDF, False, "application/pdf", id="odd, length not said"),
        pytest.param(1, LARGE, True, "application/pdf", id="large"),
        pytest.param(2, CDA, True, "text/xml", id="CDA"),
        pytest.param(3, b"solid", True, "model/stl", id="STL"),
        pytest.param(4, b"v 1 2 3", True, "model/obj", id="OBJ"),
        pytest.param(5, b"newmtl x", True, "model/mtl", id="MTL"),
    ],
)
async def test_an_encapsulated_document_keeps_its_exact_bytes(
    server: Server,
    client: httpx.AsyncClient,
    kind: int,
    content: bytes,
    length: bool,  # noqa: FBT001
    media: str,
) -> None:
    await stored(server, encapsulated(kind, content, length=length))
    [reference] = await found(server, "DocumentReference")
    attachment = reference["content"][0]["attachment"]
    assert attachment == {
        "contentType": media,
        "url": attachment["url"],
        "size": len(content),
        "hash": base64.b64encode(hashlib.sha1(content, usedforsecurity=False).digest()).decode(),
        "title": "Letter",
        "creation": "2024-01-02T11:12:13+05:30",
    }
    answer = await client.get(
        f"/{attachment['url']}", headers={"Accept": "application/octet-stream"}
    )
    assert answer.content == content
    assert answer.headers["content-type"] == media
    assert answer.headers["content-disposition"] == "attachment"
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("content", [PDF, PDF + b"\n"], ids=["odd", "even"])
async def test_a_pdf_of_dcmtk_comes_back_as_it_was(
    server: Server, dcmtk: Callable[[str], str], tmp_path: Path, content: bytes
) -> None:
    (tmp_path / "letter.pdf").write_bytes(content)
    command = [dcmtk("pdf2dcm"), str(tmp_path / "letter.pdf"), str(tmp_path / "letter.dcm")]
    await anyio.run_process(command)
    made = Dataset()
    made.update(dcmread(tmp_path / "letter.dcm"))
    await stored(server, made)
    [binary] = await found(server, "Binary")
    assert base64.b64decode(binary["data"]) == content


async def test_a_document_reference_says_what_the_header_says(server: Server) -> None:
    flags = {"VerificationFlag": "VERIFIED", "CompletionFlag": "COMPLETE"}
    made = encapsulated(2, CDA, HL7InstanceIdentifier="1.2.3.4^77", **flags)
    await stored(server, made)
    [one] = await found(server, "DocumentReference")
    [study] = await found(server, "ImagingStudy")
    assert one["status"] == "current"
    assert one["docStatus"] == "final"
    assert one["masterIdentifier"] == {
        "system": "urn:ietf:rfc:3986",
        "value": f"urn:oid:{samples.STUDY}.20",
    }
    assert one["identifier"][1] == {"system": "urn:oid:1.2.3.4", "value": "77"}
    assert one["type"]["coding"][0]["code"] == "11488-4"
    assert one["date"] == "2024-01-02T11:12:13+05:30"
    assert one["subject"] == study["subject"]
    assert one["context"]["related"][0] == {"reference": f"ImagingStudy/{study['id']}"}
    await reject(server, f"{samples.STUDY}.20", "hidden")
    [one] = await found(server, "DocumentReference")
    assert (one["status"], one["docStatus"]) == ("entered-in-error", "entered-in-error")


async def test_a_document_without_content_leads_to_the_instance(server: Server) -> None:
    made = encapsulated(1, PDF)
    del made.EncapsulatedDocument
    await stored(server, made)
    [one] = await found(server, "DocumentReference")
    url = f"/studies/{samples.STUDY}/series/{samples.SERIES}/instances/{samples.STUDY}.20"
    assert one["content"][0]["attachment"]["url"].endswith(url)
    assert (await document(server, f"{samples.STUDY}.20"))[:2] == (
        "rendered",
        "It holds no document",
    )


async def test_a_rejection_note_says_nothing_in_fhir(server: Server) -> None:
    note = samples.key_objects(samples.dcm("113001", "Rejected for Quality Reasons"))
    await stored(server, note)
    assert (await document(server, f"{samples.STUDY}.11"))[0] == rows.NOTE
    assert await found(server, "DiagnosticReport") == []


async def test_a_rejection_note_that_was_rejected_and_restored_says_nothing_either(
    server: Server,
) -> None:
    await stored(server, samples.key_objects(samples.dcm("113001", "Rejected")))
    async with server.database.statement() as connection:
        await connection.execute("UPDATE dicom_instance SET state = 'live' WHERE state = 'note'")
    await apply.run(server, {"study": samples.STUDY})
    assert (await document(server, f"{samples.STUDY}.11"))[0] == rows.NOTE
    assert await found(server, "DiagnosticReport") == []


async def test_a_large_rendering_is_a_binary_of_its_own(server: Server) -> None:
    lines = [samples.text(samples.dcm("121071", "Finding"), "x" * 9000) for _ in range(40)]
    root = samples.container(("18782-3", "LN", "Report"), *lines, relationship="")
    await stored(server, samples.document(root))
    [report] = await found(server, report_url(f"{samples.STUDY}.3"))
    html = report["presentedForm"][0]
    [binary] = [
        one for one in await found(server, "Binary") if html["url"] == f"Binary/{one['id']}"
    ]
    content = base64.b64decode(binary["data"])
    assert len(content) == html["size"]
    assert content.count(b"<li ") == 40
    assert binary["securityContext"] == {"reference": f"DiagnosticReport/{report['id']}"}


async def test_a_document_waits_for_the_imaging_study(server: Server) -> None:
    await sent(server, samples.basic_report())
    await apply.run(server, {"study": samples.STUDY})
    assert await found(server, "DiagnosticReport") == []
    async with server.database.statement() as connection:
        cursor = await connection.execute("SELECT count(*) FROM job WHERE kind = %s", (apply.KIND,))
        assert await cursor.fetchone() == (1,)
    await fold.run(server, {"study": samples.STUDY})
    await apply.run(server, {"study": samples.STUDY, "tries": 1})
    assert len(await found(server, "DiagnosticReport")) == 1
