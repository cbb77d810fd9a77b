"""C-FIND over a real association and a real index."""

from collections.abc import Callable, Iterator

import pytest
from pydicom.dataset import Dataset

from adapters.dicom.dataset.identifier import Key, keyword, tag_of, write
from adapters.dicom.dataset.levels import Level
from adapters.dicom.network import classes, command, pdu
from adapters.dicom.network.command import DATA_SET, NO_DATA_SET, Answer, Element, Field
from adapters.dicom.network.scu import Sender
from adapters.dicom.network.services import Fixed
from adapters.dicom.query import requester
from adapters.dicom.query.matching import criteria
from adapters.dicom.query.statement import matches
from tests.adapters.dicom.conftest import Archive
from tests.adapters.dicom.query.conftest import instance

STUDY, PATIENT = classes.STUDY_ROOT_FIND, classes.PATIENT_ROOT_FIND
SR = "1.2.840.10008.5.1.4.1.1.88.11"


def code(value: str, scheme: str = "99X") -> Dataset:
    found = Dataset()
    found.CodeValue, found.CodingSchemeDesignator, found.CodeMeaning = value, scheme, "?"
    return found


def request_attributes(step: str, procedure: str) -> Dataset:
    found = Dataset()
    found.ScheduledProcedureStepID, found.RequestedProcedureID = step, procedure
    return found


ONE = {
    "SpecificCharacterSet": "ISO_IR 100",
    "PatientName": "Müller^Jörg",
    "PatientID": "P1",
    "IssuerOfPatientID": "HOSP",
    "PatientBirthDate": "19700101",
    "StudyInstanceUID": "1.1",
    "StudyDate": "20260110",
    "StudyTime": "101500",
    "AccessionNumber": "A1",
    "StudyDescription": "100% of head",
    "ReferringPhysicianName": "Ärztin^Eva",
    "ProcedureCodeSequence": [code("C1"), code("C2")],
}
TWO = {
    "PatientName": "Mueller^Anna",
    "PatientID": "P2",
    "StudyInstanceUID": "1.2",
    "StudyDate": "20260201",
    "StudyTime": "0830",
    "AccessionNumber": "A_1",
    "StudyDescription": "1000 of Head",
    "Modality": "MR",
    "SeriesInstanceUID": "1.2.1",
    "SeriesNumber": "7",
    "RequestAttributesSequence": [request_attributes("S1", "R1"), request_attributes("S2", "R2")],
}
THREE = {
    "SpecificCharacterSet": "ISO_IR 192",
    "PatientName": "Yamada^Tarou=山田^太郎=やまだ^たろう",
    "PatientID": "P3",
    "StudyInstanceUID": "1.3",
    "AccessionNumber": "AX1",
    "Modality": "CT",
    "SeriesInstanceUID": "1.3.1",
}


def stored(archive: Archive) -> None:
    """Three studies: one of two series and three instances, one without a date; one is hidden."""
    first = {"Modality": "CT", "SeriesInstanceUID": "1.1.1", "SeriesNumber": "1"}
    archive.send(
        instance("1.1.1.1", **ONE, **first, InstanceNumber="1", Rows=64),
        instance("1.1.1.2", **ONE, **first, InstanceNumber="2", Rows=128),
        instance("1.1.2.1", **ONE, SOPClassUID=SR, Modality="SR", SeriesInstanceUID="1.1.2"),
        instance("1.2.1.1", **TWO, AcquisitionDateTime="20260201083000.5+0530"),
        instance("1.3.1.1", **THREE),
        instance("1.4.1.1", StudyInstanceUID="1.4", SeriesInstanceUID="1.4.1", PatientID="P4"),
    )
    archive.rows(
        "UPDATE dicom_instance SET state = 'hidden' WHERE study_instance_uid = '1.4' RETURNING 1"
    )


@pytest.fixture
def asking(archive: Archive) -> Iterator[Sender]:
    stored(archive)
    pairs = [*requester.contexts(STUDY), *requester.contexts(PATIENT)]
    with Sender(archive.address, called="SANGAM", calling="US", contexts=pairs) as sender:
        yield sender


