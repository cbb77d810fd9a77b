"""Rejection by operators and by notes: the four codes, before and after the instances come."""

from typing import Any

import pytest

from adapters.dicom.dataset import rejections
from adapters.dicom.studies import expunge, notes, rejection
from adapters.dicom.studies.rejection import Target
from fhir_server.errors import BadRequest, Conflict, NotFound
from tests.adapters.dicom.studies.archive import Held, image, instances, note, study_uid

WHOLE = Target(study_uid())


async def states(archive: Held) -> list[tuple[str, int]]:
    return await archive.rows(
        "SELECT state, count(*) FROM dicom_instance WHERE state <> 'note' GROUP BY 1 ORDER BY 1"
    )


async def reject(archive: Held, target: Target, code: str, actor: str = "first") -> int:
    async with archive.server.database.transaction() as connection:
        count = await rejection.reject(connection, target, code, actor)
    await archive.work()
    return count


async def test_a_rejected_instance_leaves_the_imaging_study(archive: Held) -> None:
    sent = instances()
    await archive.send(*sent)
    target = Target(study_uid(), None, sent[0].sop_instance_uid)
    assert await reject(archive, target, rejections.QUALITY) == 1
    study = await archive.study()
    assert (study["status"], study["numberOfInstances"]) == ("available", 2)
    assert [one["uid"] for one in study["series"][0]["instance"]] == [
        one.sop_instance_uid for one in sent[1:]
    ]


@pytest.mark.parametrize(
    ("code", "status"),
    [
        (rejections.QUALITY, "unknown"),
        (rejections.SAFETY, "entered-in-error"),
        (rejections.WRONG_WORKLIST_ENTRY, "entered-in-error"),
        (rejections.RETENTION_EXPIRED, "unknown"),
    ],
)
async def test_the_status_of_a_study_that_is_rejected(
    archive: Held, code: str, status: str
) -> None:
    await archive.send(*instances())
    await reject(archive, WHOLE, code)
    study = await archive.study()
    assert (study["status"], study["numberOfSeries"], study["numberOfInstances"]) == (status, 0, 0)
    assert "series" not in study


async def test_what_is_restored_is_shown_again(archive: Held) -> None:
    await archive.send(*instances())
    before = await archive.study()
    await reject(archive, WHOLE, rejections.SAFETY)
    async with archive.server.database.transaction() as connection:
        assert await rejection.restore(connection, WHOLE, "second") == 3
    await archive.work()
    after = await archive.study()
    assert {k: v for k, v in after.items() if k != "meta"} == {
        k: v for k, v in before.items() if k != "meta"
    }
    actions = await archive.rows("SELECT action, actor FROM dicom_action ORDER BY id")
    assert actions == [("reject", "first"), ("restore", "second")]


async def test_rejecting_again_rejects_nothing(archive: Held) -> None:
    await archive.send(*instances())
    assert await reject(archive, WHOLE, rejections.SAFETY) == 3
    assert await reject(archive, WHOLE, rejections.SAFETY) == 0
    assert await archive.rows("SELECT count(*) FROM dicom_action") == [(1,)]


async def test_what_is_not_there_cannot_be_rejected(archive: Held) -> None:
    with pytest.raises(NotFound):
        await reject(archive, WHOLE, rejections.SAFETY)
    with pytest.raises(BadRequest):
        await reject(archive, WHOLE, "113000")


@pytest.mark.parametrize(
    ("code", "again", "state"),
    [
        (rejections.QUALITY, 0x0000, "hidden"),
        (rejections.SAFETY, 0xA900, "rejected"),
        (rejections.WRONG_WORKLIST_ENTRY, 0xA900, "rejected"),
        (rejections.RETENTION_EXPIRED, 0x0000, "live"),
    ],
)
async def test_a_note_rejects_and_says_what_becomes_of_a_second_sending(
    archive: Held, code: str, again: int, state: str
) -> None:
    one = image("1.2.3")
    await archive.send(one)
    await archive.send(note(code, one))
    assert await states(archive) == [("hidden" if state == "hidden" else "rejected", 1)]
    assert await archive.send(one) == [again]
    assert await states(archive) == [(state, 1)]


