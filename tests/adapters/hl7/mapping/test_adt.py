"""ADT messages by trigger event, and what an event does to a stored Encounter."""

import pickle
from datetime import UTC, datetime
from typing import Any

import pytest

from adapters.hl7.mapping import happened
from adapters.hl7.mapping.context import Refusal, Write
from adapters.hl7.mapping.messages import adt, merge
from adapters.hl7.mapping.transform import Mapped, supports, transform
from tests.adapters.hl7.reading import IDS, KEY, message, profile, resources

HEADER = "MSH|^~\\&|LIS|LAB|EHR|HOSP|20260110030405+0530||ADT^{}|C1|P|2.5.1"
PID = "PID|1||P1^^^HOSP^MR"
PV1 = "PV1|1|I|W1^R1^B1" + "|" * 16 + "V1"
AT = "2026-01-09T10:00:00+05:30"


def mapped(event: str, *segments: str, **settings: Any) -> Mapped:
    told = message("EVN||20260109100000", *segments, header=HEADER.format(event))
    return transform(told, profile(**settings))


def write(found: Mapped, kind: str) -> Write:
    (only,) = (one for one in found.writes if one.resource["resourceType"] == kind)
    return only


EVENTS = {
    "A01": "in-progress", "A02": "in-progress", "A03": "finished", "A04": "in-progress",
    "A05": "planned", "A06": "in-progress", "A07": "in-progress", "A08": "in-progress",
    "A09": "in-progress", "A10": "arrived", "A11": "cancelled", "A12": "in-progress",
    "A13": "in-progress", "A14": "planned", "A15": "in-progress", "A16": "in-progress",
    "A17": "in-progress", "A21": "onleave", "A22": "in-progress", "A23": "entered-in-error",
    "A25": "in-progress", "A26": "in-progress", "A27": "cancelled", "A32": "in-progress",
    "A33": "in-progress", "A38": "cancelled", "A52": "in-progress", "A53": "onleave",
    "A54": "in-progress", "A55": "in-progress", "A60": "in-progress", "A61": "in-progress",
    "A62": "in-progress",
}  # fmt: skip
KEPT = "A08 A09 A12 A15 A16 A17 A25 A26 A32 A33 A54 A55 A60 A61 A62".split()  # noqa: SIM905


@pytest.mark.parametrize("event", EVENTS)
def test_status_that_an_event_gives_a_new_visit(event: str) -> None:
    found = write(mapped(event, PID, PV1), "Encounter")
    assert (found.method, found.identity) == ("PUT", (f"{IDS}/visit|V1",))
    assert found.resource["status"] == EVENTS[event]


@pytest.mark.parametrize("event", EVENTS)
def test_status_that_an_event_gives_a_stored_visit(event: str) -> None:
    found = write(mapped(event, PID, PV1), "Encounter")
    assert found.effect is not None
    stored = {**found.resource, "status": "triaged", "location": []}
    kept = "triaged" if event in KEPT else EVENTS[event]
    assert found.effect(stored, found.resource)["status"] == kept


def test_every_event_of_the_standard_is_mapped() -> None:
    # A19 is a query; A30 and A48 were withdrawn before v2.7, A56 to A59 were never given.
    withdrawn = {"A30", "A48", "A56", "A57", "A58", "A59"}
    events = {f"A{number:02}" for number in range(1, 63)} - {"A19"} - withdrawn
    assert {event for event in events if not supports("ADT", event)} == set()
    assert adt.EVENTS & frozenset(merge.EVENTS) == frozenset()


@pytest.mark.parametrize("event", ["A28", "A29", "A31"])
def test_event_of_the_person_alone_leaves_the_visit_alone(event: str) -> None:
    found = mapped(event, PID, PV1)
    assert resources(found, "Encounter") == []
    assert write(found, "Patient").method == "PUT"
    assert resources(found, "Patient")[0].get("active") == (False if event == "A29" else None)
    assert ("PV1[1]-19[1].1.1", "condition_false") in found.unmapped


def test_effect_can_be_sent_to_another_process() -> None:
    effect = write(mapped("A03", PID, PV1), "Encounter").effect
    again = pickle.loads(pickle.dumps(effect))
    stored = {"status": "in-progress"}
    assert again(stored, {"status": "finished"}) == {"status": "finished"}


