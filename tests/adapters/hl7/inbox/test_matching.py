from typing import Any

import pytest

from adapters.hl7.inbox.matching import (
    clashes,
    matched,
    refuse_other_order,
    refuse_other_patient,
    tokens,
)
from adapters.hl7.inbox.snapshot import Snapshot
from adapters.hl7.mapping.context import Refusal, Write
from fhir_server.interactions.held import Held
from fhir_server.r4 import json

ALL = ("national", "MR", "PI", "other")


def typed(value: str, code: str = "", system: str = "s") -> dict[str, Any]:
    kind = {"type": {"coding": [{"code": code}]}} if code else {}
    return {**kind, "system": system, "value": value}


def write(kind: str, *identifiers: dict[str, Any], **said: Any) -> Write:
    resource = {"resourceType": kind, "identifier": list(identifiers), **said}
    identity = tuple(f"{one['system']}|{one['value']}" for one in identifiers)
    return Write("PUT", "urn:uuid:1", identity, resource)


def snapshot(**stored: dict[str, Any]) -> Snapshot:
    """Return what is stored: `Patient_1={...}`, found by each of its identifiers."""
    ids: dict[tuple[str, str], tuple[str, ...]] = {}
    held = {}
    for name, resource in stored.items():
        kind, _, id_ = name.partition("_")
        held[f"{kind}/{id_}"] = Held(1, json.encode({"resourceType": kind, **resource}))
        for one in resource.get("identifier", ()):
            token = (kind, f"{one['system']}|{one['value']}")
            ids[token] = (*ids.get(token, ()), id_)
    return Snapshot(ids, held)


def found(given: Write, there: Snapshot) -> str | None:
    return matched(given, tokens(given, ALL, {}), there)


def reason(given: Write, there: Snapshot) -> str:
    with pytest.raises(Refusal) as refusal:
        found(given, there)
    return refusal.value.reason


def person(*identifiers: dict[str, Any], **said: Any) -> dict[str, Any]:
    return {"identifier": list(identifiers), **said}


def test_patient_is_found_by_any_identifier() -> None:
    there = snapshot(Patient_1=person(typed("A")), Patient_2=person(typed("B")))
    assert found(write("Patient", typed("X"), typed("B")), there) == "Patient/2"
    assert found(write("Patient", typed("X")), there) is None


def test_identifiers_of_two_patients_are_ambiguous() -> None:
    there = snapshot(Patient_1=person(typed("A")), Patient_2=person(typed("B")))
    assert reason(write("Patient", typed("A"), typed("B")), there) == "AMBIGUOUS_PATIENT"


def test_merged_patient_is_found_as_the_survivor() -> None:
    def link(id_: str) -> dict[str, Any]:
        return {"link": [{"type": "replaced-by", "other": {"reference": f"Patient/{id_}"}}]}

    there = snapshot(
        Patient_1=person(typed("A"), **link("2")),
        Patient_2=person(typed("B"), **link("3")),
        Patient_3=person(typed("A"), typed("C")),
    )
    assert found(write("Patient", typed("A"), typed("B")), there) == "Patient/3"


def test_untrusted_identifier_never_says_who_somebody_is() -> None:
    given = write("Patient", typed("A", system="ward"), typed("B", "MR"))
    trust = {"ward": "none"}
    assert tokens(given, ALL, trust) == ("s|B",)
    with pytest.raises(Refusal) as refusal:
        tokens(write("Patient", typed("A", system="ward")), ALL, trust)
    assert refusal.value.reason == "NO_PATIENT_ID"


def test_identifiers_come_in_the_order_of_trust() -> None:
    given = write(
        "Patient", typed("A"), typed("B", "PI"), typed("C", "MR"), typed("D"), typed("E", "NI")
    )
    assert tokens(given, ALL, {}) == ("s|E", "s|C", "s|B", "s|A", "s|D")
    assert tokens(given, ("MR",), {}) == ("s|C",)


def order(*identifiers: dict[str, Any], code: str = "GLU") -> dict[str, Any]:
    return {"identifier": list(identifiers), "code": {"coding": [{"code": code}]}}


def asked(*identifiers: dict[str, Any], code: str = "GLU") -> Write:
    given = write("ServiceRequest", *identifiers, code={"coding": [{"code": code}]})
    return Write("PUT", given.full_url, given.identity[:1], given.resource)


P1, P2, F1, F2 = (
    typed("P1", "PLAC"),
    typed("P2", "PLAC"),
    typed("F1", "FILL"),
    typed("F2", "FILL"),
)


@pytest.mark.parametrize(
    ("given", "stored", "expected"),
    [
        pytest.param((P1, F1), [order(P1)], "1", id="by placer"),
        pytest.param((F1,), [order(P1, F1)], "1", id="by filler alone"),
        pytest.param((P1, F1), [order(F1)], "1", id="by filler, as the placer is new"),
        pytest.param((P1, F1), [order(P1, F1), order(P2, F1)], "1", id="accession, known"),
        pytest.param((P2, F1), [order(P1, F1)], None, id="accession, new order under it"),
        pytest.param((P2, F1), [order(P2), order(P1, F1)], "1", id="accession, order without it"),
        pytest.param((P1,), [order(P2)], None, id="another order"),
    ],
)
def test_order_is_found(
    given: tuple[dict[str, Any], ...], stored: list[dict[str, Any]], expected: str | None
) -> None:
    there = snapshot(**{f"ServiceRequest_{n}": one for n, one in enumerate(stored, 1)})
    reference = expected and f"ServiceRequest/{expected}"
    assert found(asked(*given), there) == reference


