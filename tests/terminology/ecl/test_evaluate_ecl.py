import random
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from brute import Brute
from expressions import Author
from universe import (
    ATTRIBUTES,
    FLAG,
    HISTORICAL,
    MODULES,
    NUMBER,
    REFSETS,
    SAME_AS,
    TEXT,
    TIMES,
    Concept,
    Member,
    Relation,
    Universe,
    ground,
    numbered,
    store,
    universe,
)

from terminology.ecl.compile import compile_ecl
from terminology.ecl.cursor import CostlyEcl, InvalidEcl
from terminology.ecl.parse import parse
from terminology.ecl.unsupported import UnsupportedEcl

SEEDS = 3
EXPRESSIONS = 150
PIECES = re.compile(r"[A-Za-z]+|[0-9]+|\s+|\W")


@pytest.fixture(scope="module")
def connection(own_database: str) -> Iterator[psycopg.Connection[Any]]:
    # Nothing is committed: other tests see nothing of it.
    with psycopg.connect(own_database) as opened:
        yield opened
        opened.rollback()


@pytest.fixture(scope="module")
def stored(connection: psycopg.Connection[Any]) -> list[tuple[Universe, int]]:
    known = [universe(seed) for seed in range(SEEDS)]
    return [(one, store(connection, one, f"test {seed}")) for seed, one in enumerate(known)]


def answered(
    connection: psycopg.Connection[Any], known: Universe, cs_id: int, text: str
) -> set[str]:
    found = compile_ecl(ground(known, cs_id), parse(text))
    codes = {number: code for code, number in numbered(known).items()}
    rows = connection.execute(found.text.encode(), found.values).fetchall()
    assert len(rows) == len(set(rows)), text
    return {codes[row[0]] for row in rows}


@pytest.mark.parametrize("seed", range(SEEDS))
def test_the_database_answers_as_the_language_is_described(
    connection: psycopg.Connection[Any], stored: list[tuple[Universe, int]], seed: int
) -> None:
    known, cs_id = stored[seed]
    brute, chance = Brute(known), random.Random(seed)
    author = Author(chance, [code for code in known.concepts if code.startswith("1000")])
    for _ in range(EXPRESSIONS):
        text = author.expression(3)
        expected = brute.members(parse(text))
        assert answered(connection, known, cs_id, text) == expected, text


def test_what_is_garbled_is_answered_or_refused(
    connection: psycopg.Connection[Any], stored: list[tuple[Universe, int]]
) -> None:
    known, cs_id = stored[0]
    chance = random.Random(11)
    author = Author(chance, [code for code in known.concepts if code.startswith("1000")])
    said: Counter[str] = Counter()
    for _ in range(2 * EXPRESSIONS):
        pieces = PIECES.findall(author.expression(3))
        others = PIECES.findall(author.expression(2))
        for _ in range(chance.choice((1, 1, 2, 3))):
            place = chance.randrange(len(pieces))
            pieces[place : place + chance.choice((0, 1))] = chance.choices(others, k=1)
        try:
            answered(connection, known, cs_id, "".join(pieces))
            said["answered"] += 1
        except (InvalidEcl, UnsupportedEcl, CostlyEcl) as error:
            said[type(error).__name__] += 1
    assert said["answered"] > 20
    assert said["InvalidEcl"] > 20


SITE, SHAPE, CAUSE = ATTRIBUTES


@pytest.fixture(scope="module")
def small(connection: psycopg.Connection[Any]) -> tuple[Universe, int]:
    """1000001 has 1000002 and 1000003 below it; the values are 1000004 and, below it, 1000005."""
    one = hand_made()
    return one, store(connection, one, "by hand")