@pytest.mark.parametrize(
    ("more", "end"), [("", AT), ("|" * 26 + "20260109", "2026-01-09")], ids=["EVN-2", "PV1-45"]
)
def test_end_of_a_visit(more: str, end: str) -> None:
    encounter = write(mapped("A03", PID, PV1 + more), "Encounter").resource
    assert encounter["period"] == {"end": end}


def test_time_of_an_event_is_that_at_which_it_occurred() -> None:
    told = message("EVN||20260109100000||||20260108", PID, PV1, header=HEADER.format("A03"))
    found = write(transform(told, profile()), "Encounter")
    assert found.resource["period"]["end"] == "2026-01-08"
    assert found.event_time == datetime(2026, 1, 8, tzinfo=UTC)


def test_visit_without_a_number_is_known_by_patient_and_admission() -> None:
    pv1 = "PV1|1|I" + "|" * 42 + "20260101"
    first, again = (write(mapped(event, PID, pv1), "Encounter") for event in ("A01", "A08"))
    assert first.identity == again.identity
    assert first.identity[0].startswith(f"{KEY}|")
    other = write(mapped("A01", PID.replace("P1", "P2"), pv1), "Encounter")
    assert other.identity != first.identity


def test_visit_that_nothing_names_is_not_stored() -> None:
    found = mapped("A01", PID, "PV1|1|I|W1")
    assert resources(found, "Encounter") == []
    assert ("PV1[1]-2[1].1.1", "condition_false") in found.unmapped
    assert found.warnings == {"PV1 has neither a visit number nor an admission time": 1}


def test_account_is_the_visit_where_the_profile_says_so() -> None:
    pid = PID + "|" * 15 + "A1^^^HOSP"
    found = mapped("A01", pid, "PV1|1|I", visit_from_account=True)
    assert write(found, "Encounter").identity == (f"{IDS}/HOSP|A1",)
    assert resources(mapped("A01", pid, "PV1|1|I"), "Encounter") == []


def test_every_patient_of_a_message_has_the_visit_that_follows() -> None:
    found = mapped("A17", PID, PV1, "PID|2||P2^^^HOSP^MR", PV1.replace("|V1", "|V2"))
    patients = {w.full_url: w.resource["identifier"][0]["value"] for w in found.writes
                if w.resource["resourceType"] == "Patient"}  # fmt: skip
    assert [
        (e["identifier"][0]["value"], patients[e["subject"]["reference"]])
        for e in resources(found, "Encounter")
    ] == [("V1", "P1"), ("V2", "P2")]


def test_message_without_a_patient_is_refused() -> None:
    with pytest.raises(Refusal) as refused:
        mapped("A01", PV1)
    assert refused.value.reason == "NO_PATIENT_ID"


def test_height_and_note_are_observations_of_the_visit() -> None:
    obx = "OBX|1|NM|HT^Height||170|cm|||||F"
    found = mapped("A01", PID, "NTE|1||allergic to cats", PV1, obx)
    visit = write(found, "Encounter").full_url
    height, note = resources(found, "Observation")
    assert height["encounter"] == {"reference": visit}
    assert note["valueString"] == "allergic to cats"


def test_deletions_are_the_elements_of_the_fields() -> None:
    pid = 'PID|1||P1||""|""|""|""|||""||""|""|""|""|""'
    pv1 = PV1 + "|" * 17 + '""' + "|" * 8 + '""|""'
    found = mapped("A08", pid, pv1)
    ext = "http://hl7.org/fhir/StructureDefinition/patient-"
    assert write(found, "Patient").cleared == {
        *("name", "birthDate", "gender", "address", "communication", "maritalStatus"),
        *("telecom(use=home)", "telecom(use=work)"),
        *(f"extension(url={ext}mothersMaidenName)", f"extension(url={ext}religion)"),
    }
    assert write(found, "Encounter").cleared == {
        *("hospitalization.dischargeDisposition", "period.start", "period.end"),
    }


def place(name: str, status: str, **period: str) -> dict[str, Any]:
    found: dict[str, Any] = {"location": {"reference": f"Location/{name}"}, "status": status}
    return {**found, "period": period} if period else found


