import pytest

from adapters.dicom.dataset.identifier import Key, Keys, tag_of, vr_of
from adapters.dicom.mpps import state
from adapters.dicom.mpps.content import packed, unpacked
from adapters.dicom.mpps.state import changed, created


def key(name: str, *values: object) -> Key:
    tag = tag_of(name)
    return Key(tag, vr_of(tag), values)


def keys(*some: Key) -> dict[int, Key]:
    return {one.tag: one for one in some}


def item(**values: str) -> Keys:
    return keys(*(key(name, *([value] if value else [])) for name, value in values.items()))


BEGUN = keys(
    key("PerformedProcedureStepStatus", "IN PROGRESS"),
    key("PerformedProcedureStepID", "P1"),
    key("PerformedStationAETitle", "CT1"),
    key("PerformedProcedureStepStartDate", "20240105"),
    key("PerformedProcedureStepStartTime", "0810"),
    key("Modality", "CT"),
    key("ScheduledStepAttributesSequence", item(StudyInstanceUID="1.2.3")),
)
SERIES = key("PerformedSeriesSequence", item(SeriesInstanceUID="1.2.3.4"))
END = (
    key("PerformedProcedureStepEndDate", "20240105"),
    key("PerformedProcedureStepEndTime", "0820"),
)


def status(value: str) -> Key:
    return key("PerformedProcedureStepStatus", value)


def without(name: str) -> dict[int, Key]:
    return {tag: one for tag, one in BEGUN.items() if tag != tag_of(name)}


def test_a_step_begins_as_in_progress() -> None:
    verdict = created(BEGUN, strict=True)
    assert (verdict.status, verdict.keys, verdict.flags) == (0, BEGUN, ())


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        pytest.param(status("COMPLETED"), 0x0106, id="completed"),
        pytest.param(status("in progress"), 0x0106, id="lower case"),
        pytest.param(key("PerformedProcedureStepStatus"), 0x0121, id="empty"),
    ],
)
def test_a_creation_in_another_state_is_refused(sent: Key, expected: int) -> None:
    verdict = created({**BEGUN, **keys(sent)}, strict=False)
    assert (verdict.status, verdict.keys) == (expected, None)


def test_a_creation_without_state_is_refused() -> None:
    assert created(without("PerformedProcedureStepStatus"), strict=False).status == 0x0120


REQUIRED = [
    "PerformedProcedureStepID",
    "PerformedStationAETitle",
    "PerformedProcedureStepStartDate",
    "PerformedProcedureStepStartTime",
    "Modality",
]


@pytest.mark.parametrize("name", [*REQUIRED, "ScheduledStepAttributesSequence"])
def test_strictly_a_required_attribute_must_be_there(name: str) -> None:
    verdict = created(without(name), strict=True)
    assert (verdict.status, verdict.keys, verdict.tags) == (0x0120, None, (tag_of(name),))
    lenient = created(without(name), strict=False)
    assert (lenient.status, lenient.flags) == (0, ("incomplete",))


@pytest.mark.parametrize("name", REQUIRED)
def test_strictly_a_required_attribute_has_a_value(name: str) -> None:
    sent = {**BEGUN, **keys(key(name))}
    verdict = created(sent, strict=True)
    assert (verdict.status, verdict.keys, verdict.tags) == (0x0121, None, (tag_of(name),))
    assert created(sent, strict=False).status == 0


@pytest.mark.parametrize(
    ("study", "expected"),
    [
        pytest.param(item(StudyInstanceUID=""), 0x0121, id="empty"),
        pytest.param(item(AccessionNumber="A1"), 0x0120, id="absent"),
    ],
)
def test_strictly_a_scheduled_step_names_its_study(study: Keys, expected: int) -> None:
    sent = {**BEGUN, **keys(key("ScheduledStepAttributesSequence", study))}
    verdict = created(sent, strict=True)
    assert (verdict.status, verdict.tags) == (expected, (tag_of("StudyInstanceUID"),))
    assert created(sent, strict=False).status == 0


@pytest.mark.parametrize("end", ["IN PROGRESS", "COMPLETED", "DISCONTINUED"])
def test_a_step_goes_on_or_ends(end: str) -> None:
    sent = keys(status(end), SERIES, *END)
    verdict = changed(BEGUN, sent, strict=True)
    assert (verdict.status, verdict.keys) == (0, {**BEGUN, **sent})


