from typing import Any

import pytest

from fhir_server.r4 import definitions
from fhir_server.search import care
from fhir_server.search.care import Kind
from fhir_server.search.context import Context
from fhir_server.search.date import EARLIEST, LATEST, span
from fhir_server.search.rows import IndexRows

CONTEXT = Context(
    type_ids=definitions.load().type_ids, bases=("http://testserver/fhir", "http://alias/fhir")
)
EVER = (EARLIEST, LATEST)
EMPTY = IndexRows((), (), {})


def at(text: str) -> int:
    return span(text, CONTEXT)[0]


def after(text: str) -> int:
    return span(text, CONTEXT)[1]


def to(reference: str) -> dict[str, str]:
    return {"reference": reference}


def found(type_name: str, **content: Any) -> list[tuple[Any, ...]]:
    resource = {"resourceType": type_name, **content}
    rows = care.related(EMPTY, resource, "own", CONTEXT).ranges.get(care.TABLE, [])
    return [(actor, patient, Kind(kind), (low, high)) for actor, patient, kind, low, high in rows]


def encounter(status: str, **content: Any) -> list[tuple[Any, ...]]:
    given = {
        "subject": to("Patient/p"),
        "participant": [{"individual": to("Practitioner/d")}],
        **content,
    }
    return found("Encounter", status=status, **given)


@pytest.mark.parametrize("status", ["planned", "arrived", "triaged", "in-progress", "onleave"])
def test_participant_of_an_encounter_that_is_not_over_is_related_without_end(status: str) -> None:
    assert encounter(status) == [("Practitioner/d", "p", Kind.ENCOUNTER, EVER)]


@pytest.mark.parametrize("status", ["cancelled", "entered-in-error", "unknown"])
def test_encounter_that_never_was_relates_nobody(status: str) -> None:
    assert encounter(status) == []


@pytest.mark.parametrize(
    ("period", "until"),
    [
        ({"start": "2026-01-01", "end": "2026-01-05"}, after("2026-01-05")),
        ({"start": "2026-01-01"}, after("2026-01-01")),
        ({"end": "2026-01-05T10:00:00Z"}, after("2026-01-05T10:00:00Z")),
    ],
    ids=["both", "start", "end"],
)
def test_finished_encounter_relates_until_its_last_known_time(
    period: dict[str, str], until: int
) -> None:
    expected = [("Practitioner/d", "p", Kind.ENCOUNTER, (EARLIEST, until))]
    assert encounter("finished", period=period) == expected


def test_finished_encounter_without_a_time_relates_nobody() -> None:
    assert encounter("finished") == []


def test_participant_who_left_is_related_until_then() -> None:
    left = {"individual": to("Practitioner/d"), "period": {"end": "2026-01-02"}}
    assert encounter("in-progress", participant=[left]) == [
        ("Practitioner/d", "p", Kind.ENCOUNTER, (EARLIEST, after("2026-01-02")))
    ]


def test_place_where_the_patient_lies_is_related_while_he_does() -> None:
    ward = {"location": to("Location/w"), "period": {"start": "2026-01-01"}}
    gone = {"location": to("Location/x"), "status": "completed"}
    content = {"participant": [], "location": [ward, gone]}
    assert encounter("in-progress", **content) == [
        ("Location/w", "p", Kind.WARD, (at("2026-01-01"), LATEST))
    ]
    assert encounter("finished", period={"end": "2026-01-05"}, **content) == []


def test_members_of_an_active_care_team_and_the_team_itself_are_related_in_its_period() -> None:
    team = {
        "subject": to("Patient/p"),
        "period": {"start": "2026-01-01"},
        "participant": [
            {"member": to("Practitioner/d"), "period": {"end": "2026-02-01"}},
            {"member": to("Patient/p")},
        ],
    }
    assert found("CareTeam", status="active", **team) == [
        ("CareTeam/own", "p", Kind.TEAM, (at("2026-01-01"), LATEST)),
        ("Practitioner/d", "p", Kind.TEAM, (at("2026-01-01"), after("2026-02-01"))),
    ]
    assert [found("CareTeam", status=one, **team) for one in ("proposed", "inactive")] == [[], []]


def test_general_practitioner_is_related_for_ever() -> None:
    actors = [to("Practitioner/d"), to("http://alias/fhir/Organization/o/_history/3")]
    assert found("Patient", generalPractitioner=actors) == [
        ("Organization/o", "own", Kind.PRACTITIONER, EVER),
        ("Practitioner/d", "own", Kind.PRACTITIONER, EVER),
    ]


def appointment(**content: Any) -> list[tuple[Any, ...]]:
    participants = [
        {"actor": to("Patient/p"), "status": "accepted"},
        {"actor": to("Practitioner/d"), "status": "needs-action"},
        {"actor": to("Practitioner/no"), "status": "declined"},
        {"actor": to("Location/room"), "status": "accepted"},
    ]
    return found("Appointment", participant=participants, **content)


def test_appointment_relates_who_takes_part_at_its_time() -> None:
    day = {"start": "2026-01-05T10:00:00Z", "end": "2026-01-05T10:30:00Z"}
    when = (at(day["start"]), after(day["end"]))
    expected = [("Practitioner/d", "p", Kind.APPOINTMENT, when)]
    assert appointment(status="booked", **day) == expected
    assert appointment(status="cancelled", **day) == []
    assert appointment(status="proposed") == []


@pytest.mark.parametrize(
    ("type_name", "content", "actors"),
    [
        (
            "ServiceRequest",
            {
                "subject": to("Patient/p"),
                "requester": to("Practitioner/a"),
                "performer": [to("Organization/lab")],
            },
            ["Organization/lab", "Practitioner/a"],
        ),
        (
            "MedicationRequest",
            {
                "subject": to("Patient/p"),
                "requester": to("PractitionerRole/a"),
                "recorder": to("Practitioner/r"),
                "dispenseRequest": {"performer": to("Organization/pharmacy")},
            },
            ["Organization/pharmacy", "Practitioner/r", "PractitionerRole/a"],
        ),
        (
            "Task",
            {
                "for": to("Patient/p"),
                "requester": to("Practitioner/a"),
                "owner": to("CareTeam/t"),
            },
            ["CareTeam/t", "Practitioner/a"],
        ),
    ],
)
def test_author_and_addressee_of_an_order_are_related(
    type_name: str, content: dict[str, Any], actors: list[str]
) -> None:
    open_ = "in-progress" if type_name == "Task" else "active"
    assert found(type_name, status=open_, **content) == [
        (actor, "p", Kind.ORDER, EVER) for actor in actors
    ]
    ended = found(type_name, status="completed", authoredOn="2026-01-05", **content)
    until = (EARLIEST, after("2026-01-05"))
    assert ended == [(actor, "p", Kind.ORDER, until) for actor in actors]
    assert found(type_name, status="completed", **content) == []
    assert found(type_name, status="entered-in-error", **content) == []


def test_reference_to_elsewhere_relates_nobody() -> None:
    elsewhere = {"individual": to("http://elsewhere/fhir/Practitioner/d")}
    contained = {"individual": to("#d")}
    named = {"individual": {"display": "Practitioner/d"}}
    assert encounter("in-progress", participant=[elsewhere, contained, named, {}]) == []
    assert encounter("in-progress", subject=to("Group/g")) == []


def test_resource_of_another_type_has_no_relationships() -> None:
    observation = {"resourceType": "Observation", "performer": [to("Practitioner/d")]}
    assert care.related(EMPTY, observation, "own", CONTEXT) is EMPTY