def hand_made() -> Universe:
    codes = {name: f"{1_000_000 + name}" for name in range(1, 9)}
    special = (*ATTRIBUTES, NUMBER, TEXT, FLAG, *REFSETS, *MODULES, HISTORICAL, SAME_AS)
    concepts = {
        code: Concept(code, code != codes[8], False, MODULES[0], TIMES[0])
        for code in (*codes.values(), *special)
    }
    edges = {(codes[2], codes[1]), (codes[3], codes[1]), (codes[5], codes[4])}
    edges |= {(codes[6], codes[2]), (codes[6], codes[3])}
    relations = [
        Relation(codes[2], SITE, 0, codes[4]),
        Relation(codes[2], SHAPE, 0, codes[5]),
        Relation(codes[3], SITE, 1, codes[5]),
        Relation(codes[3], SHAPE, 1, codes[5]),
        Relation(codes[3], SITE, 2, codes[4]),
        Relation(codes[6], SITE, 1, codes[4]),
        Relation(codes[6], SHAPE, 2, codes[4]),
        Relation(codes[6], CAUSE, 0, codes[5]),
    ]
    members = [
        Member(REFSETS[0], codes[6], active=True),
        Member(REFSETS[0], codes[2], active=False),
        Member(REFSETS[0], codes[8], active=True),
        Member(SAME_AS, codes[8], active=True, fields={"targetComponentId": codes[3]}),
        Member(SAME_AS, codes[7], active=False, fields={"targetComponentId": codes[3]}),
    ]
    return Universe(concepts, edges, relations, members, [])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("< 1000001", "236"),
        ("<< 1000001", "1236"),
        ("<! 1000001", "23"),
        ("<<! 1000001", "123"),
        ("> 1000006", "123"),
        (">> 1000006", "1236"),
        (">! 1000006", "23"),
        (">>! 1000006", "236"),
        ("!!> (1000006 OR 1000002 OR 1000004)", "24"),
        ("!!< (<< 1000001 OR 1000004)", "46"),
        ("< 1000002 AND < 1000003", "6"),
        ("<< 1000002 MINUS < 1000003", "2"),
        ("1000008", ""),
        ("1000008 {{ C active = 0 }}", "8"),
        (f"^ {REFSETS[0]}", "6"),
        (f"^ {REFSETS[0]} {{{{ M active = 0 }}}}", "2"),
        ("^ 1000001", ""),
        (f"< ^ {REFSETS[0]}", ""),
        (f"<< 1000001 : {SITE} = 1000004", "236"),
        (f"<< 1000001 : {SITE} = < 1000004", "3"),
        (f"<< 1000001 : {SITE} != 1000004", "3"),
        (f"<< 1000001 : [0..0] {SITE} != 1000004", "126"),
        (f"<< 1000001 : [2..2] {SITE} = *", "3"),
        (f"<< 1000001 : [0..1] {SITE} = *", "126"),
        (f"<< 1000001 : {SITE} = *, {SHAPE} = *", "236"),
        (f"<< 1000001 : {{ {SITE} = *, {SHAPE} = * }}", "3"),
        (f"<< 1000001 : {{ {SITE} = * }}, {{ {SHAPE} = * }}", "236"),
        (f"<< 1000001 : [0..0] {{ {SITE} = *, {SHAPE} = * }}", "126"),
        (f"<< 1000001 : [2..*] {{ {SITE} = * }}", "3"),
        (f"<< 1000001 : {{ {SITE} = *, [0..0] {SHAPE} = * }}", "236"),
        (f"<< 1000001 : {{ {SITE} = * OR {CAUSE} = * }}, {SHAPE} = 1000004", "6"),
        (f"<< 1000004 : R {SITE} = *", "45"),
        (f"<< 1000004 : [3..3] R {SITE} = *", "4"),
        (f"1000006 . {CAUSE}", "5"),
        (f"1000006 . {CAUSE} . {SITE}", ""),
        ("1000003 {{ +HISTORY-MIN }}", "38"),
        ("1000002 {{ +HISTORY }}", "2"),
    ],
)
def test_what_each_part_of_the_language_means(
    connection: psycopg.Connection[Any], small: tuple[Universe, int], text: str, expected: str
) -> None:
    found = answered(connection, *small, text)
    assert "".join(sorted(code[-1] for code in found)) == expected
    assert Brute(small[0]).members(parse(text)) == found
