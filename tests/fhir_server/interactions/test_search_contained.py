"""Chains into contained resources."""

import json
from dataclasses import replace

import httpx
import pytest

from fhir_server.database import Database
from fhir_server.interactions import reindex
from fhir_server.search.registry import Registry
from fhir_server.server import Server

from .searching import Json, get, ids, issues, links, observation, patient, put, ref, shown, store


def inside(kind: str, id_: str, **more: object) -> Json:
    return {"resourceType": kind, "id": id_, **more}


def named(id_: str, family: str, **more: object) -> Json:
    return inside("Patient", id_, name=[{"family": family}], **more)


PERFORMERS = [
    inside("Practitioner", "d1", name=[{"family": "Rao"}], gender="male"),
    inside("Practitioner", "d2", name=[{"family": "Das"}], gender="female"),
]
# Ids and names are one another's, so that whatever is confused is found.
RESOURCES: list[Json] = [
    patient("p1", name=[{"family": "Stored"}], gender="female", birthDate="1980-05-05"),
    patient("Rao", name=[{"family": "o1"}], gender="male"),
    inside("Organization", "g", name="Stored trust"),
    observation("stored", "Patient/p1"),
    observation(
        "o1",
        "#p1",
        contained=[
            named("p1", "Rao", gender="male", birthDate="1990-01-01", active=True),
            named("p2", "Unused", gender="female"),
        ],
    ),
    observation(
        "o2",
        "#p1",
        contained=[
            named("p1", "Das", managingOrganization=ref("#org"), generalPractitioner=[ref("#d")]),
            inside("Organization", "org", name="Rao clinic", partOf=ref("Organization/g")),
            inside("Practitioner", "d", name=[{"family": "கிருஷ்ணன்"}]),
        ],
    ),
    observation(
        "o3",
        "Patient/p1",
        performer=[ref("#d1"), ref("#d2"), ref("Organization/g")],
        contained=PERFORMERS,
    ),
    observation(
        "o4",
        "#loc",
        contained=[
            inside(
                "Location",
                "loc",
                position={"latitude": 18.5, "longitude": 73.8},
                type=[{"text": "Field hospital"}],
                partOf=ref("#loc"),
            )
        ],
    ),
    observation("o5", "#lost", contained=[]),
    observation("o6", "Group/rao"),
]


