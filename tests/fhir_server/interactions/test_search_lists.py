"""`_list`: what a List names, and the current lists of a patient."""

from urllib.parse import quote

import httpx
import pytest

from fhir_server.server import Server

from .searching import Json, get, ids, links, observation, patient, ref, shown, store

BASE = "http://testserver/fhir"


def list_(id_: str, *places: str, deleted: tuple[str, ...] = ()) -> Json:
    entries = [{"item": ref(place)} for place in places]
    gone = [{"item": ref(place), "deleted": True} for place in deleted]
    kept = [{"item": ref(place), "deleted": False} for place in ("Patient/di",)]
    return {
        "resourceType": "List",
        "id": id_,
        "status": "current",
        "mode": "changes",
        "entry": [*entries, *gone, *kept],
    }


RESOURCES: list[Json] = [
    *(patient(one) for one in ("ann", "bob", "cy", "di")),
    observation("ann", "Patient/ann"),
    observation("o", "Patient/ann"),
    list_(
        "l",
        "Patient/ann",
        f"{BASE}/Patient/bob",
        "http://other.example/fhir/Patient/cy",
        "Patient/nobody",
        "Observation/o/_history/1",
        "#inside",
        deleted=("Patient/cy",),
    ),
    list_("m", "Patient/cy"),
    {"resourceType": "List", "id": "empty", "status": "current", "mode": "working"},
]


@pytest.fixture
async def filled(server: Server, client: httpx.AsyncClient) -> httpx.AsyncClient:
    await store(server, RESOURCES)
    return client


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("Patient?_list=l", "ann bob di"),
        ("Patient?_list=List/l", "ann bob di"),
        (f"Patient?_list={BASE}/List/l", "ann bob di"),
        ("Patient?_list=l&_id=ann,cy", "ann"),
        ("Patient?_list=m", "cy di"),
        ("Patient?_list=l,m", "ann bob cy di"),
        ("Patient?_list=l&_list=m", "di"),
        ("Patient?_list=empty", ""),
        ("Observation?_list=l", "o"),
        ("?_list=l", "ann bob di o"),
        ("?_list=l&_type=Observation,Encounter", "o"),
        ("Patient/ann/Observation?_list=l", "o"),
        ("Encounter?_list=l", ""),
    ],
)
async def test_items_that_are_not_deleted(
    asked: str, expected: str, filled: httpx.AsyncClient
) -> None:
    bundle = await get(filled, f"/{asked}")
    assert (ids(bundle), bundle["total"]) == (expected, len(expected.split()))


async def test_a_list_pages_and_is_sorted(filled: httpx.AsyncClient) -> None:
    first = await get(filled, "/Patient?_list=l&_sort=-_id&_count=2")
    assert shown(first) == ["Patient/di", "Patient/bob"]
    assert links(first)["self"].endswith("/Patient?_list=l&_sort=-_id&_count=2")
    assert shown(await get(filled, links(first)["next"])) == ["Patient/ann"]


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        ("Patient?_list=none", "not-found"),
        ("Patient?_list=l,none", "not-found"),
        ("Patient?_list=Patient/ann", "value"),
        ("Patient?_list=l,", "value"),
        ("Patient?_list=http://other.example/fhir/List/l", "value"),
        ("Patient?_list=List/l/_history/1", "value"),
        ("Patient?_list=l,$current-problems", "value"),
        ("Patient?_list:not=l", "not-supported"),
        ("Observation?patient._list=l", "not-supported"),
        ("Condition?_list=$current-something&patient=ann", "not-supported"),
        ("Observation?_list=$current-problems&patient=ann", "value"),
        ("Condition?_list=$current-problems", "required"),
        ("Condition?_list=$current-problems&patient:missing=false", "required"),
        ("Condition?_list=$current-problems&_list=l", "required"),
        ("Practitioner/x/Condition?_list=$current-problems", "required"),
    ],
)
async def test_refusals(asked: str, code: str, filled: httpx.AsyncClient) -> None:
    (issue,) = (await get(filled, f"/{asked}", 400))["issue"]
    assert issue["code"] == code