def found(sender: Sender, level: Level, *keys: str, root: str = STUDY) -> list[str]:
    """Return the unique keys of the answers."""
    unique = {
        Level.PATIENT: "PatientID",
        Level.STUDY: "StudyInstanceUID",
        Level.SERIES: "SeriesInstanceUID",
        Level.IMAGE: "SOPInstanceUID",
    }[level]
    answers = list(requester.find(sender, root, requester.identifier(level, keys)))
    assert answers[-1][0] == 0, f"{answers[-1][0]:04X}"
    return [str(one[tag_of(unique)].values[0]) for _, one in answers[:-1]]


ALL = ["1.2", "1.1", "1.3"]
# Newest first, those without a date last.
AT_STUDY: dict[str, list[str]] = {
    "StudyInstanceUID=": ALL,
    "PatientID=P1": ["1.1"],
    "PatientID=p1": [],
    "PatientID=P?": ALL,
    "PatientID=*": ALL,
    "IssuerOfPatientID=HOSP": ["1.1"],
    "PatientName=MULLER^JORG": ["1.1"],
    "PatientName=müller^jörg^^": ["1.1"],
    "PatientName=m*ller*": ["1.2", "1.1"],
    "PatientName=müller": [],
    "PatientName=山田*": ["1.3"],
    "PatientName=やまだ^たろう": ["1.3"],
    "PatientName=yamada^?arou": ["1.3"],
    "ReferringPhysicianName=arztin*": ["1.1"],
    "AccessionNumber=A_1": ["1.2"],
    "AccessionNumber=A?1": ["1.2", "1.3"],
    "StudyDescription=100%*": ["1.1"],
    "StudyDescription=*HEAD": [],
    "StudyInstanceUID=1.1\\1.3\\1.9": ["1.1", "1.3"],
    "StudyInstanceUID=1.*": [],
    "StudyDate=20260110": ["1.1"],
    "StudyDate=20260110-20260131": ["1.1"],
    "StudyDate=20260111-": ["1.2"],
    "StudyDate=-20260110": ["1.1"],
    "StudyDate=-": ALL,
    "StudyTime=0830": ["1.2"],
    "StudyTime=0800-0829": [],
    "StudyTime=08-10": ["1.2", "1.1"],
    "ModalitiesInStudy=SR": ["1.1"],
    "ModalitiesInStudy=MR\\SR": ["1.2", "1.1"],
    "ModalitiesInStudy=C*": ["1.1", "1.3"],
    f"SOPClassesInStudy={SR}": ["1.1"],
    "ProcedureCodeSequence.CodeValue=C2": ["1.1"],
    "ProcedureCodeSequence.CodeValue=C3": [],
    "ProcedureCodeSequence.CodeValue=": ALL,
}
AT_SERIES: dict[str, list[str]] = {
    "StudyInstanceUID=1.1": ["1.1.1", "1.1.2"],
    "StudyInstanceUID=1.1&Modality=SR": ["1.1.2"],
    "StudyInstanceUID=1.2&SeriesNumber=07": ["1.2.1"],
    "StudyInstanceUID=1.2&RequestAttributesSequence.RequestedProcedureID=R2": ["1.2.1"],
    # Both must be of one item.
    "StudyInstanceUID=1.2&RequestAttributesSequence.RequestedProcedureID=R2"
    "&RequestAttributesSequence.ScheduledProcedureStepID=S1": [],
    "StudyInstanceUID=1.2&RequestAttributesSequence.RequestedProcedureID=R2"
    "&RequestAttributesSequence.ScheduledProcedureStepID=S2": ["1.2.1"],
}
_SERIES = "StudyInstanceUID=1.1&SeriesInstanceUID=1.1.1"
_DATED = "StudyInstanceUID=1.2&SeriesInstanceUID=1.2.1&AcquisitionDateTime="
AT_IMAGE: dict[str, list[str]] = {
    _SERIES: ["1.1.1.1", "1.1.1.2"],
    f"{_SERIES}&InstanceNumber=02": ["1.1.1.2"],
    f"{_SERIES}&SOPInstanceUID=1.1.1.2\\1.1.2.1": ["1.1.1.2"],
    f"{_DATED}20260201-20260202": ["1.2.1.1"],
    f"{_DATED}20260201083000.5+0530": ["1.2.1.1"],
    f"{_DATED}202602010831-": [],
    f"{_DATED}-202602010830": ["1.2.1.1"],
}
AT_PATIENT: dict[str, list[str]] = {
    "PatientName=": ["P1", "P2", "P3"],
    "PatientName=mueller*": ["P2"],
    "PatientBirthDate=1970.01.01-1970.12.31": ["P1"],
}


