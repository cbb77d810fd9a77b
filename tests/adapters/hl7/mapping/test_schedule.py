"""SIU: each field of SCH, AIS, AIG, AIL and AIP, and the status and time of an appointment."""

from typing import Any

import pytest

from adapters.hl7.mapping.messages import schedule
from tests.adapters.hl7.fields import dig, extension, header, segment
from tests.adapters.hl7.reading import IDS, PID, THO, mapped, resources

AT_NINE = "^^^20260105090000"


def booked(*more: str, event: str = "S12", **sch: str) -> dict[str, Any]:
    """Return the Appointment of a message whose SCH has these fields."""
    said = {"f1": "A1^HIS", "f11": AT_NINE, **sch}
    found = mapped(segment("SCH", **said), PID, "RGS|1", *more, header=header(f"SIU^{event}"))
    (appointment,) = resources(found, "Appointment")
    return appointment


def typed(code: str, system: str, value: str) -> dict[str, Any]:
    kind = {"coding": [{"system": f"{THO}/v2-0203", "code": code}]}
    return {"type": kind, "system": f"{IDS}/{system}", "value": value}


@pytest.mark.parametrize(
    ("event", "status"),
    [
        ("S12", "booked"), ("S13", "booked"), ("S14", "booked"), ("S15", "cancelled"),
        ("S16", "cancelled"), ("S17", "entered-in-error"), ("S18", "booked"), ("S19", "booked"),
        ("S20", "booked"), ("S21", "booked"), ("S22", "booked"), ("S26", "noshow"),
    ],
)  # fmt: skip
def test_status_of_an_appointment_by_its_event(event: str, status: str) -> None:
    assert booked(event=event)["status"] == status


def test_events_of_blocked_time_are_not_mapped() -> None:
    assert {"S23", "S24"}.isdisjoint(schedule.EVENTS)


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("Pending", "pending"), ("Waitlist", "waitlist"), ("Booked", "booked"),
        ("Started", "checked-in"), ("Complete", "fulfilled"), ("Cancelled", "cancelled"),
        ("Deleted", "entered-in-error"), ("Noshow", "noshow"), ("Discontinued", "cancelled"),
        ("Blocked", "booked"), ("Overbook", "booked"), ("BOOKED", "booked"), ("Odd", "booked"),
    ],
)  # fmt: skip
def test_filler_status_goes_before_the_event(code: str, status: str) -> None:
    found = booked(f25=code)
    assert found["status"] == status
    kept = dig(found, "_status.extension.0.valueCodeableConcept.coding.0")
    assert kept == {"system": f"{THO}/v2-0278", "code": code}


def test_status_of_a_service_counts_where_the_appointment_has_none() -> None:
    service = segment("AIS", f1="1", f3="X", f10="Pending")
    assert booked(service)["status"] == "pending"
    assert booked(service, f25="Booked")["status"] == "booked"


@pytest.mark.parametrize(
    ("sch", "path", "expected"),
    [
        ({}, "identifier.0", typed("PLAC", "HIS", "A1")),
        ({"f2": "B1^LIS"}, "identifier.1", typed("FILL", "LIS", "B1")),
        ({"f7": "R^Why^HL70276"}, "reasonCode.0.coding.0.display", "Why"),
        ({"f7": "Normal^^HL70277"}, "appointmentType.coding.0.system", f"{THO}/v2-0277"),
        ({"f8": "Normal^^HL70277"}, "appointmentType.coding.0.code", "Normal"),
        ({"f9": "30", "f10": "min"}, "minutesDuration", 30),
        ({"f9": "2", "f10": "H"}, "minutesDuration", 120),
        ({"f9": "2", "f10": "parsecs"}, "minutesDuration", None),
        ({}, "start", "2026-01-05T09:00:00+05:30"),
        ({}, "end", "2026-01-05T09:00:00+05:30"),
        ({"f9": "30"}, "end", "2026-01-05T09:30:00+05:30"),
        ({"f11": f"{AT_NINE}^20260105093000"}, "end", "2026-01-05T09:30:00+05:30"),
        ({"f26": "O1^HIS"}, "basedOn.0.identifier", typed("PLAC", "HIS", "O1")),
        ({"f27": "F1^LIS"}, "basedOn.0.identifier", typed("FILL", "LIS", "F1")),
    ],
    ids=lambda value: str(value)[:40],
)
def test_sch_field_of_an_appointment(sch: dict[str, str], path: str, expected: Any) -> None:
    assert dig(booked(**sch), path) == expected


@pytest.mark.parametrize(
    ("number", "kind"),
    [("f12", "placer contact"), ("f16", "filler contact"), ("f20", None)],
)
def test_contacts_take_part(number: str, kind: str | None) -> None:
    contact = booked(**{number: "8^Doc^Ann^^^^^^H"})["participant"][0]
    assert contact["status"] == "accepted"
    said = contact["type"][0]
    assert said.get("text") == kind
    assert kind or said["coding"][0]["code"] == "enterer"


def test_patient_takes_part_and_is_the_subject() -> None:
    found = mapped(segment("SCH", f1="A1", f11=AT_NINE), PID, header=header("SIU^S12"))
    (patient,) = (w.full_url for w in found.writes if w.resource["resourceType"] == "Patient")
    (appointment,) = resources(found, "Appointment")
    assert appointment["participant"] == [{"actor": {"reference": patient}, "status": "accepted"}]
    (subject,) = extension(appointment, "Appointment.subject")
    assert subject["valueReference"] == {"reference": patient}


def test_reason_of_a_cancellation_is_the_event_reason() -> None:
    assert booked(event="S15", f6="ILL^Ill^L")["cancelationReason"]["coding"][0]["code"] == "ILL"
    assert "cancelationReason" not in booked(f6="ILL^Ill^L")


