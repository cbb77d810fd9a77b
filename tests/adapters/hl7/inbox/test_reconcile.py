import copy
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from adapters.hl7.inbox.reconcile import reconciled, same, still_cleared
from adapters.hl7.mapping.context import Write

EARLY, NOW, LATE = (datetime(2026, 1, day, tzinfo=UTC) for day in (1, 2, 3))


def write(resource: dict[str, Any], at: datetime | None = NOW, **said: Any) -> Write:
    return Write("PUT", "urn:uuid:1", ("s|1",), resource, event_time=at, **said)


def observation(status: str = "final", **said: Any) -> dict[str, Any]:
    return {"resourceType": "Observation", "status": status, **said}


def patient(**said: Any) -> dict[str, Any]:
    return {"resourceType": "Patient", **said}


@pytest.mark.parametrize(
    ("told", "was", "at", "now", "stands"),
    [
        (NOW, "final", LATE, "final", "applied"),
        (NOW, "final", LATE, "corrected", "applied"),
        (NOW, "final", LATE, "entered-in-error", "applied"),
        (NOW, "final", LATE, "cancelled", "applied"),
        (NOW, "final", LATE, "preliminary", "lesser"),
        (NOW, "corrected", LATE, "registered", "lesser"),
        (NOW, "corrected", LATE, "final", "applied"),
        (NOW, "preliminary", LATE, "registered", "applied"),
        (NOW, "final", EARLY, "preliminary", "late"),
        (NOW, "preliminary", EARLY, "corrected", "late"),
        (NOW, "final", NOW, "final", "applied"),
        (NOW, "final", NOW, "corrected", "applied"),
        (NOW, "preliminary", NOW, "registered", "lesser"),
        (NOW, "corrected", NOW, "final", "lesser"),
        (NOW, "corrected", NOW, "entered-in-error", "applied"),
        (NOW, "entered-in-error", NOW, "amended", "applied"),
        (None, "final", EARLY, "final", "applied"),
        (NOW, "final", None, "final", "applied"),
        (None, "final", None, "preliminary", "lesser"),
    ],
)
def test_time_decides_then_status(
    told: datetime | None, was: str, at: datetime | None, now: str, stands: str
) -> None:
    found = reconciled(observation(was), write(observation(now), at), told)
    assert found.stands == stands
    assert found.resource["status"] == (now if stands == "applied" else was)


def test_preliminary_replaces_final_where_that_is_allowed() -> None:
    given = write(observation("preliminary"), LATE)
    assert reconciled(observation(), given, NOW, regression=True).stands == "applied"
    assert reconciled(observation(), given, NOW).stands == "lesser"


def test_update_changes_only_what_the_message_says() -> None:
    stored = patient(id="1", birthDate="1980", gender="male", photo=[{"url": "x"}])
    found = reconciled(stored, write(patient(birthDate="1981")), EARLY)
    assert found.resource == {**stored, "birthDate": "1981"}


def test_null_deletes() -> None:
    stored = patient(id="1", birthDate="1980", _birthDate={"id": "x"}, gender="male")
    found = reconciled(stored, write(patient(), cleared=frozenset(["birthDate"])), EARLY)
    assert found.resource == patient(id="1", gender="male")


def test_late_message_does_not_fill_what_was_deleted() -> None:
    late = write(patient(birthDate="1980", gender="male"), EARLY)
    found = reconciled(patient(id="1"), late, NOW, cleared=frozenset(["birthDate"]))
    assert found.resource == patient(id="1", gender="male")


def test_what_a_message_says_is_deleted_no_more() -> None:
    before = frozenset(["birthDate", "telecom(use=home)"])
    said = write(patient(birthDate="1980"), NOW, cleared=frozenset(["gender"]))
    assert still_cleared(before, said) == {"gender", "telecom(use=home)"}


def test_late_message_deletes_nothing_and_has_no_effect() -> None:
    stored = patient(id="1", birthDate="1980")
    late = write(
        patient(gender="male"),
        EARLY,
        cleared=frozenset(["birthDate"]),
        effect=lambda _, updated: {**updated, "active": False},
    )
    assert reconciled(stored, late, NOW).resource == {**stored, "gender": "male"}


@pytest.mark.parametrize(
    ("stored", "given"),
    [
        ({"deceasedBoolean": True}, {"deceasedDateTime": "2026"}),
        ({"birthDate": "1980"}, {"birthDate": "1981"}),
        ({"gender": "male"}, {"_gender": {"id": "x"}}),
        ({"name": [{"family": "A"}]}, {"name": [{"family": "B"}]}),
    ],
)
def test_late_message_changes_nothing_that_is_there(
    stored: dict[str, Any], given: dict[str, Any]
) -> None:
    found = reconciled(patient(**stored), write(patient(**given), EARLY), NOW)
    assert found.resource == patient(**stored)


def test_late_message_adds_identifiers_and_results() -> None:
    report = {
        "resourceType": "DiagnosticReport",
        "status": "final",
        "identifier": [{"system": "s", "value": "1"}],
        "result": [{"reference": "Observation/1"}],
    }
    late = {
        **report,
        "status": "partial",
        "identifier": [{"system": "s", "value": "2"}],
        "result": [{"reference": "Observation/2"}],
    }
    found = reconciled(report, write(late, EARLY), NOW).resource
    assert found == {
        **report,
        "identifier": [*report["identifier"], *late["identifier"]],
        "result": [*report["result"], *late["result"]],
    }


