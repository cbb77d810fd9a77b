"""`near`: which places lie within a distance."""

import random
from math import atan2, cos, hypot, radians, sin

import httpx
import pytest

from fhir_server.search.near import RADIUS
from fhir_server.server import Server

from .searching import Json, get, ids, ref, store

# Distances are those of `apart`, which uses vectors where the server uses haversines.
PLACES = {
    "pune": (18.5204, 73.8567),
    "mumbai": (19.0760, 72.8777),  # 120 km from Pune
    "chennai": (13.0827, 80.2707),  # 914 km from Pune
    "fiji": (-17.0, 179.9),
    "taveuni": (-17.0, -179.9),  # 21.3 km from Fiji
    "date-line": (-17.0, 180.0),
    "other-side": (-17.0, -180.0),
    "tromso": (69.6492, 18.9553),
    "alta": (69.9689, 23.2716),  # 169 km from Tromsø
    "pole": (90.0, 0.0),
    "by-pole": (89.9, 90.0),  # 11.2 km from the pole
    "across": (89.9, -90.0),  # 22.3 km from the one before
    "south-pole": (-90.0, 120.0),
    "by-south-pole": (-89.95, -60.0),  # 5.6 km from the South Pole
    "zero": (0.0, 0.0),
    "opposite": (0.0, 180.0),  # half the globe from zero
}


def location(id_: str, latitude: float, longitude: float, **more: object) -> Json:
    position = {"latitude": latitude, "longitude": longitude}
    return {"resourceType": "Location", "id": id_, "position": position, **more}


LOCATIONS = [
    *(location(id_, *place) for id_, place in PLACES.items()),
    {"resourceType": "Location", "id": "nowhere", "name": "18.5204|73.8567"},
    location("too-far-north", 118.5204, 73.8567),
    location("too-far-east", 18.5204, 433.8567),
]
ALL = " ".join(sorted(PLACES))


@pytest.fixture
async def filled(server: Server, client: httpx.AsyncClient) -> httpx.AsyncClient:
    await store(server, LOCATIONS)
    return client


DATE_LINE = "date-line fiji other-side taveuni"


@pytest.mark.parametrize(
    ("near", "expected"),
    [
        ("18.5204|73.8567|0|km", "pune"),
        ("18.5204|73.8567", "pune"),
        ("18.5204|73.8567||m", "pune"),
        ("%2B18.5204|73.8567|", "pune"),
        ("18.9|73.0", "mumbai"),
        ("18.5204|73.8567|119|km", "pune"),
        ("18.5204|73.8567|121|km", "mumbai pune"),
        ("18.5204|73.8567|121", "mumbai pune"),
        ("18.5204|73.8567|121000|m", "mumbai pune"),
        ("18.5204|73.8567|119000|m", "pune"),
        ("18.5204|73.8567|121|m", "pune"),
        ("18.5204|73.8567|74|[mi_i]", "pune"),
        ("18.5204|73.8567|76|[mi_i]", "mumbai pune"),
        ("18.5204|73.8567|920|km", "chennai mumbai pune"),
        ("18.5204|73.8567|1|km,13.0827|80.2707|1|km", "chennai pune"),
        ("73.8567|18.5204|1|km", ""),
        ("18.5204|-73.8567|100|km", ""),
        # Across the antimeridian, from either side and from on it.
        ("-17|179.9|25|km", DATE_LINE),
        ("-17|-179.9|25|km", DATE_LINE),
        ("-17|180|11|km", DATE_LINE),
        ("-17|-180|11|km", DATE_LINE),
        ("-17|179.9|20|km", "date-line fiji other-side"),
        ("-17|-179.9|20|km", "date-line other-side taveuni"),
        ("-17|180|0|km", "date-line other-side"),
        ("-17|179.9|1|km", "fiji"),
        ("17|179.9|25|km", ""),
        # Where meridians draw together, and where they meet.
        ("69.6492|18.9553|169|km", "tromso"),
        ("69.6492|18.9553|170|km", "alta tromso"),
        ("90|0|12|km", "across by-pole pole"),
        ("90|-135|12|km", "across by-pole pole"),
        ("90|0|11|km", "pole"),
        ("89.9|90|23|km", "across by-pole pole"),
        ("89.9|90|22|km", "by-pole pole"),
        ("89.9|90|1|km", "by-pole"),
        ("-90|0|6|km", "by-south-pole south-pole"),
        ("-89.95|120|12|km", "by-south-pole south-pole"),
        ("-89.95|120|6|km", "south-pole"),
        # Half the globe around.
        ("0|0|20015|km", " ".join(sorted(set(PLACES) - {"opposite"}))),
        ("0|0|20016|km", ALL),
        ("0|180|20016|km", ALL),
        ("18.5204|73.8567|1000000|km", ALL),
    ],
)
async def test_places_within_a_distance(
    near: str, expected: str, filled: httpx.AsyncClient
) -> None:
    assert ids(await get(filled, f"/Location?near={near}")) == expected