@pytest.mark.parametrize(
    ("more", "path", "expected"),
    [
        (segment("AIS", f1="1", f3="X^Scan^L"), "serviceType.0.coding.0.display", "Scan"),
        (segment("AIS", f1="1", f3="X", f11="Y^more^L"), "serviceType.1.coding.0.code", "Y"),
        (
            segment("AIP", f1="1", f3="8^Doc^Ann^^^^^^H", f4="D^Doctor^L"),
            "participant.1.type.0.coding.0.display",
            "Doctor",
        ),
        (
            segment("AIP", f1="1", f3="8^Doc^Ann^^^^^^H", f6="20260105090000", f9="15", f10="M"),
            "participant.1.period",
            {"start": "2026-01-05T09:00:00+05:30", "end": "2026-01-05T09:15:00+05:30"},
        ),
        (
            segment("AIP", f1="1", f3="8^Doc^Ann^^^^^^H", f7="-10", f8="min"),
            "participant.1.period.start",
            "2026-01-05T08:50:00+05:30",
        ),
        (
            segment("AIP", f1="1", f3="8^Doc^Ann^^^^^^H", f12="Cancelled"),
            "participant.1.status",
            "declined",
        ),
        (
            segment("AIP", f1="1", f3="8^Doc^Ann^^^^^^H", f12="Pending"),
            "participant.1.status",
            "tentative",
        ),
        (segment("AIP", f1="1", f2="D", f3="8^Doc^Ann^^^^^^H"), "participant.1", None),
        (segment("AIL", f1="1", f3="W^1^2"), "participant.1.actor.display", "W, 1, 2"),
        (
            segment("AIG", f1="1", f3="EQ1^Scanner^L", f4="EQ^Device^L"),
            "participant.1.actor.display",
            "Scanner",
        ),
        (
            segment("AIG", f1="1", f3="EQ1^Scanner^L", f8="20260105091000", f11="5"),
            "participant.1.period.end",
            "2026-01-05T09:15:00+05:30",
        ),
    ],
    ids=lambda value: str(value)[:60],
)
def test_resource_field_of_an_appointment(more: str, path: str, expected: Any) -> None:
    assert dig(booked(more), path) == expected


@pytest.mark.parametrize(
    "more",
    [
        segment("AIS", f1="1", f3="X", f4="20260105100000"),
        segment("AIP", f1="1", f3="8^D^A^^^^^^H", f6="20260105100000"),
        segment("AIL", f1="1", f3="W", f6="20260105100000"),
        segment("TQ1", f1="1", f7="20260105100000"),
    ],
    ids=lambda value: value[:3],
)
def test_time_of_a_resource_is_that_of_an_appointment_without_one(more: str) -> None:
    assert booked(more, f11="")["start"] == "2026-01-05T10:00:00+05:30"


def test_tq1_goes_before_the_old_timing() -> None:
    timing = segment("TQ1", f1="1", f7="20260105100000", f8="20260105103000")
    found = booked(timing)
    assert (found["start"], found["end"]) == (
        "2026-01-05T10:00:00+05:30",
        "2026-01-05T10:30:00+05:30",
    )


def test_booked_appointment_without_a_time_says_that_it_is_not_known() -> None:
    found = booked(f11="")
    assert "start" not in found
    assert found["_start"]["extension"][0]["valueCode"] == "unknown"
    assert "_start" not in booked(f11="", f25="Waitlist")


def test_end_before_the_start_is_not_taken() -> None:
    assert booked(f11=f"{AT_NINE}^20260105080000")["end"] == "2026-01-05T09:00:00+05:30"


def test_notes_of_an_appointment_are_the_extension_of_r5() -> None:
    found = mapped(
        segment("SCH", f1="A1", f11=AT_NINE),
        "NTE|1||first",
        PID,
        "RGS|1",
        "AIS|1||X",
        "NTE|1||second",
        header=header("SIU^S12"),
    )
    (appointment,) = resources(found, "Appointment")
    notes = extension(appointment, "Appointment.note")
    assert [note["valueAnnotation"]["text"] for note in notes] == ["first", "second"]


def test_who_entered_an_appointment_is_in_its_provenance() -> None:
    found = mapped(
        segment("SCH", f1="A1", f11=AT_NINE, f20="8^Doc^Ann^^^^^^H"),
        PID,
        header=header("SIU^S12"),
    )
    (told,) = resources(found, "Provenance")
    assert told["agent"][0]["type"]["coding"][0]["code"] == "enterer"
    assert told["recorded"] == "2026-01-02T03:04:05+05:30"


def test_appointment_of_nobody_has_a_participant() -> None:
    found = mapped(segment("SCH", f1="A1", f11=AT_NINE), header=header("SIU^S12"))
    assert len(resources(found, "Appointment")[0]["participant"]) == 1


def test_appointment_that_is_over_is_not_booked_again() -> None:
    found = mapped(segment("SCH", f1="A1", f11=AT_NINE), PID, header=header("SIU^S14"))
    (write,) = (w for w in found.writes if w.resource["resourceType"] == "Appointment")
    assert write.effect is not None
    assert write.effect({"status": "fulfilled"}, write.resource)["status"] == "fulfilled"
    assert write.effect({"status": "cancelled"}, write.resource)["status"] == "booked"


def test_time_of_an_appointment_may_be_a_leap_second() -> None:
    found = booked(f9="30", f11="^^^20161231235960+0000")
    assert found["start"] == "2016-12-31T23:59:60+00:00"
    assert found["end"] == "2017-01-01T00:29:59+00:00"