@pytest.mark.parametrize(
    ("code", "first", "kept"),
    [
        (rejections.QUALITY, 0x0000, [("hidden", 1)]),
        (rejections.SAFETY, 0xA900, []),
        (rejections.WRONG_WORKLIST_ENTRY, 0xA900, []),
        (rejections.RETENTION_EXPIRED, 0x0000, [("live", 1)]),
    ],
)
async def test_a_note_may_come_before_its_instances(
    archive: Held, code: str, first: int, kept: list[tuple[str, int]]
) -> None:
    one = image("1.2.3")
    await archive.send(note(code, one))
    assert await archive.send(one) == [first]
    assert await states(archive) == kept
    assert archive.server.blobs.root.exists()
    count = len([p for p in archive.server.blobs.root.glob("dicom/??/*/*") if p.is_file()])
    assert count == 1 + len(kept)


@pytest.mark.parametrize("dicom", [{"rejected": "hide"}])
async def test_what_was_rejected_is_taken_and_hidden_by_setting(archive: Held) -> None:
    one = image("1.2.3")
    await archive.send(note(rejections.SAFETY, one))
    assert await archive.send(one) == [0x0000]
    assert await states(archive) == [("rejected", 1)]


async def test_a_note_is_seen_by_nobody_but_operators(archive: Held) -> None:
    one, other = image("1.2.3"), image("1.2.4")
    await archive.send(one, other)
    await archive.send(note(rejections.QUALITY, one))
    [study] = await archive.found("ImagingStudy")
    assert [each["uid"] for each in study["series"][0]["instance"]] == ["1.2.4"]
    assert study["numberOfSeries"] == 1


async def test_a_note_that_cannot_be_read_is_told_and_rejects_nothing(
    archive: Held, tmp_path: Any
) -> None:
    one = image("1.2.3")
    await archive.send(one)
    await archive.send(note(rejections.SAFETY, one), fold=False)
    [(blob,)] = await archive.rows(
        "SELECT encode(blob, 'hex') FROM dicom_instance WHERE state = 'note'"
    )
    (archive.server.blobs.root / "dicom" / blob[:2] / blob[2:4] / blob).unlink()
    await archive.work()
    assert await states(archive) == [("live", 1)]
    assert await archive.rows("SELECT action, detail ->> 'failed' FROM dicom_action") == [
        ("note", "FileNotFoundError")
    ]