@pytest.mark.parametrize("end", ["COMPLETED", "DISCONTINUED"])
@pytest.mark.parametrize("sent", ["IN PROGRESS", "COMPLETED", "DISCONTINUED"])
def test_a_step_that_ended_is_not_changed(end: str, sent: str) -> None:
    verdict = changed({**BEGUN, **keys(status(end))}, keys(status(sent)), strict=False)
    assert (verdict.status, verdict.error_id, verdict.keys) == (0x0110, 0xA710, None)


def test_a_state_that_does_not_exist_is_refused() -> None:
    assert changed(BEGUN, keys(status("SCHEDULED")), strict=False).status == 0x0106


def test_a_change_without_state_leaves_it() -> None:
    comments = key("CommentsOnThePerformedProcedureStep", "contrast late")
    verdict = changed(BEGUN, keys(comments), strict=True)
    assert verdict.keys is not None
    assert (verdict.status, state.state(verdict.keys)) == (0, "IN PROGRESS")


def test_what_was_fixed_at_creation_stays() -> None:
    sent = keys(status("IN PROGRESS"), key("PatientID", "OTHER"), key("Modality", "MR"), SERIES)
    verdict = changed(BEGUN, sent, strict=True)
    assert verdict.status == 0x0107
    assert verdict.tags == (tag_of("Modality"), tag_of("PatientID"))
    assert verdict.keys == {**BEGUN, **keys(status("IN PROGRESS"), SERIES)}


@pytest.mark.parametrize(
    "missing",
    [
        pytest.param("PerformedSeriesSequence", id="series"),
        pytest.param("PerformedProcedureStepEndDate", id="end date"),
        pytest.param("PerformedProcedureStepEndTime", id="end time"),
    ],
)
def test_strictly_a_completed_step_has_an_end_and_series(missing: str) -> None:
    sent = keys(status("COMPLETED"), SERIES, *END)
    del sent[tag_of(missing)]
    verdict = changed(BEGUN, sent, strict=True)
    assert (verdict.status, verdict.keys, verdict.tags) == (0x0121, None, (tag_of(missing),))
    lenient = changed(BEGUN, sent, strict=False)
    assert (lenient.status, lenient.flags) == (0, ("incomplete",))


def test_the_series_may_have_come_before_the_end() -> None:
    first = changed(BEGUN, keys(SERIES), strict=True).keys
    assert first is not None
    assert changed(first, keys(status("COMPLETED"), *END), strict=True).status == 0


@pytest.mark.parametrize(
    ("name", "value"),
    [("PerformedProcedureStepEndDate", "20240231"), ("PerformedProcedureStepEndTime", "2561")],
)
def test_a_time_that_cannot_be_is_told_of(name: str, value: str) -> None:
    verdict = changed(BEGUN, keys(key(name, value)), strict=False)
    assert (verdict.status, verdict.tags, verdict.flags) == (0x0116, (tag_of(name),), ("time",))
    assert changed(BEGUN, keys(key(name, value)), strict=True).status == 0x0106


def test_a_time_of_hours_alone_can_be() -> None:
    sent = keys(key("PerformedProcedureStepEndTime", "08"))
    assert changed(BEGUN, sent, strict=True).status == 0


def test_an_answer_has_what_was_asked_for() -> None:
    asked = (tag_of("Modality"), tag_of("StudyID"))
    verdict, found = state.selected(BEGUN, asked)
    assert found == keys(key("Modality", "CT"))
    assert (verdict.status, verdict.tags) == (0x0001, (tag_of("StudyID"),))
    assert state.selected(BEGUN, ()) == (state.Verdict(0), BEGUN)


def test_the_wrong_worklist_entry_is_known_by_its_code() -> None:
    name = "PerformedProcedureStepDiscontinuationReasonCodeSequence"
    wrong = key(name, item(CodeValue="110514", CodingSchemeDesignator="DCM"))
    other = key(name, item(CodeValue="110513", CodingSchemeDesignator="DCM"))
    assert state.is_withdrawn({**BEGUN, **keys(status("DISCONTINUED"), wrong)})
    assert not state.is_withdrawn({**BEGUN, **keys(status("DISCONTINUED"), other)})
    assert not state.is_withdrawn({**BEGUN, **keys(wrong)})


def test_what_is_stored_is_read_as_it_was() -> None:
    nested = {**BEGUN, **keys(SERIES, key("TotalNumberOfExposures", 3), key("PatientName", "Ä^B"))}
    assert unpacked(packed(nested)) == nested
