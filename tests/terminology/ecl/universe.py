"""A small terminology of our own, with what expression constraints can ask about."""

import json
import random
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import psycopg

from terminology.code_system import PropertyDefinition
from terminology.ecl.members import Ground, Known

SNOMED = "http://snomed.info/sct"
VERSION = f"{SNOMED}/31000003106/version/20250101"
SAME_AS, REPLACED_BY = "900000000000527005", "900000000000526001"
HISTORICAL = "900000000000522004"
MODULES = ("900000000000207008", "900000000000012004")
ATTRIBUTES = ("363698007", "116676008", "127489000")
NUMBER, TEXT, FLAG = "1142135004", "1149366004", "1149367008"
REFSETS = ("723264001", "447562003")
US, GB = "900000000000509007", "900000000000508004"
IS_A = "116680003"
FSN, SYNONYM = "900000000000003001", "900000000000013009"
PROPERTIES = (
    "effectiveTime",
    "moduleId",
    "sufficientlyDefined",
    *ATTRIBUTES,
    NUMBER,
    TEXT,
    FLAG,
)
TIMES = ("20200131", "20210131", "20220131")
WORDS = ("acute", "heart", "failure", "chronic", "lung", "50%", "under_score")

Value = str | Decimal | bool | tuple[str]
"""A code, a number, a truth value, or (in a tuple) a text."""


@dataclass(frozen=True)
class Concept:
    code: str
    active: bool
    defined: bool
    module: str
    time: str


@dataclass(frozen=True)
class Relation:
    source: str
    attribute: str
    group: int
    value: Value


@dataclass(frozen=True)
class Member:
    refset: str
    code: str
    active: bool
    fields: dict[str, str] = field(default_factory=dict)

    @property
    def target(self) -> str | None:
        return self.fields.get("targetComponentId") or self.fields.get("mapTarget")


@dataclass(frozen=True)
class Description:
    id: str
    code: str
    term: str
    language: str
    type: str
    active: bool
    dialects: dict[str, str]


@dataclass
class Universe:
    concepts: dict[str, Concept]
    edges: set[tuple[str, str]]
    relations: list[Relation]
    members: list[Member]
    descriptions: list[Description]

    def ancestors(self, code: str) -> set[str]:
        found: set[str] = set()
        todo = [code]
        while todo:
            one = todo.pop()
            above = {parent for child, parent in self.edges if child == one} - found
            found |= above
            todo += above
        return found


def universe(seed: int, size: int = 36) -> Universe:
    chance = random.Random(seed)
    plain = [f"{1_000_000 + 7 * index}" for index in range(size)]
    special = [
        *ATTRIBUTES,
        NUMBER,
        TEXT,
        FLAG,
        *REFSETS,
        *MODULES,
        HISTORICAL,
        SAME_AS,
        US,
        GB,
        IS_A,
    ]
    concepts = {
        code: Concept(
            code,
            index < 4 or chance.random() > 0.2,
            chance.random() > 0.5,
            chance.choice(MODULES),
            chance.choice(TIMES),
        )
        for index, code in enumerate(plain)
    }
    concepts |= {c: Concept(c, True, False, MODULES[1], TIMES[0]) for c in (*special, REPLACED_BY)}
    active = [code for code in plain if concepts[code].active]
    inactive = [code for code in plain if not concepts[code].active]
    edges = {
        (code, parent)
        for place, code in enumerate(active)
        for parent in chance.sample(active[:place], min(place, chance.choice((1, 1, 2))))
    }
    edges |= {(one, active[0]) for one in special} - {(SAME_AS, active[0])}
    edges |= {(SAME_AS, HISTORICAL), (REPLACED_BY, HISTORICAL), (ATTRIBUTES[1], ATTRIBUTES[0])}
    return Universe(
        concepts,
        edges,
        [*_relations(chance, active)],
        [*_members(chance, plain, active, inactive)],
        [*_descriptions(chance, [*plain])],
    )


def _relations(chance: random.Random, active: list[str]) -> Any:
    for code in active:
        for _ in range(chance.choice((0, 0, 1, 2, 3, 4))):
            attribute, group = chance.choice(ATTRIBUTES), chance.choice((0, 0, 1, 1, 2))
            yield Relation(code, attribute, group, chance.choice(active))
        if chance.random() < 0.4:
            group = chance.choice((0, 1))
            yield Relation(code, NUMBER, group, Decimal(chance.choice(("0.5", "2", "10"))))
            yield Relation(code, TEXT, 0, (chance.choice(WORDS) + " " + chance.choice(WORDS),))
            yield Relation(code, FLAG, group, chance.random() < 0.5)