@pytest.mark.parametrize(
    ("level", "root", "cases"),
    [
        (Level.STUDY, STUDY, AT_STUDY),
        (Level.STUDY, PATIENT, {"PatientID=P1&StudyInstanceUID=": ["1.1"]}),
        (Level.SERIES, STUDY, AT_SERIES),
        (Level.SERIES, PATIENT, {"PatientID=P1&StudyInstanceUID=1.1&Modality=CT": ["1.1.1"]}),
        (Level.IMAGE, STUDY, AT_IMAGE),
        (Level.PATIENT, PATIENT, AT_PATIENT),
    ],
    ids=["study", "study of patient", "series", "series of patient", "image", "patient"],
)
def test_keys_match_as_their_representation_says(
    asking: Sender, level: Level, root: str, cases: dict[str, list[str]]
) -> None:
    answered = {keys: found(asking, level, *keys.split("&"), root=root) for keys in cases}
    assert answered == cases


def one_answer(sender: Sender, level: Level, *keys: str, root: str = STUDY) -> dict[str, tuple]:
    answers = list(requester.find(sender, root, requester.identifier(level, keys)))
    assert [status for status, _ in answers] in ([0xFF00, 0], [0xFF01, 0])
    return {
        "status": (answers[0][0],),
        **{keyword(tag): key.values for tag, key in answers[0][1].items()},
    }


def test_an_answer_has_what_was_asked_for_and_where_it_is(asking: Sender) -> None:
    assert one_answer(
        asking,
        Level.STUDY,
        "StudyInstanceUID=1.1",
        *("PatientName", "PatientSex", "ModalitiesInStudy", "NumberOfStudyRelatedSeries"),
        *("NumberOfStudyRelatedInstances", "SOPClassesInStudy", "InstanceAvailability"),
    ) == {
        "status": (0xFF00,),
        "QueryRetrieveLevel": ("STUDY",),
        "RetrieveAETitle": ("SANGAM",),
        "SpecificCharacterSet": ("ISO_IR 192",),
        "StudyInstanceUID": ("1.1",),
        "PatientName": ("Müller^Jörg",),
        "PatientSex": (),
        "ModalitiesInStudy": ("CT", "SR"),
        "NumberOfStudyRelatedSeries": ("2",),
        "NumberOfStudyRelatedInstances": ("3",),
        "SOPClassesInStudy": ("1.2.840.10008.5.1.4.1.1.2", SR),
        "InstanceAvailability": ("ONLINE",),
    }


def test_keys_that_are_not_supported_come_back_empty_and_are_told(asking: Sender) -> None:
    answer = one_answer(
        asking, Level.STUDY, "StudyInstanceUID=1.2", "PatientReligiousPreference=X", "Rows="
    )
    assert answer["status"] == (0xFF01,)
    assert answer["PatientReligiousPreference"] == answer["Rows"] == ()


def test_counts_of_patients_series_and_values_of_images(asking: Sender) -> None:
    assert (
        one_answer(
            asking,
            Level.PATIENT,
            "PatientID=P1",
            "NumberOfPatientRelatedStudies",
            "NumberOfPatientRelatedSeries",
            "NumberOfPatientRelatedInstances",
            root=PATIENT,
        ).items()
        >= {
            "NumberOfPatientRelatedStudies": ("1",),
            "NumberOfPatientRelatedSeries": ("2",),
            "NumberOfPatientRelatedInstances": ("3",),
        }.items()
    )
    series = ("StudyInstanceUID=1.1", "SeriesInstanceUID=1.1.1")
    answer = one_answer(asking, Level.SERIES, *series, "NumberOfSeriesRelatedInstances")
    assert answer["NumberOfSeriesRelatedInstances"] == ("2",)
    answer = one_answer(
        asking, Level.IMAGE, *series, "SOPInstanceUID=1.1.1.2", "Rows", "SOPClassUID"
    )
    assert (answer["Rows"], answer["SOPClassUID"]) == ((128,), ("1.2.840.10008.5.1.4.1.1.2",))