@pytest.mark.parametrize("system", ["urn:oid:1.2.3", "urn:uuid:4", "http://lis.example"])
def test_filler_number_names_an_order_whatever_its_system(system: str) -> None:
    filler = typed("F1", "FILL", system)
    there = snapshot(ServiceRequest_1=order(filler))
    given = asked(typed("P1", "PLAC", system), filler)
    assert found(given, there) == "ServiceRequest/1"


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        pytest.param((P1, F2), [order(P1, F1), order(P2, F2)], id="numbers of two orders"),
        pytest.param((P1, F1), [order(P1), order(F1)], id="one by placer, one by filler"),
        pytest.param((F1,), [order(P1, F1, code="A"), order(P2, F1, code="B")], id="no code"),
    ],
)
def test_order_that_could_be_two_is_ambiguous(
    given: tuple[dict[str, Any], ...], stored: list[dict[str, Any]]
) -> None:
    there = snapshot(**{f"ServiceRequest_{n}": one for n, one in enumerate(stored, 1)})
    assert reason(asked(*given), there) == "AMBIGUOUS_ORDER"


def test_orders_of_one_accession_are_told_apart_by_their_code() -> None:
    there = snapshot(
        ServiceRequest_1=order(P1, F1, code="A"), ServiceRequest_2=order(P2, F1, code="B")
    )
    assert found(asked(F1, code="B"), there) == "ServiceRequest/2"


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        pytest.param([order(P1)], "1", id="came alone"),
        pytest.param([order(P1, code="OTHER")], None, id="of another code"),
        pytest.param([order(P1), order(P1, typed("key"))], "2", id="of the key"),
        pytest.param([order(P2)], None, id="another number"),
    ],
)
def test_order_named_by_number_and_code_is_found(
    stored: list[dict[str, Any]], expected: str | None
) -> None:
    there = snapshot(**{f"ServiceRequest_{n}": one for n, one in enumerate(stored, 1)})
    given = asked(typed("key"), P1, F1)
    assert found(given, there) == (expected and f"ServiceRequest/{expected}")


def report(*numbers: dict[str, Any], at: str = "2026-01-01") -> dict[str, Any]:
    return {
        "resourceType": "DiagnosticReport",
        "identifier": list(numbers),
        "effectiveDateTime": at,
    }


def test_report_of_another_order_and_time_is_ambiguous() -> None:
    with pytest.raises(Refusal) as refusal:
        refuse_other_order(report(P2, F1, at="2026-01-02"), report(P1, F1))
    assert refusal.value.reason == "AMBIGUOUS_ORDER"


@pytest.mark.parametrize(
    "given",
    [
        pytest.param(report(P2, F1), id="its order has another number"),
        pytest.param(report(P1, F1, at="2026-01-02"), id="its time was corrected"),
        pytest.param(report(F1, at="2026-01-02"), id="no placer number"),
        pytest.param(report(typed("P2", "PLAC", "t"), at="2026-01-02"), id="of another system"),
    ],
)
def test_report_may_change_its_number_or_its_time(given: dict[str, Any]) -> None:
    refuse_other_order(given, report(P1, F1))


def test_visit_is_that_of_its_first_number() -> None:
    there = snapshot(Encounter_1=person(typed("V1")), Encounter_2=person(typed("A1")))
    assert found(write("Encounter", typed("V1"), typed("A1")), there) == "Encounter/1"


STORED = {"subject": {"reference": "Patient/1"}}


@pytest.mark.parametrize("kind", ["DiagnosticReport", "Specimen", "Encounter", "ServiceRequest"])
def test_number_of_another_patient_is_a_conflict(kind: str) -> None:
    with pytest.raises(Refusal) as refusal:
        refuse_other_patient({"resourceType": kind}, STORED, "Patient/2")
    assert refusal.value.reason == "PATIENT_CONFLICT"


@pytest.mark.parametrize(
    ("kind", "subject"), [("DiagnosticReport", "Patient/1"), ("Device", "Patient/2")]
)
def test_number_of_the_same_patient_or_of_nobody_is_none(kind: str, subject: str) -> None:
    refuse_other_patient({"resourceType": kind}, STORED, subject)


@pytest.mark.parametrize(
    ("given", "clash"),
    [
        ({"birthDate": "1980-01-02"}, False),
        ({"birthDate": "1980"}, False),
        ({"birthDate": "1981"}, True),
        ({"gender": "female"}, True),
        ({"gender": "unknown"}, False),
        ({"name": [{"family": "RAO"}]}, False),
        ({"name": [{"family": "Iyer"}]}, True),
        ({}, False),
    ],
)
def test_demographics_clash(given: dict[str, Any], *, clash: bool) -> None:
    stored = {"birthDate": "1980-01-02", "gender": "male", "name": [{"family": "Rao"}]}
    assert clashes(given, stored) is clash
