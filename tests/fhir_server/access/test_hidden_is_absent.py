"""What is hidden is as if it were not stored: random data, rights and queries.

What the rights let through is told here by the resources themselves, in plain Python. Each
query is answered for a restricted caller over everything, and for one who may see all over
what is left when the hidden rows have been taken out of the tables.
"""

import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

import pytest

from fhir_server.access.reach import within
from fhir_server.caller import Caller, trusted
from fhir_server.database import Connection
from fhir_server.errors import SangamError
from fhir_server.interactions.history import history_on
from fhir_server.interactions.put_many import Put, put_many
from fhir_server.interactions.read import read_on
from fhir_server.interactions.search import search_on
from fhir_server.interactions.vread import vread_on
from fhir_server.r4 import json
from fhir_server.rights import Grant, Inside, Limit, Matching, Related, Rights
from fhir_server.search.compartment import Compartment
from fhir_server.server import Server

Json = dict[str, Any]
Keeps = Callable[[Json], bool]

OPERATOR = trusted("operator", "rest")
DOCTOR, TREATED = "Practitioner/doctor", frozenset("135")
TYPES = ("Patient", "Organization", "Location", "Encounter", "Observation", "List")
LABORATORY = "http://terminology.hl7.org/CodeSystem/observation-category|laboratory"


class Choice(NamedTuple):
    """A grant, and what it lets through as plain Python tells."""

    grant: Grant
    keeps: Keeps


def ref(literal: str) -> Json:
    return {"reference": literal}


def category(code: str) -> list[Json]:
    system = LABORATORY.partition("|")[0]
    return [{"coding": [{"system": system, "code": code}]}]


def made(chance: random.Random, *, old: bool) -> list[Json]:
    """Return resources that refer to one another; some ids are of several types.

    `old`: some refer to versions.
    """
    numbers = [str(n) for n in range(1, 6)]
    found: list[Json] = [{"resourceType": "Practitioner", "id": id_} for id_ in ("doctor", "other")]
    for n in numbers:
        found.append(
            {
                "resourceType": "Organization",
                "id": f"o{n}",
                "name": chance.choice(["Apollo", "Fortis"]),
            }
        )
        if chance.random() < 0.8:
            found[-1]["partOf"] = ref(f"Organization/o{chance.choice(numbers)}")
        found.append(patient(chance, n))
        if chance.random() < 0.6:
            found.append({"resourceType": "Location", "id": n, "name": chance.choice(["A", "B"])})
        found.append(encounter(chance, n))
    found += [observation(chance, f"b{n}", old=old) for n in range(12)]
    found += [
        {
            "resourceType": "List",
            "id": f"l{n}",
            "status": chance.choice(["current", "retired"]),
            "mode": "working",
            "subject": ref(f"Patient/{n}"),
            "entry": [{"item": ref(f"Observation/b{chance.randrange(12)}")} for _ in range(4)],
        }
        for n in numbers[:2]
    ]
    return found


def patient(chance: random.Random, n: str) -> Json:
    return {
        "resourceType": "Patient",
        "id": n,
        "gender": chance.choice(["male", "female"]),
        "name": [{"family": chance.choice(["Rao", "Iyer", "Das"])}],
        "birthDate": f"19{chance.randrange(50, 60)}-01-0{n}",
        "managingOrganization": ref(f"Organization/o{chance.randrange(1, 6)}"),
        # As ever: whether there is a relationship, the present version says.
        "generalPractitioner": [ref(DOCTOR if n in TREATED else "Practitioner/other")],
    }


def encounter(chance: random.Random, n: str) -> Json:
    return {
        "resourceType": "Encounter",
        "id": n,
        "status": chance.choice(["planned", "finished"]),
        "class": {"code": "AMB"},
        "subject": ref(f"Patient/{chance.randrange(1, 6)}"),
        "serviceProvider": ref(f"Organization/o{n}"),
    }


def observation(chance: random.Random, id_: str, *, old: bool) -> Json:
    number = chance.randrange(1, 6)
    version = f"Patient/{number}/_history/1" if old else f"Patient/{number}"
    subject = chance.choice([f"Patient/{number}"] * 2 + ["#inner", version])
    found = {
        "resourceType": "Observation",
        "id": id_,
        "status": chance.choice(["final", "preliminary"]),
        "category": category(chance.choice(["laboratory", "vital-signs"])),
        "code": {"coding": [{"code": chance.choice(["x", "y"])}]},
        "subject": ref(subject),
        "encounter": ref(f"Encounter/{chance.randrange(1, 6)}"),
        "valueQuantity": {"value": chance.randrange(9), "unit": "mg"},
    }
    if subject == "#inner":
        gender = chance.choice(["male", "female"])
        found["contained"] = [{"resourceType": "Patient", "id": "inner", "gender": gender}]
    if chance.random() < 0.4:
        found["hasMember"] = [ref(f"Observation/b{chance.randrange(12)}")]
    return found