async def test_a_deleted_list_is_none(filled: httpx.AsyncClient) -> None:
    assert (await filled.delete("/List/m")).status_code == 204
    await get(filled, "/Patient?_list=m", 400)


def coded(system: str, code: str) -> Json:
    return {"coding": [{"system": f"http://terminology.hl7.org/CodeSystem/{system}", "code": code}]}


def problem(id_: str, clinical: str = "", verified: str = "", who: str = "ann") -> Json:
    found: Json = {"resourceType": "Condition", "id": id_, "subject": ref(f"Patient/{who}")}
    if clinical:
        found["clinicalStatus"] = coded("condition-clinical", clinical)
    if verified:
        found["verificationStatus"] = coded("condition-ver-status", verified)
    return found


def allergy(
    id_: str, clinical: str, category: str = "", verified: str = "confirmed", who: str = "ann"
) -> Json:
    return {
        "resourceType": "AllergyIntolerance",
        "id": id_,
        "patient": ref(f"Patient/{who}"),
        "clinicalStatus": coded("allergyintolerance-clinical", clinical),
        "verificationStatus": coded("allergyintolerance-verification", verified),
        **({"category": [category]} if category else {}),
    }


def medication(type_name: str, id_: str, status: str, who: str = "ann") -> Json:
    return {
        "resourceType": type_name,
        "id": id_,
        "status": status,
        "subject": ref(f"Patient/{who}"),
        "medicationCodeableConcept": {"text": "x"},
        **({"intent": "order"} if type_name == "MedicationRequest" else {}),
    }


CURRENT: list[Json] = [
    patient("ann"),
    patient("bob"),
    problem("active", "active"),
    problem("again", "recurrence"),
    problem("worse", "relapse", "provisional"),
    problem("unsaid"),
    problem("inactive", "inactive"),
    problem("remission", "remission"),
    problem("resolved", "resolved"),
    problem("refuted", "active", "refuted"),
    problem("error", "", "entered-in-error"),
    problem("bobs", "active", who="bob"),
    allergy("penicillin", "active", "medication"),
    allergy("unknown", "active"),
    allergy("nuts", "active", "food"),
    allergy("over", "resolved", "medication"),
    allergy("wrong", "active", "medication", "refuted"),
    allergy("bobs", "active", "medication", who="bob"),
    medication("MedicationStatement", "takes", "active"),
    medication("MedicationStatement", "took", "completed"),
    medication("MedicationStatement", "bobs", "active", "bob"),
    medication("MedicationRequest", "asked", "active"),
    medication("MedicationRequest", "stopped", "stopped"),
]


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("Condition?_list=$current-problems&patient=ann", "active again unsaid worse"),
        ("Condition?subject=Patient/ann&_list=$current-problems", "active again unsaid worse"),
        ("Condition?_list=$current-problems&patient:Patient=bob", "bobs"),
        ("Patient/ann/Condition?_list=$current-problems", "active again unsaid worse"),
        ("Condition?_list=$current-problems&patient=ann&clinical-status=relapse", "worse"),
        ("AllergyIntolerance?_list=$current-allergies&patient=ann", "nuts penicillin unknown"),
        ("AllergyIntolerance?_list=$current-drug-allergies&patient=ann", "penicillin unknown"),
        ("MedicationStatement?_list=$current-medications&patient=ann", "takes"),
        ("MedicationRequest?_list=$current-medications&patient=ann", "asked"),
        (
            "?_type=MedicationRequest,MedicationStatement&_list=$current-medications&patient=ann",
            "asked takes",
        ),
    ],
)
async def test_current_lists(
    asked: str, expected: str, server: Server, client: httpx.AsyncClient
) -> None:
    await store(server, CURRENT)
    path, _, query = asked.partition("?")
    assert ids(await get(client, f"/{path}?{quote(query, safe='=&/:')}")) == expected