async def test_a_note_is_carried_out_once_the_archive_answers_again(
    archive: Held, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = image("1.2.3")
    await archive.send(one)
    await archive.send(note(rejections.SAFETY, one, uid="1.9.1"), fold=False)
    with monkeypatch.context() as away:
        away.setattr("fhir_server.blobs.Blobs.path", _away)
        with pytest.raises(OSError, match="does not answer"):
            await notes.run(archive.server, {"instance": "1.9.1"})
    assert await archive.rows("SELECT action FROM dicom_action") == []
    await notes.run(archive.server, {"instance": "1.9.1"})
    assert await states(archive) == [("rejected", 1)]


def _away(*_: object) -> None:
    raise OSError("The object store does not answer")


async def test_an_instance_that_comes_while_its_note_is_carried_out_is_rejected(
    archive: Held,
) -> None:
    one = image("1.2.3")
    await archive.send(one, fold=False)
    await archive.rows(
        "INSERT INTO dicom_rejection (sop_instance_uid, study_instance_uid, "
        "series_instance_uid, code, rejected_by) VALUES ('1.2.3', '1.2.1', '1.2.1.1', %s, 'x')",
        rejections.SAFETY,
    )
    await archive.work()
    assert await states(archive) == [("rejected", 1)]


async def test_a_wrong_worklist_entry_frees_the_order_and_its_procedure(archive: Held) -> None:
    patient = await archive.put({"resourceType": "Patient", "id": "p"})
    order = await archive.put(
        {
            "resourceType": "ServiceRequest",
            "status": "active",
            "intent": "order",
            "subject": {"reference": patient},
            "identifier": [{"system": "urn:dicom:uid", "value": f"urn:oid:{study_uid()}"}],
        }
    )
    procedure = await archive.put(
        {"resourceType": "Procedure", "status": "completed", "subject": {"reference": patient}}
    )
    await archive.rows(
        "INSERT INTO dicom_expected (study_instance_uid, subject, procedures) "
        "VALUES (%s, 'Patient/p', ARRAY[%s])",
        study_uid(),
        procedure,
    )
    await archive.send(*instances(patient_id="ANON"))
    assert (await archive.study())["basedOn"][0] == {"reference": order}
    await reject(archive, WHOLE, rejections.WRONG_WORKLIST_ENTRY)
    study = await archive.study()
    assert "basedOn" not in study
    [one] = await archive.found("Procedure")
    assert one["status"] == "entered-in-error"


async def approve(archive: Held, actor: str) -> int:
    async with archive.server.database.transaction() as connection:
        return await rejection.approve(connection, WHOLE, actor)


async def expunged(archive: Held, days: float = 0) -> int:
    async with archive.server.database.transaction() as connection:
        gone = await expunge.expunge(connection, days)
    await archive.work()
    return gone.instances


async def test_removal_takes_two_people_and_time(archive: Held) -> None:
    await archive.send(*instances())
    await reject(archive, WHOLE, rejections.SAFETY)
    with pytest.raises(Conflict):
        await approve(archive, "first")
    assert await expunged(archive) == 0
    assert await approve(archive, "second") == 3
    assert await expunged(archive, days=30) == 0
    assert await expunged(archive) == 3
    assert await states(archive) == []
    assert await archive.rows("SELECT count(*) FROM dicom_study") == [(0,)]
    assert await archive.rows(
        "SELECT DISTINCT code, rejected_by, approved_by FROM dicom_tombstone"
    ) == [(rejections.SAFETY, "first", "second")]
    study = await archive.study()
    assert (study["status"], study["numberOfInstances"]) == ("entered-in-error", 0)
    async with archive.server.database.connection() as connection:
        assert await rejection.expunged(connection, WHOLE)
        assert not await rejection.expunged(connection, Target("1.2"))
    assert await archive.send(*instances(slices=1)) == [0xA900]


async def test_one_person_is_one_at_whatever_address(archive: Held) -> None:
    await archive.send(*instances(slices=1))
    async with archive.server.database.transaction() as connection:
        await rejection.reject(connection, WHOLE, rejections.SAFETY, "user/1 at 10.0.0.1")
    with pytest.raises(Conflict):
        await approve(archive, "user/1 at 10.0.0.2")
    assert await approve(archive, "user/11 at 10.0.0.1") == 1


async def test_removal_tells_which_files_may_go(archive: Held) -> None:
    await archive.send(image("1.2.3"), image("1.2.3", StudyDescription="Another"))
    files = await archive.rows(
        "SELECT encode(blob, 'hex') FROM dicom_instance "
        "UNION SELECT encode(blob, 'hex') FROM dicom_conflict"
    )
    target = Target("1.2.1")
    await reject(archive, target, rejections.SAFETY)
    async with archive.server.database.transaction() as connection:
        await rejection.approve(connection, target, "second")
        gone = await expunge.expunge(connection, 0)
    assert (len(files), gone.blobs) == (2, {blob for (blob,) in files})


async def test_what_has_expired_is_removed_by_the_note_and_taken_as_new(archive: Held) -> None:
    one = image("1.2.3", PatientID="P1")
    await archive.send(one)
    await archive.send(note(rejections.RETENTION_EXPIRED, one))
    assert await expunged(archive) == 1
    assert await archive.send(one) == [0]
    assert await states(archive) == [("live", 1)]
    [study] = await archive.found("ImagingStudy")
    assert (study["status"], study["numberOfInstances"]) == ("available", 1)
    assert await archive.rows(
        "SELECT patient_id FROM dicom_study WHERE study_instance_uid = '1.2.1'"
    ) == [("P1",)]