def inside(id_: str) -> Keeps:
    """Return whether resources belong to a patient's compartment."""

    def keeps(one: Json) -> bool:
        if one["resourceType"] == "Patient":
            return one["id"] == id_
        literal = one.get("subject", {}).get("reference", "")
        return literal.partition("/_history")[0] == f"Patient/{id_}"

    return keeps


def having(path: str, value: str) -> Keeps:
    return lambda one: one.get(path) == value


def laboratory(one: Json) -> bool:
    return one["category"] == category("laboratory")


def everything(_: Json) -> bool:
    return True


LIMITS: dict[str, list[tuple[tuple[Limit, ...], Keeps]]] = {
    "Patient": [
        ((), everything),
        ((Matching((("gender", "male"),)),), having("gender", "male")),
        ((Inside("Patient", "1"),), inside("1")),
        ((Related((DOCTOR,)),), lambda one: one["id"] in TREATED),
    ],
    "Organization": [
        ((), everything),
        ((Matching((("name:exact", "Apollo"),)),), having("name", "Apollo")),
    ],
    "Location": [((), everything), ((Matching((("name:exact", "A"),)),), having("name", "A"))],
    "Encounter": [
        ((), everything),
        ((Matching((("status", "finished"),)),), having("status", "finished")),
        ((Inside("Patient", "2"),), inside("2")),
    ],
    "Observation": [
        ((), everything),
        ((Matching((("category", LABORATORY),)),), laboratory),
        ((Matching((("status:not", "preliminary"),)),), having("status", "final")),
        ((Inside("Patient", "1"),), inside("1")),
        (
            (Inside("Patient", "2"), Matching((("code", "x"),))),
            lambda one: inside("2")(one) and one["code"] == {"coding": [{"code": "x"}]},
        ),
    ],
    "List": [
        ((), everything),
        ((Matching((("status", "current"),)),), having("status", "current")),
    ],
}


def wall(chance: random.Random) -> list[Choice]:
    """Return grants on most types, of some two."""
    found = []
    for name in TYPES:
        for limits, keeps in chance.sample(LIMITS[name], chance.choice([0, 1, 1, 1, 2])):
            found.append(Choice(Grant(name, "crus", limits), keeps))
    return found


CARE = [
    *(Choice(Grant(name, "crus"), everything) for name in TYPES if name != "Patient"),
    Choice(Grant("Patient", "crus", (Related((DOCTOR,)),)), lambda one: one["id"] in TREATED),
]


def walking(server: Server) -> Server:
    """Return the server as one that gathers no matches, but walks until a page is full."""
    search = server.settings.search.model_copy(update={"total_cost": 0.0})
    return replace(server, settings=server.settings.model_copy(update={"search": search}))


def lets(walls: list[list[Choice]], one: Json) -> bool:
    return all(
        any(grant.type == one["resourceType"] and keeps(one) for grant, keeps in choices)
        for choices in walls
    )


