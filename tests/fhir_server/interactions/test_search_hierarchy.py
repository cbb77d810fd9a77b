"""`above` and `below` of references: what lies in what, however deep."""

import httpx
import pytest

from fhir_server.server import Server

from .searching import Json, get, ids, patient, put, ref, store


def place(id_: str, within: str = "", type_name: str = "Location", **more: object) -> Json:
    up = {"partOf": ref(within if "/" in within else f"{type_name}/{within}")} if within else {}
    return {"resourceType": type_name, "id": id_, **up, **more}


def encounter(id_: str, *places: str, **more: object) -> Json:
    locations = [{"location": ref(f"Location/{one}")} for one in places]
    return {
        "resourceType": "Encounter",
        "id": id_,
        "status": "planned",
        "class": {"code": "AMB"},
        **({"location": locations} if places else {}),
        **more,
    }


# site > building > ward > room > bed; "other" beside; a circle; a name that is an id.
RESOURCES: list[Json] = [
    place("site"),
    place("building", "site"),
    place("ward", "building"),
    place("room", "ward"),
    place("bed", "room"),
    place("other", "site", name="ward"),
    place("hut", "other"),
    place("site-2"),
    place("ward-2", "site-2"),
    place("ring-1", "ring-3"),
    place("ring-2", "ring-1"),
    place("ring-3", "ring-2"),
    place("self", "self"),
    place("foreign", "https://elsewhere.org/fhir/Location/ward"),
    place("versioned", "Location/room/_history/1"),
    place("ward", type_name="Organization"),
    place("clinic", "ward", type_name="Organization"),
    place("desk", managingOrganization=ref("Organization/clinic")),
    encounter("e-bed", "bed"),
    encounter("e-ward", "ward"),
    encounter("e-site", "site"),
    encounter("e-two", "hut", "bed"),
    encounter("e-none"),
    encounter("visit", "ward-2"),
    encounter("step", partOf=ref("Encounter/visit"), subject=ref("Patient/ann")),
    patient("ann"),
]


@pytest.fixture
async def filled(server: Server, client: httpx.AsyncClient) -> httpx.AsyncClient:
    await store(server, RESOURCES)
    return client


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("Location?partof=Location/ward", "room"),
        ("Location?partof:below=Location/ward", "bed room versioned"),
        ("Location?partof:below=ward", "bed room versioned"),
        (
            "Location?partof:below=Location/site",
            "bed building hut other room versioned ward",
        ),
        ("Location?partof:below=Location/bed", ""),
        ("Location?partof:below=Location/unknown", ""),
        ("Location?partof:above=Location/ward", "building other room ward"),
        (
            "Location?partof:above=Location/room",
            "bed building other room versioned ward",
        ),
        ("Location?partof:above=Location/site", "building other"),
        ("Location?partof:below=Location/other,Location/site-2", "hut ward-2"),
        ("Location?partof:below=Location/ring-1", "ring-1 ring-2 ring-3"),
        ("Location?partof:above=Location/ring-1", "ring-1 ring-2 ring-3"),
        ("Location?partof:below=Location/self", "self"),
        ("Location?partof:below=http://testserver/fhir/Location/other", "hut"),
        ("Encounter?location:below=Location/ward", "e-bed e-two e-ward"),
        ("Encounter?location:below=Location/site", "e-bed e-site e-two e-ward"),
        ("Encounter?location:below=Location/other", "e-two"),
        ("Encounter?location:above=Location/ward", "e-site e-ward"),
        ("Encounter?location:above=Location/bed", "e-bed e-site e-two e-ward"),
        ("Encounter?location:below=Location/ward&location:below=Location/other", "e-two"),
        ("Encounter?location:below=Location/ward&part-of:missing=true", "e-bed e-two e-ward"),
        ("Encounter?part-of:below=Encounter/visit", "step"),
        ("Location?organization:below=Organization/ward", "desk"),
        ("Organization?partof:below=Organization/ward", "clinic"),
        # Behind references, and before them.
        ("Encounter?part-of.location:below=Location/site-2", "step"),
        ("Patient?_has:Encounter:patient:part-of:below=Encounter/visit", "ann"),
        ("Location?_has:Encounter:location:location:below=Location/room", "bed hut"),
        ("Location?organization.partof:below=Organization/ward", "desk"),
        ("Location?partof.partof:below=Location/ward", "bed versioned"),
    ],
)
async def test_what_lies_above_or_below(
    asked: str, expected: str, filled: httpx.AsyncClient
) -> None:
    assert ids(await get(filled, f"/{asked}")) == expected


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        # Patients do not lie in one another, nor do those that link or derive.
        ("Encounter?patient:below=Patient/ann", "not-supported"),
        ("Patient?link:below=Patient/ann", "not-supported"),
        ("Observation?derived-from:above=Observation/x", "not-supported"),
        ("Encounter?location:below=Location/ward/_history/1", "value"),
        ("Encounter?location:below=Organization/ward", "value"),
        ("Encounter?location:below=https://elsewhere.org/fhir/Location/ward", "value"),
        ("Encounter?location:below=%23ward", "value"),
        ("Encounter?location:below=a b", "value"),
        # Entities of several types lie in one another: which is meant must be said.
        ("AuditEvent?entity:below=ward", "value"),
    ],
)
async def test_what_lies_in_nothing_is_refused(
    asked: str, code: str, client: httpx.AsyncClient
) -> None:
    (issue,) = (await get(client, f"/{asked}", 400))["issue"]
    assert issue["code"] == code


async def test_twenty_steps_are_followed(server: Server, client: httpx.AsyncClient) -> None:
    await store(server, [place("p0"), *(place(f"p{n}", f"p{n - 1}") for n in range(1, 30))])
    below = ids(await get(client, "/Location?partof:below=Location/p0")).split()
    assert set(below) == {f"p{n}" for n in range(1, 22)}
    above = ids(await get(client, "/Location?partof:above=Location/p29")).split()
    assert set(above) == {f"p{n}" for n in range(10, 30)}


async def test_many_ways_through_a_net_are_walked_once(
    server: Server, client: httpx.AsyncClient
) -> None:
    """Each of 20 layers refers to all five of the one before: 5^20 ways."""

    def parents(layer: int) -> list[Json]:
        return [ref(f"Procedure/p{layer - 1}-{n}") for n in range(5)] if layer else []

    await store(
        server,
        [
            {
                "resourceType": "Procedure",
                "id": f"p{layer}-{n}",
                "status": "completed",
                "subject": ref("Patient/x"),
                **({"partOf": parents(layer)} if layer else {}),
            }
            for layer in range(20)
            for n in range(5)
        ],
    )
    bundle = await get(client, "/Procedure?part-of:below=Procedure/p0-0&_count=200")
    assert len(ids(bundle).split()) == 19 * 5


async def test_what_moves_or_goes_takes_along_what_lies_in_it(client: httpx.AsyncClient) -> None:
    status: Json = {"status": "active"}
    places = [place("a", **status), place("b", **status), place("c", "a", **status)]
    await put(client, *places, place("d", "c", **status))
    assert ids(await get(client, "/Location?partof:below=Location/a")) == "c d"
    await put(client, place("c", "b", **status))
    assert ids(await get(client, "/Location?partof:below=Location/a")) == ""
    assert ids(await get(client, "/Location?partof:below=Location/b")) == "c d"
    await put(client, place("d", **status))
    assert (await client.delete("/Location/c")).status_code == 204
    assert ids(await get(client, "/Location?partof:below=Location/b")) == ""