@pytest.mark.parametrize(
    "near",
    [
        "90.0001|0|1|km",
        "-91|0",
        "0|180.1|1|km",
        "0|-181|1|km",
        "0",
        "|0|1|km",
        "0||1|km",
        "0|0|1|km|x",
        "0|0|-1|km",
        "0|0|1|kg",
        "0|0|1|furlong",
        "0|0|x|km",
        "0|0|1e3|km",
        "nan|0|1|km",
        "0|inf|1|km",
        "0|0|1|km,",
        r"0|0|1|k\m",
    ],
)
async def test_what_is_no_place_is_refused(near: str, client: httpx.AsyncClient) -> None:
    (issue,) = (await get(client, f"/Location?near={near}", 400))["issue"]
    assert (issue["code"], issue["expression"]) == ("value", ["near"])


@pytest.mark.parametrize("asked", ["near:exact=0|0", "near:not=0|0", "_sort=near"])
async def test_near_takes_no_modifier_and_no_sort(asked: str, client: httpx.AsyncClient) -> None:
    (issue,) = (await get(client, f"/Location?{asked}", 400))["issue"]
    assert issue["code"] in {"not-supported", "invalid"}


async def test_a_place_may_be_missing(filled: httpx.AsyncClient) -> None:
    without = "nowhere too-far-east too-far-north"
    assert ids(await get(filled, "/Location?near:missing=true")) == without
    assert ids(await get(filled, "/Location?near:missing=false")) == ALL


async def test_near_stands_behind_references_and_before_them(
    server: Server, client: httpx.AsyncClient
) -> None:
    def role(id_: str, *places: str) -> Json:
        locations = [ref(f"Location/{one}") for one in places]
        return {"resourceType": "PractitionerRole", "id": id_, "location": locations}

    clinic = location("clinic", 18.6, 73.9, partOf=ref("Location/pune"))
    roles = [role("one", "mumbai", "pune"), role("two", "chennai"), role("three")]
    await store(server, [*LOCATIONS, clinic, *roles])
    near = "near=18.52|73.85|20|km"
    assert ids(await get(client, f"/PractitionerRole?location.{near}")) == "one"
    assert ids(await get(client, f"/PractitionerRole?location:Location.{near}")) == "one"
    assert ids(await get(client, f"/Location?_has:Location:partof:{near}")) == "pune"
    assert ids(await get(client, f"/Location?{near}&partof=Location/pune")) == "clinic"
    assert ids(await get(client, f"/Location?{near}&_sort=-_id&name:missing=true")) == "clinic pune"


def apart(one: tuple[float, float], other: tuple[float, float]) -> float:
    """Kilometers between two places, by the angle between their vectors."""

    def vector(place: tuple[float, float]) -> tuple[float, float, float]:
        latitude, longitude = map(radians, place)
        return (
            cos(latitude) * cos(longitude),
            cos(latitude) * sin(longitude),
            sin(latitude),
        )

    (a, b, c), (d, e, f) = vector(one), vector(other)
    across = hypot(b * f - c * e, c * d - a * f, a * e - b * d)
    return RADIUS / 1000 * atan2(across, a * d + b * e + c * f)


async def test_places_anywhere_are_found_exactly_within_the_distance(
    server: Server, client: httpx.AsyncClient
) -> None:
    chance = random.Random(5)

    def near(value: float, end: float) -> float:
        """A number near one of the ends, near zero, or anywhere between."""
        spread = chance.choice([0.01, 1, end])
        return max(-end, min(end, chance.choice([value, -end, end]) + chance.gauss(0, spread)))

    places = {f"p{n}": (near(0, 90), near(0, 180)) for n in range(400)}
    await store(server, [location(id_, *place) for id_, place in places.items()])
    found = 0
    for _ in range(150):
        middle = chance.choice([(near(0, 90), near(0, 180)), *places.values()])
        kilometers = round(chance.choice([0.5, 30, 2_000, 20_015]) * chance.random(), 3)
        asked = f"{middle[0]:.12f}|{middle[1]:.12f}|{kilometers}|km"
        bundle = await get(client, f"/Location?near={asked}&_count=1000")
        away = {id_: apart(middle, place) - kilometers for id_, place in places.items()}
        close = {id_ for id_, beyond in away.items() if beyond <= 0}
        sure = {id_ for id_ in places if abs(away[id_]) > 1e-5}
        assert set(ids(bundle).split()) & sure == close & sure, asked
        found += len(close)
    assert found > 1_000


async def test_a_moved_place_is_found_where_it_is(client: httpx.AsyncClient) -> None:
    for latitude in (10, 20):
        body = location("bus", latitude, 70, status="active")
        assert (await client.put("/Location/bus", json=body)).status_code in (200, 201)
    assert ids(await get(client, "/Location?near=10|70")) == ""
    assert ids(await get(client, "/Location?near=20|70")) == "bus"