@pytest.fixture
async def filled(server: Server, client: httpx.AsyncClient) -> httpx.AsyncClient:
    await store(server, RESOURCES)
    return client


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("subject.name=rao", "o1"),
        ("subject:Patient.name=rao", "o1"),
        ("subject:Group.code=rao", ""),
        ("patient.name=rao", "o1"),
        ("subject.name=das", "o2"),
        ("subject.name=stored", "o3 stored"),
        ("subject.name=rao,stored", "o1 o3 stored"),
        ("subject.name=unused", ""),
        ("subject.name=o1", ""),
        ("patient.gender=male", "o1"),
        ("patient.gender=female", "o3 stored"),
        ("patient.gender:not=male", "o2 o3 stored"),
        ("patient.gender:missing=true", "o2"),
        ("patient.gender:missing=false", "o1 o3 stored"),
        ("patient.birthdate=ge1985", "o1"),
        ("patient.birthdate=lt1985", "o3 stored"),
        ("patient.birthdate=ge1985&patient.name=rao", "o1"),
        ("patient.birthdate=ge1985&patient.name=stored", ""),
        ("patient.active=true", "o1"),
        # One contained resource may refer to another, or to a stored one.
        ("patient.organization.name=rao", "o2"),
        ("patient.organization.partof.name=stored", "o2"),
        ("patient.general-practitioner:Practitioner.name=கிருஷ்ணன்", "o2"),
        ("patient.general-practitioner:Practitioner.name=கிருஷ்ணா", ""),
        ("patient.organization.name=stored", ""),
        # Two chains may be met by two targets, one chain by one.
        ("performer:Practitioner.name=rao", "o3"),
        ("performer:Practitioner.gender=female&performer:Practitioner.name=rao", "o3"),
        ('_filter=performer[gender eq "female" and family eq "rao"].given ne "x"', ""),
        ("_filter=performer[gender eq female].family eq das", "o3"),
        ("_filter=performer[gender eq female].family eq rao", ""),
        ("performer:Practitioner.gender:not=male", "o3"),
        ("performer:Organization.name=stored", "o3"),
        ("subject:Location.near=18.5|73.8|1|km", "o4"),
        ("subject:Location.near=19.5|73.8|1|km", ""),
        ("subject:Location.type:text=hospital", "o4"),
        ("subject:Location.type:text=das", ""),
        ("subject:Location.partof:missing=false", "o4"),
        # What only stored resources have is not asked of others.
        ("subject:Patient._id=p1", "o3 stored"),
        ("subject:Patient._id=d1", ""),
        ("subject:Patient._lastUpdated=gt2000", "o3 stored"),
        ("subject=Patient/p1", "o3 stored"),
        ("subject:Patient._content=rao", ""),
        ("_content=rao", "o1 o2 o3"),
    ],
)
async def test_chains_look_into_contained_resources(
    asked: str, expected: str, filled: httpx.AsyncClient
) -> None:
    assert ids(await get(filled, f"/Observation?{asked}")) == expected


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("Patient", "Patient/Rao Patient/p1"),
        ("Patient?name=rao", ""),
        ("Patient?gender=male", "Patient/Rao"),
        ("Patient?gender:not=female", "Patient/Rao"),
        ("Patient?birthdate=ge1900&_sort=birthdate", "Patient/p1"),
        ("Patient?_sort=name", "Patient/Rao Patient/p1"),
        ("Patient?_sort=-gender", "Patient/Rao Patient/p1"),
        ("Patient?_sort=_lastUpdated", "Patient/Rao Patient/p1"),
        ("Location?near=18.5|73.8|1|km", ""),
        ("Location?near:missing=true", ""),
        ("Location?type:text=hospital", ""),
        ("Organization", "Organization/g"),
        ("Organization?_has:Patient:organization:name=das", ""),
        ("Organization?_has:Organization:partof:name=rao", ""),
        ("Organization?_has:Organization:partof:name:missing=false", ""),
        ("?_type=Patient,Location,Organization", "Organization/g Patient/Rao Patient/p1"),
        ("?_lastUpdated=gt2000&_type=Patient,Practitioner", "Patient/Rao Patient/p1"),
        (
            "?_lastUpdated=gt2000",
            " ".join(sorted(f"{one['resourceType']}/{one['id']}" for one in RESOURCES)),
        ),
    ],
)
async def test_what_is_contained_is_found_by_chains_only(
    asked: str, expected: str, filled: httpx.AsyncClient
) -> None:
    bundle = await get(filled, f"/{asked}")
    assert sorted(shown(bundle)) == expected.split()
    assert bundle["total"] == len(expected.split())


async def test_what_is_contained_shortens_no_page(filled: httpx.AsyncClient) -> None:
    for asked in ("name:missing=false&_sort=name", "gender=male,female&_sort=-gender"):
        found, url = [], f"/Patient?{asked}&_count=1"
        while url:
            bundle = await get(filled, url)
            found += shown(bundle)
            url = links(bundle).get("next", "")
        assert sorted(found) == ["Patient/Rao", "Patient/p1"], asked


async def test_the_type_of_a_contained_resource_is_seen_from_another_one(
    server: Server, client: httpx.AsyncClient
) -> None:
    result = {**observation("r", "#p"), "id": "r"}
    report = {"resourceType": "DiagnosticReport", "status": "final", "code": {"text": "x"}}
    inner = [result, named("p", "Rao")]
    await store(server, [{**report, "id": "d", "result": [ref("#r")], "contained": inner}])
    assert ids(await get(client, "/DiagnosticReport?result.patient.name=rao")) == "d"
    assert ids(await get(client, "/DiagnosticReport?result.patient.name=das")) == ""


async def test_what_is_contained_is_not_included_twice(filled: httpx.AsyncClient) -> None:
    bundle = await get(filled, "/Observation?_include=*&_include:iterate=*&_id=o1,o2,o3")
    assert sorted(shown(bundle, "include")) == ["Organization/g", "Patient/p1"]
    bundle = await get(filled, "/Organization?_revinclude=Organization:partof&_revinclude=*")
    assert shown(bundle, "include") == ["Observation/o3"]
    assert not issues(bundle)


async def index_rows(database: Database) -> int:
    """How many rows are keyed as those of contained resources."""
    total = 0
    async with database.connection() as connection:
        for table, key in (
            *((name, "key") for name in ("resource", "terms", "idx_string", "idx_date")),
            *((name, "key") for name in ("idx_code", "idx_words", "idx_position")),
            ("edge", "source_key"),
        ):
            cursor = await connection.execute(f"SELECT count(*) FROM {table} WHERE {key} < 0")
            total += (await cursor.fetchall())[0][0]
        cursor = await connection.execute("SELECT count(*) FROM edge WHERE target_type < 0")
        return total + int((await cursor.fetchall())[0][0])