def _members(
    chance: random.Random, plain: list[str], active: list[str], inactive: list[str]
) -> Any:
    for code in chance.sample(plain, len(plain) // 3):
        yield Member(REFSETS[0], code, chance.random() > 0.2)
    for code in chance.sample(active, len(active) // 3):
        group = chance.choice(("1", "2"))
        target = chance.choice(("J45.9", "J45", "K20"))
        yield Member(
            REFSETS[1],
            code,
            chance.random() > 0.2,
            {"mapGroup": group, "mapTarget": target, "correlationId": chance.choice(plain)},
        )
    for code in inactive:
        refset = chance.choice((SAME_AS, REPLACED_BY))
        yield Member(
            refset, code, chance.random() > 0.2, {"targetComponentId": chance.choice(active)}
        )


def _descriptions(chance: random.Random, plain: list[str]) -> Any:
    number = 2_000_000
    for code in plain:
        for kind in (FSN, SYNONYM, SYNONYM):
            number += 1
            dialects = {
                one: chance.choice(("preferred", "acceptable"))
                for one in (US, GB)
                if chance.random() > 0.4
            }
            words = [chance.choice(WORDS) for _ in range(2)]
            language = chance.choice(("en", "en", "de", "en-GB"))
            on = chance.random() > 0.2
            yield Description(str(number), code, " ".join(words), language, kind, on, dialects)


def ground(known: Universe, cs_id: int) -> Ground:
    """The universe as expressions are evaluated in it: `cid` in the order of the codes."""
    numbers = numbered(known)
    places = {code: place for place, code in enumerate(PROPERTIES)}
    return Ground(
        cs_id,
        {code: Known(numbers[code], one.active) for code, one in known.concepts.items()},
        places,
        {place: numbers[code] for code, place in places.items() if code in numbers},
        # As if these had a great many below them.
        frozenset(number for number in numbers.values() if number % 3),
    )


def numbered(known: Universe) -> dict[str, int]:
    return {code: place for place, code in enumerate(sorted(known.concepts), start=1)}


def resource() -> dict[str, Any]:
    kinds = {"sufficientlyDefined": "boolean", NUMBER: "decimal", FLAG: "boolean"}
    kinds |= dict.fromkeys(("effectiveTime", TEXT), "string")
    properties = [PropertyDefinition(code, kinds.get(code, "code")) for code in PROPERTIES]
    return {
        "resourceType": "CodeSystem",
        "url": SNOMED,
        "status": "active",
        "content": "complete",
        "hierarchyMeaning": "is-a",
        "property": [{"code": one.code, "type": one.kind} for one in properties],
    }


USES = [{"system": SNOMED, "code": FSN}, {"system": SNOMED, "code": SYNONYM}]
TABLES = (
    "concept",
    "designation",
    "search_text",
    "edge",
    "closure",
    "property",
    "refset_member",
)


def store(connection: psycopg.Connection[Any], known: Universe, version: str = VERSION) -> int:
    """Keep the universe as a release that serves; returns its number."""
    numbers = numbered(known)
    row = connection.execute(
        "INSERT INTO tx.code_system (url, version, resource, uses, state, hierarchical, concepts)"
        " VALUES (%s, %s, %s, %s, 'current', true, %s) RETURNING id",
        (SNOMED, version, json.dumps(resource()), json.dumps(USES), len(numbers)),
    ).fetchone()
    assert row is not None
    cs_id = int(row[0])
    for table in TABLES:
        connection.execute(
            f"CREATE TABLE tx.{table}_{cs_id} PARTITION OF tx.{table} FOR VALUES IN ({cs_id})"
        )
    for table, columns, rows in _rows(known, numbers, cs_id):
        marks = ", ".join(["%s"] * len(columns.split(",")))
        with connection.cursor() as cursor:
            cursor.executemany(f"INSERT INTO tx.{table} ({columns}) VALUES ({marks})", rows)
    return cs_id


def _rows(known: Universe, numbers: dict[str, int], cs_id: int) -> Any:
    names = {code: f"name of {code}" for code in numbers}
    yield (
        "concept",
        "cs_id, cid, code, display, active, seq",
        [(cs_id, n, c, names[c], known.concepts[c].active, n) for c, n in numbers.items()],
    )
    yield (
        "edge",
        "cs_id, child, parent",
        [(cs_id, numbers[child], numbers[parent]) for child, parent in known.edges],
    )
    yield (
        "closure",
        "cs_id, ancestor, descendant, depth",
        [(cs_id, numbers[a], n, 1) for code, n in numbers.items() for a in known.ancestors(code)],
    )
    yield (
        "property",
        "cs_id, cid, prop_id, group_no, value_cid, value_text, value_num, value_bool",
        [(cs_id, *row) for row in _properties(known, numbers)],
    )
    yield (
        "refset_member",
        "cs_id, refset, cid, active, map_target, fields",
        [
            (
                cs_id,
                numbers[one.refset],
                numbers[one.code],
                one.active,
                one.target,
                json.dumps(one.fields) if one.fields else None,
            )
            for one in known.members
        ],
    )
    yield (
        "designation",
        "cs_id, cid, language, use_id, term, active, fields",
        [
            (
                cs_id,
                numbers[one.code],
                one.language,
                int(one.type == SYNONYM),
                one.term,
                one.active,
                json.dumps({"id": one.id, "type": one.type, "dialects": one.dialects}),
            )
            for one in known.descriptions
        ],
    )


def _properties(known: Universe, numbers: dict[str, int]) -> Any:
    places = {code: place for place, code in enumerate(PROPERTIES)}
    for code, one in known.concepts.items():
        yield numbers[code], places["effectiveTime"], 0, None, one.time, None, None
        yield numbers[code], places["moduleId"], 0, numbers[one.module], None, None, None
        yield numbers[code], places["sufficientlyDefined"], 0, None, None, None, one.defined
    for each in known.relations:
        cid = numbers[each.value] if isinstance(each.value, str) else None
        text = each.value[0] if isinstance(each.value, tuple) else None
        number = each.value if isinstance(each.value, Decimal) else None
        flag = each.value if isinstance(each.value, bool) else None
        place = places[each.attribute]
        yield numbers[each.source], place, each.group, cid, text, number, flag
