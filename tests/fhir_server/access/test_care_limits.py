"""What staff see because of a care relationship or an order."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from interactions.searching import observation, patient, put, ref

from fhir_server.access import roles
from fhir_server.access.role_table import shipped
from fhir_server.access.roles import Person
from fhir_server.rights import Grant, Related

from .restricted import Asking, Json, asking, seen, status

pytestmark = pytest.mark.anyio
__all__ = ["asking"]

DOCTOR = "Practitioner/doctor"
PEOPLE = [
    {"resourceType": "Practitioner", "id": "doctor"},
    {"resourceType": "Practitioner", "id": "other"},
    {"resourceType": "Organization", "id": "clinic", "name": "Clinic"},
    {"resourceType": "Location", "id": "ward", "name": "Ward"},
    patient("ann"),
    patient("bob"),
    observation("of-ann", "Patient/ann"),
    observation("of-bob", "Patient/bob"),
]
EVERYTHING_OF_ANN = ["Observation/of-ann", "Patient/ann"]
ACT = "http://terminology.hl7.org/CodeSystem/v3-ActCode"


def day(offset: int) -> str:
    return (datetime.now(UTC) + timedelta(days=offset)).strftime("%Y-%m-%dT%H:%M:%SZ")


def encounter(state: str, **more: Any) -> Json:
    return {
        "resourceType": "Encounter",
        "id": "visit",
        "status": state,
        "class": {"system": ACT, "code": "AMB"},
        "subject": ref("Patient/ann"),
        "participant": [{"individual": ref(DOCTOR)}],
        **more,
    }


def finished(days_ago: int) -> Json:
    return encounter("finished", period={"start": day(-90), "end": day(-days_ago)})


def appointment(offset: int) -> Json:
    return {
        "resourceType": "Appointment",
        "id": "meeting",
        "status": "booked",
        "start": day(offset),
        "end": day(offset),
        "participant": [
            {"actor": ref("Patient/ann"), "status": "accepted"},
            {"actor": ref(DOCTOR), "status": "accepted"},
        ],
    }


def order(state: str, **more: Any) -> Json:
    return {
        "resourceType": "ServiceRequest",
        "id": "order",
        "status": state,
        "intent": "order",
        "subject": ref("Patient/ann"),
        **more,
    }


def related(*actors: str) -> tuple[Grant, ...]:
    limit = (Related(actors or (DOCTOR,)),)
    return (Grant("Patient", "rs", limit), Grant("Observation", "rs", limit))


async def found(client: httpx.AsyncClient) -> list[str]:
    places = [*(await seen(client, "/Observation")), *(await seen(client, "/Patient"))]
    for one in ("Patient/ann", "Patient/bob", "Observation/of-ann", "Observation/of-bob"):
        assert await status(client, f"/{one}") == (200 if one in places else 404)
    return places


CASES = {
    "planned-encounter": (encounter("planned"), True),
    "finished-29-days-ago": (finished(29), True),
    "finished-31-days-ago": (finished(31), False),
    "cancelled-encounter": (encounter("cancelled"), False),
    "appointment-in-6-days": (appointment(6), True),
    "appointment-6-days-ago": (appointment(-6), True),
    "appointment-in-8-days": (appointment(8), False),
    "appointment-8-days-ago": (appointment(-8), False),
    "author-of-an-open-order": (order("active", requester=ref(DOCTOR)), True),
    "order-completed-29-days-ago": (
        order("completed", performer=[ref(DOCTOR)], authoredOn=day(-29)),
        True,
    ),
    "order-completed-31-days-ago": (
        order("completed", performer=[ref(DOCTOR)], authoredOn=day(-31)),
        False,
    ),
    "order-of-another": (order("active"), False),
    "active-care-team": (
        {
            "resourceType": "CareTeam",
            "status": "active",
            "subject": ref("Patient/ann"),
            "participant": [{"member": ref(DOCTOR)}],
        },
        True,
    ),
}


def of(name: str, because: Json) -> list[Json]:
    """A patient of this name, a result of his, and what may relate him."""
    text = json.dumps({**because, "id": name}).replace("Patient/ann", f"Patient/{name}")
    return [patient(name), observation(name, f"Patient/{name}"), json.loads(text)]


async def test_care_relationship_shows_the_records_of_its_patient_alone(
    client: httpx.AsyncClient, asking: Asking
) -> None:
    cases = [one for name, (because, _) in CASES.items() for one in of(name, because)]
    general = patient("ann", generalPractitioner=[ref(DOCTOR)])
    entries = [
        {"resource": one, "request": {"method": "PUT", "url": f"{one['resourceType']}/{one['id']}"}}
        for one in [*PEOPLE[:4], general, *cases]
    ]
    bundle = {"resourceType": "Bundle", "type": "transaction", "entry": entries}
    answer = await client.post("/", json=bundle)
    assert answer.status_code == 200, answer.text
    asking.be(related())
    expected = [name for name, (_, is_related) in CASES.items() if is_related]
    shown = [one.partition("/")[2] for one in await seen(client, "/Patient?_count=100")]
    assert shown == sorted([*expected, "ann"])
    shown = [one.partition("/")[2] for one in await seen(client, "/Observation?_count=100")]
    assert shown == sorted(expected)


async def test_relationship_goes_with_the_resource_that_established_it(
    client: httpx.AsyncClient, asking: Asking
) -> None:
    await put(client, *PEOPLE, encounter("in-progress"))
    asking.be(related())
    assert await found(client) == EVERYTHING_OF_ANN
    asking.be_all()
    await put(client, encounter("in-progress", subject=ref("Patient/bob")))
    asking.be(related())
    assert await found(client) == ["Observation/of-bob", "Patient/bob"]
    asking.be_all()
    assert (await client.delete("/Encounter/visit")).status_code == 204
    asking.be(related())
    assert await found(client) == []


async def test_relationship_of_another_shows_nothing(
    client: httpx.AsyncClient, asking: Asking
) -> None:
    await put(client, *PEOPLE, encounter("in-progress"))
    asking.be(related("Practitioner/other", "PractitionerRole/doctor"))
    assert await found(client) == []


async def test_ward_shows_who_lies_there(client: httpx.AsyncClient, asking: Asking) -> None:
    others = [{"individual": ref("Practitioner/other")}]
    lies = {"participant": others, "location": [{"location": ref("Location/ward")}]}
    await put(client, *PEOPLE, encounter("in-progress", **lies))
    asking.be(related("Location/ward"))
    assert await found(client) == EVERYTHING_OF_ANN
    asking.be_all()
    await put(client, encounter("finished", period={"end": day(0)}, **lies))
    asking.be(related("Location/ward"))
    assert await found(client) == []


def role(name: str) -> tuple[Grant, ...]:
    person = Person(DOCTOR, (DOCTOR,))
    return roles.wall(shipped(), [name], person, {"admin_clinical": True})


LABORATORY = {"coding": [{"system": "http://snomed.info/sct", "code": "108252007"}]}
OBSERVATION = "http://terminology.hl7.org/CodeSystem/observation-category"


async def test_laboratory_sees_results_of_its_category_for_whom_there_is_an_order(
    client: httpx.AsyncClient, asking: Asking
) -> None:
    category = [{"coding": [{"system": OBSERVATION, "code": "laboratory"}]}]
    await put(
        client,
        *PEOPLE,
        observation("sodium-ann", "Patient/ann", category=category),
        observation("sodium-bob", "Patient/bob", category=category),
        order("active", category=[LABORATORY]),
    )
    asking.be(role("LAB_STAFF"), user=DOCTOR)
    assert await seen(client, "/Patient") == ["Patient/ann"]
    assert await seen(client, "/Observation") == ["Observation/sodium-ann"]
    assert await status(client, "/Observation/sodium-bob") == 404
    assert await seen(client, "/Observation?subject=Patient/bob") == []
    asking.be_all()
    await put(client, order("entered-in-error", category=[LABORATORY]))
    asking.be(role("LAB_STAFF"), user=DOCTOR)
    assert await seen(client, "/Observation") == []


async def test_content_of_a_patient_is_seen_by_who_cares_for_that_patient(
    client: httpx.AsyncClient, asking: Asking
) -> None:
    content = {"resourceType": "Binary", "contentType": "text/plain", "data": "YQ=="}
    of = [
        {**content, "id": name, "securityContext": ref(f"Patient/{name}")}
        for name in ("ann", "bob")
    ]
    await put(client, *PEOPLE, encounter("in-progress"), *of, {**content, "id": "of-nobody"})
    asking.be(role("DOCTOR"), user=DOCTOR)
    codes = [await status(client, f"/Binary/{name}") for name in ("ann", "bob", "of-nobody")]
    assert codes == [200, 404, 404]


async def test_doctor_may_not_make_a_relationship_for_himself(
    client: httpx.AsyncClient, asking: Asking
) -> None:
    await put(client, *PEOPLE)
    asking.be(role("DOCTOR"), user=DOCTOR)
    visit = {key: value for key, value in encounter("in-progress").items() if key != "id"}
    answer = await client.post("/Encounter", json=visit)
    assert answer.status_code in (403, 422), answer.text
    assert await seen(client, "/Patient") == []


async def test_doctor_may_not_move_a_relationship_to_another_patient(
    client: httpx.AsyncClient, asking: Asking
) -> None:
    await put(client, *PEOPLE, encounter("in-progress"))
    asking.be(role("DOCTOR"), user=DOCTOR)
    moved = encounter("in-progress", subject=ref("Patient/bob"))
    answer = await client.put("/Encounter/visit", json=moved)
    assert answer.status_code in (403, 422), answer.text
    assert await seen(client, "/Patient") == ["Patient/ann"]
    answer = await client.put("/Encounter/visit", json=encounter("onleave"))
    assert answer.status_code == 200, answer.text