def queries(chance: random.Random) -> Iterator[tuple[str, str | None, str]]:
    """Yield searches: a compartment's root or nothing, the type, the parameters."""
    n, o = chance.randrange(1, 6), chance.randrange(1, 6)
    some = [
        ("", "Observation", "status=final&_sort=code,-_id"),
        ("", "Observation", "category=laboratory&_sort=-value-quantity"),
        ("", "Observation", f"subject={n}"),
        (
            "",
            "Observation",
            f"subject=Patient/{n}&_include=Observation:subject&_include=Observation:encounter",
        ),
        ("", "Observation", "subject.gender=male"),
        ("", "Observation", "subject:Patient.gender:not=male"),
        ("", "Observation", "patient.organization.name=apollo&_sort=subject"),
        ("", "Observation", "patient.organization:missing=false"),
        ("", "Observation", "encounter.status=finished"),
        ("", "Observation", "has-member.status=final&_sort=status,_id"),
        (
            "",
            "Observation",
            "_filter=not (subject.gender eq male) and encounter.status eq finished",
        ),
        ("", "Observation", "_filter=not (subject.gender eq male)"),
        ("", "Observation", "_list=l1"),
        ("", "Observation", "_list=l2&status=final"),
        (
            "",
            "Observation",
            "_include=Observation:subject&_include:iterate=Patient:organization&_include:iterate=Organization:partof",
        ),
        ("", "Observation", "_revinclude=Observation:has-member&_revinclude=List:item&_count=3"),
        ("", "Observation", "_include=*&_revinclude=*&_count=4"),
        ("", "Patient", "_has:Observation:patient:status=final"),
        ("", "Patient", "_has:Observation:patient:_has:List:item:status=current"),
        ("", "Patient", "_has:Encounter:patient:status=planned&_sort=family"),
        ("", "Patient", f"organization:below=Organization/o{o}"),
        ("", "Patient", "organization.name=fortis&_sort=organization,-birthdate"),
        ("", "Patient", "_sort=-birthdate&_count=2"),
        ("", "Patient", "_revinclude=Observation:patient&_revinclude=Encounter:patient&_count=2"),
        ("", "Organization", f"partof:above=Organization/o{o}"),
        ("", "Organization", "partof.name=apollo&_revinclude:iterate=Organization:partof"),
        ("", "Encounter", "patient.gender=female&_sort=status,_lastUpdated&_count=2"),
        ("", "Encounter", "service-provider.partof.name=apollo"),
        ("", None, f"_id={n}&_sort=_id"),
        ("", None, "_type=Patient,Observation,Encounter&_sort=-_lastUpdated,_id&_count=5"),
        (f"Patient/{n}", "Observation", "status=final"),
        (f"Patient/{n}", None, "_sort=_id"),
        (f"Encounter/{n}", "Observation", "_include=Observation:subject"),
    ]
    for root, type_name, text in some:
        ending = chance.choice(["", "&_total=accurate", "&_summary=count"])
        yield root, type_name, text + ("" if "_total" in text else ending)


async def told(
    server: Server, connection: Connection, caller: Caller, root: str, name: str | None, text: str
) -> Any:
    """Return what a client sees of a search and all its pages, links and times apart."""
    place = Compartment(*root.split("/")) if root else None
    pairs, pages = parse_qsl(text), []
    try:
        while pairs:
            # The second wall must not take what the first one leaves.
            async with within(server, connection, caller):
                answer = json.decode(
                    await search_on(server, connection, caller, name, pairs, compartment=place)
                )
            pages.append(_page(answer))
            links = {one["relation"]: one["url"] for one in answer["link"]}
            pairs = parse_qsl((links.get("next") or "").partition("?")[2])
    except SangamError as refused:
        return (
            pages,
            refused.status,
            [(one.code, one.text, one.expression) for one in refused.issues],
        )
    return pages


def _page(bundle: Json) -> Any:
    entries = []
    for one in bundle.get("entry", ()):
        resource = one.get("resource", {})
        if resource.get("resourceType") == "OperationOutcome":
            entries.append([issue["details"]["text"] for issue in resource["issue"]])
        else:
            entries.append(
                (
                    one.get("fullUrl"),
                    resource.get("meta", {}).get("versionId"),
                    one.get("search"),
                    one.get("request"),
                    one.get("response"),
                )
            )
    relations = sorted(one["relation"] for one in bundle["link"])
    return bundle.get("total"), relations, entries


def same_but_for_totals(mine: Any, reference: Any) -> bool:
    """Whether the answers are equal; where no total is asked for, mine may have none."""
    if isinstance(mine, tuple) or isinstance(reference, tuple):
        return bool(mine == reference)
    return len(mine) == len(reference) and all(
        one[0] in (other[0], None) and one[1:] == other[1:]
        for one, other in zip(mine, reference, strict=True)
    )


async def told_of(
    server: Server, connection: Connection, caller: Caller, name: str, id_: str
) -> list[Any]:
    """Return what a client sees of one resource: itself, its versions, its history."""
    asked = [
        lambda: read_on(server, connection, caller, name, id_),
        lambda: vread_on(server, connection, caller, name, id_, "1"),
        lambda: vread_on(server, connection, caller, name, id_, "2"),
        lambda: history_on(server, connection, caller, name, id_, []),
        lambda: history_on(server, connection, caller, name, None, [("_count", "4")]),
    ]
    found: list[Any] = []
    for ask in asked:
        try:
            async with within(server, connection, caller):
                answer = await ask()
            found.append(_page(json.decode(answer)) if isinstance(answer, bytes) else answer.body)
        except SangamError as refused:
            found.append((refused.status, [(one.code, one.text) for one in refused.issues]))
    return found