async def test_what_a_new_version_no_longer_contains_is_forgotten(
    server: Server, client: httpx.AsyncClient
) -> None:
    organization = inside("Organization", "org", name="Clinic")
    first = named("p1", "Rao", managingOrganization=ref("#org"))
    status: Json = {"contained": [first, organization]}
    await put(client, observation("o", "#p1", **status))
    assert ids(await get(client, "/Observation?patient.organization.name=clinic")) == "o"
    await put(client, observation("o", "#p1", contained=[named("p1", "Das")]))
    assert ids(await get(client, "/Observation?patient.name=rao")) == ""
    assert ids(await get(client, "/Observation?patient.organization.name=clinic")) == ""
    assert ids(await get(client, "/Observation?patient.name=das")) == "o"
    few = await index_rows(server.database)
    await put(client, observation("o", "#p1", **status))
    assert await index_rows(server.database) > few > 0
    await client.delete("/Observation/o")
    assert await index_rows(server.database) == 0


async def test_several_containers_are_written_in_one_bundle(client: httpx.AsyncClient) -> None:
    one, two = (observation(name, "#p", contained=[named("p", name)]) for name in ("alpha", "beta"))
    entries = [
        {"resource": one, "request": {"method": "PUT", "url": f"Observation/{one['id']}"}}
        for one in (one, two)
    ]
    body = {"resourceType": "Bundle", "type": "transaction", "entry": entries}
    for _ in range(2):
        assert (await client.post("", json=body)).status_code == 200
    assert ids(await get(client, "/Observation?subject.name=alpha")) == "alpha"
    assert ids(await get(client, "/Observation?subject.name=beta")) == "beta"


async def test_a_reindex_finds_what_was_stored_before(
    server: Server, client: httpx.AsyncClient
) -> None:
    known = server.registry
    server.in_force.registry = Registry.build(
        server.definitions, replace(known.context, contained=False, full_text=False)
    )
    body = observation("o", "#p", contained=[named("p", "Rao")])
    await store(server, [body, observation("other", "Patient/x")])
    assert await index_rows(server.database) == 0
    assert ids(await get(client, "/Observation?patient.name=rao")) == ""
    server.in_force.registry = known
    for _ in range(2):
        await reindex.ask(server, ["Observation"])
        await reindex.run(server, {})
        assert ids(await get(client, "/Observation?patient.name=rao")) == "o"
        assert ids(await get(client, "/Observation?_content=rao")) == "o"
        assert ids(await get(client, "/Observation")) == "o other"
    rows = await index_rows(server.database)
    server.in_force.registry = Registry.build(
        server.definitions, replace(known.context, contained=False)
    )
    await reindex.ask(server, ["Observation"])
    await reindex.run(server, {})
    assert (rows > 0, await index_rows(server.database)) == (True, 0)


async def test_what_a_contained_resource_refers_to_is_not_deleted_before_its_container(
    client: httpx.AsyncClient,
) -> None:
    fhir = {"content-type": "application/fhir+json"}
    ward = {"resourceType": "Organization", "id": "ward", "name": "Ward"}
    await client.put("/Organization/ward", content=json.dumps(ward), headers=fhir)
    role = {
        "resourceType": "PractitionerRole",
        "id": "r",
        "organization": {"reference": "Organization/ward"},
    }
    order = {
        "resourceType": "ServiceRequest",
        "id": "order",
        "contained": [role],
        "status": "active",
        "intent": "order",
        "subject": {"display": "someone"},
        "requester": {"reference": "#r"},
    }
    stored = await client.put("/ServiceRequest/order", content=json.dumps(order), headers=fhir)
    assert stored.status_code == 201, stored.text
    refused = await client.delete("/Organization/ward")
    entries = [
        {"request": {"method": "DELETE", "url": url}}
        for url in ("Organization/ward", "ServiceRequest/order")
    ]
    both = {"resourceType": "Bundle", "type": "transaction", "entry": entries}
    done = await client.post("", content=json.dumps(both), headers=fhir)
    assert (stored.status_code, refused.status_code, done.status_code) == (201, 409, 200)