A, B = place("A", "active"), place("B", "active")
HISTORY: list[tuple[str, str, list[Any], list[Any], list[Any]]] = [
    ("first place", "A01", [], [A], [place("A", "active", start=AT)]),
    ("same place", "A08", [A], [A], [A]),
    ("no place", "A08", [A], [], [A]),
    ("moved", "A02", [A], [A, B], [
        place("A", "completed", end=AT), place("B", "active", start=AT)]),
    ("moved, and said from where", "A02", [A], [place("A", "completed"), B], [
        place("A", "completed", end=AT), place("B", "active", start=AT)]),
    ("from a place unknown before", "A02", [], [place("A", "completed", end=AT), B], [
        place("A", "completed", end=AT), place("B", "active", start=AT)]),
    ("back again", "A02", [place("A", "completed", end="2026"), B],
     [A, B], [place("A", "completed", end="2026"), place("B", "completed", end=AT),
              place("A", "active", start=AT)]),
    ("to the place that was reserved", "A02", [A, place("B", "reserved")], [A, B], [
        place("A", "completed", end=AT), place("B", "active", start=AT)]),
    ("reserved instead of another", "A16", [A, place("B", "reserved")],
     [A, place("B", "reserved"), place("C", "reserved")], [A, place("C", "reserved")]),
    ("undone", "A12", [place("A", "completed", start="2026-01-01", end=AT), B], [A, B], [
        place("A", "active", start="2026-01-01")]),
    ("undone, without a place", "A12", [place("A", "completed", end=AT), B],
     [place("A", "completed", end=AT), B], [A]),
    ("undone, to a place unknown", "A12", [B], [A, B], [A]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("event", "stored", "merged", "expected"),
    [case[1:] for case in HISTORY],
    ids=[case[0] for case in HISTORY],
)
def test_locations_are_the_history_of_the_visit(
    event: str, stored: list[Any], merged: list[Any], expected: list[Any]
) -> None:
    before = {"status": "in-progress", "location": stored} if stored else {"status": "x"}
    # An update says nothing of the places that it does not name, so they are in it.
    update = {"status": "in-progress", "location": [*merged]}
    named = {one["location"]["reference"] for one in merged}
    update["location"] += [one for one in stored if one["location"]["reference"] not in named]
    found = happened.happened(event, AT, before, update)
    assert found.get("location", []) == expected


def test_temporary_place_does_not_end_the_assigned_one() -> None:
    temporary = {**B, "extension": [{"url": "x"}]}
    stored = {"status": "in-progress", "location": [A]}
    found = happened.happened("A09", AT, stored, {**stored, "location": [A, temporary]})
    assert found["location"] == [A, {**temporary, "period": {"start": AT}}]


def test_place_that_is_deleted_is_gone() -> None:
    stored = {"status": "in-progress", "location": [A, place("B", "reserved")]}
    found = happened.happened("A08", AT, stored, {"status": "in-progress", "location": [A]})
    assert found["location"] == [A]


@pytest.mark.parametrize("event", ["A06", "A07"])
def test_old_class_is_in_the_history(event: str) -> None:
    stored = {"status": "in-progress", "class": {"system": "s", "code": "AMB"}}
    merged = {"status": "in-progress", "class": {"system": "s", "code": "IMP"}}
    found = happened.happened(event, AT, stored, merged)
    assert found["classHistory"] == [{"class": stored["class"], "period": {"end": AT}}]
    assert "classHistory" not in happened.happened(event, AT, stored, {**stored})
    assert "classHistory" not in happened.happened("A08", AT, stored, merged)


def test_class_that_is_not_said_stays() -> None:
    stored = {"status": "in-progress", "class": {"system": "s", "code": "AMB"}}
    found = happened.happened("A06", AT, stored, {**stored, "class": {"code": "UNK"}})
    assert found == stored


def test_discharge_that_is_undone_takes_its_end_and_disposition() -> None:
    stored = {"status": "finished"}
    merged = {
        "status": "in-progress",
        "period": {"start": "2026", "end": "2027"},
        "hospitalization": {"dischargeDisposition": {"text": "home"}, "destination": {}},
    }
    found = happened.happened("A13", AT, stored, merged)
    assert found == {"status": "in-progress", "period": {"start": "2026"}}