async def remove_hidden(connection: Connection, walls: list[list[Choice]]) -> None:
    """Take what the rights do not let through out of every table, versions one by one."""
    cursor = await connection.execute(
        "SELECT r.key, r.version, b.version, convert_to(b.json, 'UTF8')"
        " FROM resource r JOIN body b ON b.key = r.key"
    )
    rows = [(k, now, v, json.decode(bytes(body))) for k, now, v, body in await cursor.fetchall()]
    gone = {k for k, now, v, one in rows if v == now and not lets(walls, one)}
    old = [(k, v) for k, now, v, one in rows if k not in gone and not lets(walls, one)]
    contained = await connection.execute(
        "SELECT c.key FROM resource c JOIN edge e ON e.target_type = c.type_id"
        " AND e.target_id = c.id WHERE c.key < 0 AND e.source_key = ANY(%s)",
        (list(gone),),
    )
    keys = [*gone, *(row[0] for row in await contained.fetchall())]
    for table in ("resource", "body", "change", "terms", *INDEXES):
        await connection.execute(f"DELETE FROM {table} WHERE key = ANY(%s)", (keys,))
    await connection.execute("DELETE FROM edge WHERE source_key = ANY(%s)", (keys,))
    for key, version in old:
        for table in ("body", "change"):
            await connection.execute(
                f"DELETE FROM {table} WHERE key = %s AND version = %s", (key, version)
            )


INDEXES = ("idx_date", "idx_number", "idx_quantity", "idx_string", "idx_words", "idx_code")


async def stored(server: Server, chance: random.Random, *, old: bool) -> None:
    """Store the resources, and other versions of some of them."""
    first = made(chance, old=old)
    again = [one for one in made(chance, old=old) if chance.random() < 0.3]
    known = {(one["resourceType"], one["id"]) for one in first}
    async with server.database.transaction() as connection:
        await put_many(server, connection, OPERATOR, [_put(one) for one in first])
    async with server.database.transaction() as connection:
        later = [_put(o) for o in again if (o["resourceType"], o["id"]) in known]
        await put_many(server, connection, OPERATOR, later)


def _put(one: Json) -> Put:
    return Put(one["resourceType"], one["id"], one, json.encode(one), fresh=False)


@pytest.mark.parametrize("seed", [0, 1])
async def test_answers_are_those_of_a_database_without_what_is_hidden(
    seed: int, server: Server
) -> None:
    chance = random.Random(seed)
    old = bool(seed % 2)
    await stored(server, chance, old=old)
    server = walking(server) if seed else server
    for turn in range(2):
        walls = [wall(chance) for _ in range(chance.choice([1, 1, 2]))]
        walls += [CARE] if turn else []
        rights = Rights(tuple(tuple(one.grant for one in choices) for choices in walls))
        caller = Caller("asked", "rest", rights)
        granted = {
            name for name in TYPES if all(any(c.grant.type == name for c in w) for w in walls)
        }
        asked = [
            (root, name, text)
            for root, name, text in queries(chance)
            # Of what is included a restricted caller sees the present version only.
            if not (old and "_include" in text)
            and (name is None or name in granted)
            and (not root or root.split("/")[0] in granted)
        ]
        places = [(name, id_) for name in sorted(granted) for id_ in ("1", "o2", "b3", "l1")]
        async with (
            server.database.transaction() as connection,
            connection.transaction(force_rollback=True),
        ):
            mine = [await told(server, connection, caller, *one) for one in asked]
            ours = [await told_of(server, connection, caller, *one) for one in places]
            await remove_hidden(connection, walls)
            reference = [await told(server, connection, OPERATOR, *one) for one in asked]
            theirs = [await told_of(server, connection, OPERATOR, *one) for one in places]
        for one, answer, expected in zip(asked, mine, reference, strict=True):
            if {"_total=accurate", "_summary=count"} & set(one[2].split("&")):
                assert answer == expected, (rights, one)
            assert same_but_for_totals(answer, expected), "\n".join(
                str(x) for x in (one, *rights.walls, "MINE", *answer, "REF", *expected)
            )
        for place, answer, expected in zip(places, ours, theirs, strict=True):
            assert answer == expected, (rights, place)
