"""`_filter` over references: what its brackets bind, and what it costs."""

import httpx
import pytest

from fhir_server.config import Settings
from fhir_server.server import Server

from .searching import Json, get, ids, links, observation, patient, ref, shown, store

RESOURCES: list[Json] = [
    {"resourceType": "Organization", "id": "hill", "name": "Hill"},
    {
        "resourceType": "Organization",
        "id": "lake",
        "name": "Lake",
        "partOf": ref("Organization/hill"),
    },
    patient(
        "ann",
        name=[{"family": "Rao"}],
        gender="female",
        birthDate="1980-01-01",
        managingOrganization=ref("Organization/lake"),
    ),
    patient("bob", name=[{"family": "Das"}], gender="male", birthDate="1990-01-01"),
    # Linked to a female and to a Das, but to no female Das.
    patient("cy", "ann", "bob", name=[{"family": "Iyer"}]),
    patient("di", "eve", name=[{"family": "Sen"}]),
    patient("eve", name=[{"family": "Das"}], gender="female"),
    {"resourceType": "Device", "id": "dev", "deviceName": [{"name": "Rao", "type": "other"}]},
    observation("o1", "Patient/ann", "pulse"),
    observation("o2", "Patient/bob", "pulse", hasMember=[ref("Observation/o1")]),
    observation("o3", "Device/dev", "pulse"),
    observation("o4", "Patient/none", "height"),
]


@pytest.fixture
async def filled(server: Server, client: httpx.AsyncClient) -> httpx.AsyncClient:
    await store(server, RESOURCES)
    return client


@pytest.mark.parametrize(
    ("path", "text", "expected"),
    [
        ("Observation", "patient.name eq rao", "o1"),
        ("Observation", "subject.name eq rao", "o1"),
        ("Observation", "patient.name ne rao", "o2"),
        ("Observation", "not(patient.name eq rao)", "o2 o3 o4"),
        ("Observation", "patient.organization.name eq lake", "o1"),
        ("Observation", "patient.organization.partof.name sw hi", "o1"),
        ("Observation", "has-member.patient.gender eq female", "o2"),
        ("Observation", "patient.birthdate lt 1985 or patient.name eq das", "o1 o2"),
        ("Observation", "subject.device-name eq rao", "o3"),
        ("Observation", "subject re Device/dev", "o3"),
        ("Observation", "patient.organization pr true", "o1"),
        ("Observation", "patient.organization pr false", "o2"),
        ("Observation", "code eq pulse and not(subject re Patient/ann)", "o2 o3"),
        ("Observation", "patient[gender eq male].name eq das", "o2"),
        ("Observation", "patient[gender eq female].name eq das", ""),
        ("Observation", "patient[not(gender eq male)].name pr true", "o1"),
        (
            "Observation",
            "patient[organization[partof.name sw h].name co ak].name eq rao",
            "o1",
        ),
        ("Patient", "link.gender eq female and link.family eq das", "cy di"),
        ("Patient", "link[gender eq female].family eq das", "di"),
        ("Patient", "link[gender eq male or birthdate lt 1985].family eq rao", "cy"),
        ("Patient", "family eq rao or family eq das and gender eq female", "ann eve"),
        ("Patient", "family eq rao or (family eq das and gender eq male)", "ann bob"),
        ("Patient", "_id eq ann or _id eq bob", "ann bob"),
        ("Patient", "_id eq ann and _id eq bob", ""),
    ],
)
async def test_finding(path: str, text: str, expected: str, filled: httpx.AsyncClient) -> None:
    url = str(httpx.URL(f"/{path}", params={"_filter": text}))
    assert ids(await get(filled, url)) == expected


async def test_filters_and_parameters_are_all_met(filled: httpx.AsyncClient) -> None:
    asked = "/Patient?_filter=family eq das&_filter=gender eq female or gender eq male&gender=male"
    assert ids(await get(filled, asked)) == "bob"


async def test_a_filter_pages_and_shows_in_the_self_link(filled: httpx.AsyncClient) -> None:
    first = await get(filled, '/Patient?_filter=family sw "d" or family sw r&_count=2&_sort=_id')
    assert (first["total"], shown(first)) == (3, ["Patient/ann", "Patient/bob"])
    assert "_filter=family%20sw%20%22d%22%20or%20family%20sw%20r" in links(first)["self"]
    assert shown(await get(filled, links(first)["next"])) == ["Patient/eve"]


async def test_a_filter_may_come_in_a_form_and_be_a_criterion(filled: httpx.AsyncClient) -> None:
    form = {"_filter": 'family eq "Rao"'}
    answer = await filled.post("/Patient/_search", data=form)
    assert ids(answer.json()) == "ann"
    body = patient("ann")
    answer = await filled.put("/Patient", params=form, json=body)
    assert answer.status_code == 200


async def test_scores_of_a_filter_order_nothing(filled: httpx.AsyncClient) -> None:
    text = "_filter=gender eq female"
    plain = await get(filled, f"/Patient?{text}")
    assert shown(await get(filled, f"/Patient?{text}&_sort=-_score")) == shown(plain)
    scored = await get(filled, f"/Patient?{text}&_sort=_score,-birthdate")
    assert shown(scored) == ["Patient/ann", "Patient/eve"]
    for sort in ("_score", "-_score", "_id,_score"):
        refused = await get(filled, f"/Patient?_sort={sort}", 400)
        assert refused["issue"][0]["expression"] == ["_sort"]


@pytest.mark.parametrize(
    "text",
    [
        "(" * 5_000,
        "not(" * 3_000,
        "link[" * 3_000,
        " or ".join(["gender eq male"] * 800),
        'name eq "' + "x" * 10_000,
        "link." * 2_000 + "name eq x",
    ],
    ids=["(", "not", "[", "or", "string", "path"],
)
async def test_bombs_are_refused(text: str, client: httpx.AsyncClient) -> None:
    refused = await client.post("/Patient/_search", data={"_filter": text})
    assert refused.status_code == 400
    (issue,) = refused.json()["issue"]
    assert issue["expression"] == ["_filter"]
    assert len(issue["details"]["text"]) < 300


async def test_ten_thousand_parts_are_refused(client: httpx.AsyncClient) -> None:
    text = " and ".join(["gender eq male"] * 10_000)
    refused = await client.post("/Patient/_search", data={"_filter": text})
    assert refused.status_code == 400
    assert "too many parts" in refused.json()["issue"][0]["details"]["text"]


async def test_a_hundred_alternating_parts_are_answered(filled: httpx.AsyncClient) -> None:
    text = " or ".join(["family eq rao and not(gender eq male)"] * 33)
    answer = await filled.post("/Patient/_search", data={"_filter": text})
    assert (answer.status_code, ids(answer.json())) == (200, "ann")


@pytest.fixture
def settings(settings: Settings, request: pytest.FixtureRequest) -> Settings:
    limits = settings.limits.model_copy(update=getattr(request, "param", {}))
    return settings.model_copy(update={"limits": limits})


@pytest.mark.parametrize("settings", [{"filter_nodes": 2, "filter_depth": 1}], indirect=True)
async def test_the_caps_are_settings(client: httpx.AsyncClient) -> None:
    await get(client, "/Patient?_filter=(name eq x)")
    await get(client, "/Patient?_filter=((name eq x))", 400)
    await get(client, "/Patient?_filter=(name eq x or name eq y)", 400)