def test_effect_sees_what_is_stored_and_what_the_update_makes_of_it() -> None:
    def effect(stored: dict[str, Any], updated: dict[str, Any]) -> dict[str, Any]:
        assert (stored["gender"], updated["gender"]) == ("male", "female")
        return {**updated, "active": stored["active"]}

    stored = patient(id="1", gender="male", active=False)
    given = write(patient(gender="female", active=True), effect=effect)
    assert reconciled(stored, given, EARLY).resource == {**stored, "gender": "female"}


def test_report_keeps_the_results_that_a_message_does_not_repeat() -> None:
    first, second, third = ({"reference": f"Observation/{n}"} for n in "123")
    stored = {"resourceType": "DiagnosticReport", "status": "final", "result": [first, second]}
    again = {**stored, "result": [third, second]}
    found = reconciled(stored, write(again), EARLY).resource
    assert found["result"] == [first, second, third]
    whole = {**stored, "result": [third, first, second]}
    assert reconciled(stored, write(whole), EARLY).resource["result"] == whole["result"]


HIGH = {"interpretation": [{"text": "H"}], "referenceRange": [{"text": "1-2"}]}


@pytest.mark.parametrize(
    ("stored", "given", "expected"),
    [
        pytest.param(
            {"valueInteger": 5, **HIGH},
            {"valueInteger": 1},
            {"valueInteger": 1},
            id="what was said of another value goes with it",
        ),
        pytest.param(
            {"valueInteger": 5, **HIGH}, {"valueInteger": 5}, {"valueInteger": 5, **HIGH}, id="same"
        ),
        pytest.param(
            {"valueInteger": 5}, {"valueString": "x"}, {"valueString": "x"}, id="another type"
        ),
        pytest.param(
            {"dataAbsentReason": {"text": "?"}},
            {"valueInteger": 5},
            {"valueInteger": 5},
            id="a value ends the reason why there is none",
        ),
        pytest.param(
            {"valueInteger": 5, **HIGH},
            {"dataAbsentReason": {"text": "?"}},
            {"valueInteger": 5, **HIGH},
            id="an empty OBX-5 keeps the value",
        ),
        pytest.param(
            {"component": [{}]}, {"valueInteger": 5}, {"valueInteger": 5}, id="components"
        ),
        pytest.param({"valueInteger": 5}, {}, {"valueInteger": 5}, id="nothing said"),
    ],
)
def test_observation_has_one_value(
    stored: dict[str, Any], given: dict[str, Any], expected: dict[str, Any]
) -> None:
    found = reconciled(observation(**stored), write(observation(**given)), EARLY).resource
    assert found == observation(**expected)


def test_flag_of_an_older_value_is_not_that_of_the_newer_one() -> None:
    stored, late = observation(valueInteger=1), observation(valueInteger=9, **HIGH)
    assert reconciled(stored, write(late, EARLY), NOW).resource == stored
    same_value = observation(valueInteger=1, **HIGH)
    assert reconciled(stored, write(same_value, EARLY), NOW).resource == same_value


def test_order_does_not_open_what_its_result_has_closed() -> None:
    stored = {"resourceType": "ServiceRequest", "status": "completed"}
    order = {"resourceType": "ServiceRequest", "status": "active", "authoredOn": "2026"}
    found = reconciled(stored, write(order), None).resource
    assert found == {**stored, "authoredOn": "2026"}
    assert reconciled(stored, write(order), EARLY).resource == order


def test_contained_person_of_another_field_keeps_its_name() -> None:
    old = {"resourceType": "Practitioner", "id": "person1", "name": [{"family": "Old"}]}
    new = {**old, "name": [{"family": "New"}]}
    stored = observation(
        contained=[old], note=[{"authorReference": {"reference": "#person1"}, "text": "x"}]
    )
    given = observation(contained=[new], performer=[{"reference": "#person1"}])
    found = reconciled(stored, write(given), EARLY).resource
    assert found["contained"] == [old, {**new, "id": "person1-2"}]
    assert found["performer"] == [{"reference": "#person1-2"}]
    again = reconciled(found, write(given), EARLY).resource
    assert same(again, found)


def test_contained_person_to_whom_nothing_refers_any_more_is_gone() -> None:
    old = {"resourceType": "Practitioner", "id": "person1", "name": [{"family": "Old"}]}
    new = {**old, "name": [{"family": "New"}]}
    stored = observation(contained=[old], performer=[{"reference": "#person1"}])
    given = observation(contained=[new], performer=[{"reference": "#person1"}])
    found = reconciled(stored, write(given), EARLY).resource
    assert found["contained"] == [{**new, "id": "person1-2"}]


def test_nothing_that_is_given_is_changed() -> None:
    stored, given = patient(id="1", name=[{"family": "A"}]), patient(name=[{"family": "B"}])
    before = copy.deepcopy((stored, given))
    reconciled(stored, write(given), EARLY)
    reconciled(stored, write(given, EARLY), NOW)
    assert (stored, given) == before


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        (Decimal("1.4"), Decimal("1.40"), False),
        ({"a": [1, {"b": "x"}]}, {"a": [1, {"b": "x"}]}, True),
        ({"a": 1}, {"a": 1, "b": 2}, False),
        ([1, 2], [2, 1], False),
        (True, 1, False),
        ("1", 1, False),
    ],
)
def test_same_sees_digits(one: Any, other: Any, *, equal: bool) -> None:
    assert same(one, other) is equal
