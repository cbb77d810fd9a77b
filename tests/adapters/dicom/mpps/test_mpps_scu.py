"""A real MPPS SCU, pynetdicom, and the answers that it gets."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from pydicom.dataset import Dataset
from pynetdicom import AE, build_context
from pynetdicom.association import Association
from pynetdicom.sop_class import (
    ModalityPerformedProcedureStep,
    ModalityPerformedProcedureStepRetrieve,
)

from adapters.dicom.mpps import rows
from adapters.dicom.network.command import Answer, Element, Field
from adapters.dicom.network.scu import Sender
from adapters.dicom.network.services import Fixed
from adapters.dicom.query import peers
from adapters.dicom.query.peers import Known
from tests.adapters.dicom.conftest import Archive

UID = "1.2.826.0.1.42.1"


def step(**changes: object) -> Dataset:
    found = Dataset()
    scheduled = Dataset()
    scheduled.StudyInstanceUID = "1.2.3"
    scheduled.AccessionNumber = "A1"
    values: dict[str, Any] = {
        "ScheduledStepAttributesSequence": [scheduled],
        "PatientName": "Devi^Sita",
        "PatientID": "P1",
        "PerformedProcedureStepID": "PPS1",
        "PerformedStationAETitle": "CT1",
        "PerformedProcedureStepStartDate": "20240105",
        "PerformedProcedureStepStartTime": "081000",
        "PerformedProcedureStepStatus": "IN PROGRESS",
        "Modality": "CT",
        **changes,
    }
    for name, value in values.items():
        setattr(found, name, value)
    return found


def ending(status: str = "COMPLETED", **changes: object) -> Dataset:
    found = Dataset()
    series = Dataset()
    series.SeriesInstanceUID = "1.2.3.4"
    values: dict[str, Any] = {
        "PerformedProcedureStepStatus": status,
        "PerformedProcedureStepEndDate": "20240105",
        "PerformedProcedureStepEndTime": "082000",
        "PerformedSeriesSequence": [series],
        **changes,
    }
    for name, value in values.items():
        setattr(found, name, value)
    return found


@contextmanager
def associated(archive: Archive, calling: str = "CT1") -> Iterator[Association]:
    ae = AE(calling)
    contexts = [
        build_context(ModalityPerformedProcedureStep),
        build_context(ModalityPerformedProcedureStepRetrieve),
    ]
    host, port = archive.address
    association = ae.associate(host, port, contexts, ae_title="SANGAM")
    assert association.is_established
    try:
        yield association
    finally:
        association.release()


def create(association: Association, sent: Dataset, uid: str | None = UID) -> Dataset:
    status, _ = association.send_n_create(sent, ModalityPerformedProcedureStep, uid)
    return status


def change(association: Association, sent: Dataset, uid: str = UID) -> Dataset:
    status, _ = association.send_n_set(sent, ModalityPerformedProcedureStep, uid)
    return status


def stored(archive: Archive, uid: str = UID) -> rows.Performed | None:
    with psycopg.connect(archive.conninfo, autocommit=True) as connection:
        return rows.one(connection, uid)


def test_a_step_is_kept_before_it_is_answered(archive: Archive) -> None:
    with associated(archive) as association:
        assert create(association, step()).Status == 0x0000
        found = stored(archive)
        assert found is not None
        assert (found.state, found.version, found.studies) == ("IN PROGRESS", 1, ("1.2.3",))
        assert found.attributes["PatientName"] == ["Devi^Sita"]
        assert change(association, ending()).Status == 0x0000
    found = stored(archive)
    assert found is not None
    assert (found.state, found.version) == ("COMPLETED", 2)
    assert archive.rows("SELECT dedupe_key FROM job WHERE kind = 'dicom.mpps'") == [(UID,)]
    sent = archive.rows("SELECT version, calling_ae FROM dicom_mpps_message ORDER BY 1")
    assert sent == [(1, "CT1"), (2, "CT1")]


def test_a_second_creation_of_a_uid_is_refused(archive: Archive) -> None:
    with associated(archive) as association:
        assert create(association, step()).Status == 0x0000
        assert create(association, step(PatientID="P2")).Status == 0x0111
    found = stored(archive)
    assert found is not None
    assert (found.version, found.attributes["PatientID"]) == (1, ["P1"])


def test_a_step_without_uid_is_given_one(archive: Archive) -> None:
    with associated(archive) as association:
        answer = create(association, step(), None)
        assert answer.Status == 0x0000
        [(uid,)] = archive.rows("SELECT sop_instance_uid FROM dicom_mpps")
        assert uid.startswith("2.25.")
        assert change(association, ending(), uid).Status == 0x0000


def test_a_step_that_ended_may_no_longer_be_updated(archive: Archive) -> None:
    with associated(archive) as association:
        create(association, step())
        change(association, ending("DISCONTINUED"))
        answer = change(association, ending())
    assert (answer.Status, answer.ErrorID) == (0x0110, 0xA710)
    found = stored(archive)
    assert found is not None
    assert (found.state, found.version) == ("DISCONTINUED", 2)


def test_a_step_that_is_unknown_is_not_changed(archive: Archive) -> None:
    with associated(archive) as association:
        assert change(association, ending()).Status == 0x0112


def test_strictness_is_a_setting(start: Callable[..., Archive]) -> None:
    archive = start(mpps_strict=True)
    with associated(archive) as association:
        assert create(association, step(PerformedStationAETitle=None)).Status == 0x0121
        assert create(association, step()).Status == 0x0000
        assert change(association, ending(PerformedSeriesSequence=[])).Status == 0x0121
        assert change(association, ending()).Status == 0x0000


def test_a_warning_names_the_attributes_that_stay(archive: Archive) -> None:
    with associated(archive) as association:
        create(association, step())
        answer = change(association, ending(PatientID="P2"))
    assert answer.Status == 0x0107
    assert answer.AttributeIdentifierList == 0x00100020
    found = stored(archive)
    assert found is not None
    assert (found.state, found.attributes["PatientID"]) == ("COMPLETED", ["P1"])


def test_a_step_is_retrieved_as_it_is(archive: Archive) -> None:
    with associated(archive) as association:
        create(association, step(SpecificCharacterSet="ISO_IR 100", PatientName="Müller^Jörg"))
        change(association, ending())
        retrieve = ModalityPerformedProcedureStepRetrieve
        status, found = association.send_n_get([], retrieve, UID)
        some, part = association.send_n_get([0x00100010, 0x00080090], retrieve, UID)
        unknown, _ = association.send_n_get([], retrieve, "1.2.3.4.5")
    assert (status.Status, some.Status, unknown.Status) == (0x0000, 0x0001, 0x0112)
    assert found is not None
    assert part is not None
    assert found.PerformedProcedureStepStatus == "COMPLETED"
    assert found.ScheduledStepAttributesSequence[0].AccessionNumber == "A1"
    assert str(part.PatientName) == "Müller^Jörg"
    assert sorted(part.keys()) == [0x00080005, 0x00100010]


@pytest.mark.parametrize(
    ("sop_class", "uid", "expected"),
    [
        pytest.param(ModalityPerformedProcedureStep, "", 0x0117, id="no UID"),
        pytest.param("1.2.840.10008.5.1.4.1.1.2", UID, 0x0119, id="another class"),
    ],
)
def test_an_identity_that_cannot_be_is_refused(
    archive: Archive, sop_class: str, uid: str, expected: int
) -> None:
    with associated(archive) as association:
        meta = ModalityPerformedProcedureStep
        status, _ = association.send_n_set(ending(), sop_class, uid, meta_uid=meta)
    assert status.Status == expected


def test_a_peer_without_the_service_is_refused(archive: Archive) -> None:
    with psycopg.connect(archive.conninfo, autocommit=True) as connection:
        peers.add(connection, Known("CT1", "127.0.0.1", 0, ("echo", "store")))
    with associated(archive) as association:
        assert create(association, step()).Status == 0x0124
    assert archive.rows("SELECT count(*) FROM dicom_mpps") == [(0,)]


def test_other_operations_are_not_recognized(archive: Archive) -> None:
    with associated(archive) as association:
        status = association.send_n_delete(ModalityPerformedProcedureStep, UID)
    assert status.Status == 0x0211


def test_a_step_that_is_too_long_is_refused(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("adapters.dicom.network.services.MAX_IDENTIFIER", 100)
    with associated(archive) as association:
        assert create(association, step()).Status == 0x0213
    assert archive.rows("SELECT count(*) FROM dicom_mpps") == [(0,)]


def test_bytes_that_are_no_data_set_are_refused(archive: Archive) -> None:
    pairs = [("1.2.840.10008.3.1.2.3.3", "1.2.840.10008.1.2")]
    request: dict[int, int | str] = {
        Element.AffectedSOPClassUID: pairs[0][0],
        Element.CommandField: Field.N_CREATE_RQ,
        Element.AffectedSOPInstanceUID: UID,
    }
    statuses = []
    with Sender(archive.address, called="SANGAM", calling="CT1", contexts=pairs) as sender:
        for data in ([b"\x08\x00\x05\x00\xff\xff\xff\x7f"], None):
            sender.send(pairs[0], request, data)
            response, _ = sender.receive(lambda *_: Fixed(Answer(0)))
            statuses.append(response.number(Element.Status))
    assert statuses == [0x0110, 0x0212]