def test_answers_are_in_the_querys_character_set_if_it_can_carry_them(asking: Sender) -> None:
    expected = {"ISO_IR 100": "ISO_IR 100", "ISO_IR 144": "ISO_IR 192", "": "ISO_IR 192"}
    sent = {}
    for terms in expected:
        keys = (f"SpecificCharacterSet={terms}", "StudyInstanceUID=1.1", "PatientName")
        answer = one_answer(asking, Level.STUDY, *keys)
        assert answer["PatientName"] == ("Müller^Jörg",)
        sent[terms] = answer["SpecificCharacterSet"][0]
    assert sent == expected


WRONG = [
    (STUDY, "PATIENT", "PatientID="),
    (STUDY, "", "StudyInstanceUID="),
    (STUDY, "FRAME", "StudyInstanceUID="),
    (STUDY, "SERIES", "StudyInstanceUID="),
    (STUDY, "SERIES", "StudyInstanceUID=1.1\\1.2"),
    (STUDY, "IMAGE", "StudyInstanceUID=1.1"),
    (PATIENT, "STUDY", "StudyInstanceUID="),
    (PATIENT, "STUDY", "PatientID=P*"),
]


def test_an_identifier_that_the_model_does_not_know_is_refused(asking: Sender) -> None:
    answered = {}
    for root, level, key in WRONG:
        stated = Key(tag_of("QueryRetrieveLevel"), "CS", (level,) if level else ())
        identifier = requester.identifier(Level.STUDY, [key])
        given = [one for one in identifier if one.tag != stated.tag]
        answers = list(requester.find(asking, root, [*given, stated]))
        answered[root, level, key] = [status for status, _ in answers]
    assert answered == {one: [0xA900] for one in WRONG}


def test_more_than_the_limit_is_told(start: Callable[..., Archive]) -> None:
    archive = start(find_limit=2)
    stored(archive)
    pairs = requester.contexts(STUDY)
    keys = requester.identifier(Level.STUDY, ["StudyInstanceUID="])
    with Sender(archive.address, called="SANGAM", calling="US", contexts=pairs) as sender:
        answers = list(requester.find(sender, STUDY, keys))
    assert [status for status, _ in answers] == [0xFF00, 0xFF00, 0xB001]


def test_a_cancelled_query_ends(asking: Sender) -> None:
    """The cancel is sent with the query, so that it is there before the first answer."""
    [pair, _] = requester.contexts(STUDY)
    keys = requester.identifier(Level.STUDY, ["StudyInstanceUID="])
    request = {Element.AffectedSOPClassUID: STUDY, Element.Priority: 0}
    query = {**request, Element.CommandField: Field.C_FIND_RQ, Element.MessageID: 7}
    cancel = {Element.CommandField: Field.C_CANCEL_RQ, Element.MessageIDBeingRespondedTo: 7}
    cancel |= {Element.CommandDataSetType: NO_DATA_SET}
    query |= {Element.CommandDataSetType: DATA_SET}
    context_id = asking.contexts[pair]
    asking._wire.send(  # noqa: SLF001  (several messages in one call)
        b"".join(
            (
                pdu.message(context_id, pdu.COMMAND, command.encode(query), 0),
                pdu.message(context_id, 0, write(keys, pair[1]), 0),
                pdu.message(context_id, pdu.COMMAND, command.encode(cancel), 0),
            )
        )
    )
    answer, _ = asking.receive(lambda *_: Fixed(Answer(0)))
    assert answer.number(Element.Status) == 0xFE00


def test_date_and_time_are_one_range_where_that_was_negotiated() -> None:
    keys = criteria(
        {
            key.tag: key
            for key in requester.identifier(
                Level.STUDY, ["StudyDate=20260110-20260201", "StudyTime=1000-0900"]
            )
        }
    )
    apart = matches(Level.STUDY, keys)
    combined = matches(Level.STUDY, keys, combined=True)
    assert apart.values == ("20260110", "20260201", "100000.000000", "090059.999999")
    assert combined.values == ("20260110100000.000000", "20260201090059.999999")
