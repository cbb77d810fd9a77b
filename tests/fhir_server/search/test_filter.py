"""The language of `_filter`, and the conditions that it becomes."""

import random

import pytest

from fhir_server.config import Limits
from fhir_server.errors import BadRequest, NotSupported, SangamError
from fhir_server.search.condition import Not
from fhir_server.search.extract import extract
from fhir_server.search.filter import Compare, Filter, Junction, Negation, Step, parse
from fhir_server.search.parse import parse as parse_query
from fhir_server.search.query import Rules
from fhir_server.search.terminology import coded

from .matching import REGISTRY, RULES, Json, holds

LENIENT = Rules(RULES.search, RULES.limits, lenient=True)


def written(tree: Filter) -> str:
    """The tree with all its brackets."""
    match tree:
        case Negation(inner):
            return f"not{written(inner)}"
        case Junction(word, parts):
            return f"({f' {word} '.join(map(written, parts))})"
        case Compare(path, operator, value):
            return f"({'.'.join(map(_step, path))} {operator} <{value}>)"


def _step(step: Step) -> str:
    return step.name + (f"[{written(step.filter)}]" if step.filter else "")


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("name eq x", "(name eq <x>)"),
        ('name eq "a b"', "(name eq <a b>)"),
        ("  name\teq \n x  ", "(name eq <x>)"),
        ('name eq "(\\"]\\u0905\\\\)"', '(name eq <("]अ\\)>)'),
        ("_id eq a-1", "(_id eq <a-1>)"),
        ("code eq http://loinc.org|1-2", "(code eq <http://loinc.org|1-2>)"),
        ("date ge 2014-10-10T08:00:00+05:30", "(date ge <2014-10-10T08:00:00+05:30>)"),
        ("value-quantity gt 5.4||mg", "(value-quantity gt <5.4||mg>)"),
        ("(a eq b)", "(a eq <b>)"),
        ("((a eq b))", "(a eq <b>)"),
        ("not(a eq b)", "not(a eq <b>)"),
        ("not (a eq b)", "not(a eq <b>)"),
        ("NOT(a EQ b) AND c eq d", "(not(a eq <b>) and (c eq <d>))"),
        ("not eq b", "(not eq <b>)"),
        ("or eq and or and eq or", "((or eq <and>) or (and eq <or>))"),
        ("a eq b and c eq d", "((a eq <b>) and (c eq <d>))"),
        ("a eq 1 and b eq 2 and c eq 3", "((a eq <1>) and (b eq <2>) and (c eq <3>))"),
        ("a eq 1 or b eq 2 and c eq 3", "(((a eq <1>) or (b eq <2>)) and (c eq <3>))"),
        ("a eq 1 and b eq 2 or c eq 3", "(((a eq <1>) and (b eq <2>)) or (c eq <3>))"),
        ("a eq 1 or (b eq 2 and c eq 3)", "((a eq <1>) or ((b eq <2>) and (c eq <3>)))"),
        ("not(a eq 1) or b eq 2", "(not(a eq <1>) or (b eq <2>))"),
        ("(a eq 1)and(b eq 2)", "((a eq <1>) and (b eq <2>))"),
        ("a.b eq c", "(a.b eq <c>)"),
        ("a.b.c eq d", "(a.b.c eq <d>)"),
        ("a[b eq c].d eq e", "(a[(b eq <c>)].d eq <e>)"),
        (
            "a[b eq c or not(d pr true)].e.f eq g",
            "(a[((b eq <c>) or not(d pr <true>))].e.f eq <g>)",
        ),
        ("a[b[c eq d].e eq f].g eq h", "(a[(b[(c eq <d>)].e eq <f>)].g eq <h>)"),
        ('a[b eq "]"].c eq d', "(a[(b eq <]>)].c eq <d>)"),
    ],
)
def test_reading(text: str, tree: str) -> None:
    found, _ = parse(text, 100, 10)
    assert written(found) == tree


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("", 1),
        ("   ", 4),
        ("name", 5),
        ("name eq", 8),
        ("name eq ", 9),
        ("name is x", 6),
        ("name eqx", 6),
        ("9name eq x", 1),
        ("name:exact eq x", 5),
        ("name eq x y", 11),
        ("name eq x and", 14),
        ("name eq x and ", 15),
        ("name eq x andb eq y", 11),
        ("(name eq x", 11),
        ("name eq x)", 10),
        ("name eq (x)", 11),
        ('name eq "x', 9),
        ('name eq "x\\', 9),
        ('name eq "\\x"', 9),
        ('name eq "\\ud800"', 9),
        ('name eq "\\u0000"', 9),
        ('name eq "a\nb"', 9),
        ('name eq "x"y', 12),
        ("a. eq b", 3),
        (".a eq b", 1),
        ("a[b eq c] eq d", 10),
        ("a[b eq c.d eq e", 12),
        ("a[b eq c).d eq e", 9),
        ("a[] eq b", 3),
        ("not a eq b", 5),
        ("not()", 5),
        ("()", 2),
        ("a eq b or or c eq d", 14),
    ],
)
def test_an_error_names_the_character(text: str, place: int) -> None:
    with pytest.raises(BadRequest) as refused:
        parse(text, 100, 10)
    (issue,) = refused.value.issues
    assert (issue.code, issue.expression) == ("value", "_filter")
    assert issue.text.endswith(f"(character {place})")


@pytest.mark.parametrize(
    ("text", "nodes"),
    [
        ("a eq b", 1),
        ("(a eq b)", 2),
        ("not(a eq b)", 2),
        ("a eq b and c eq d or e eq f", 3),
        ("a[b eq c].d eq e", 3),
    ],
)
def test_comparisons_nots_and_brackets_are_counted(text: str, nodes: int) -> None:
    _, counted = parse(text, nodes, 10)
    assert counted == nodes
    with pytest.raises(BadRequest, match="too many parts"):
        parse(text, nodes - 1, 10)


@pytest.mark.parametrize(
    ("opening", "closing"), [("(", ")"), ("not(", ")"), ("a[", " ].x eq y")], ids=["(", "not", "["]
)
def test_brackets_lie_at_most_ten_deep(opening: str, closing: str) -> None:
    assert parse(opening * 10 + "b eq c" + closing * 10, 100, 10)
    with pytest.raises(BadRequest, match="too deeply"):
        parse(opening * 11 + "b eq c" + closing * 11, 100, 10)


@pytest.mark.parametrize(
    "text",
    [
        "(" * 1_000_000,
        "not(" * 1_000_000,
        "a[" * 1_000_000,
        " and ".join(["a eq b"] * 10_000),
        " or ".join(["(a eq b)"] * 10_000),
        'a eq "' + "x" * 1_000_000,
        'a eq "' + "\\" * 1_000_001,
        " " * 1_000_000,
        "a eq b" + " " * 1_000_000 + "c",
        ")" * 1_000_000,
    ],
    ids=["(", "not", "[", "and", "or", "open string", "backslashes", "blanks", "gap", ")"],
)
def test_bombs_are_refused(text: str) -> None:
    with pytest.raises(BadRequest):
        parse(text, 100, 10)


def test_no_text_fails_otherwise_than_by_a_refusal() -> None:
    chance = random.Random(4)
    pieces = [*'()[]".,|$\\ \n', "not", "and", "or", "eq", "name", "gt", '"x"', "1", "é", "\ud800"]
    texts = ["".join(chance.choices(pieces, k=chance.randrange(12))) for _ in range(20_000)]
    refusals = 0
    for text in texts:
        try:
            parse(text, 100, 10)
        except BadRequest:
            refusals += 1
    assert 19_000 < refusals < 20_000


def refusal(text: str, rules: Rules = RULES, type_name: str = "Patient") -> SangamError:
    with pytest.raises((BadRequest, NotSupported)) as refused:
        parse_query(REGISTRY, type_name, [("_filter", text)], rules)
    return refused.value


@pytest.mark.parametrize(
    ("text", "code", "place"),
    [
        ("colour eq red", "invalid", 1),
        ("name eq x and colour eq red", "invalid", 15),
        ("name gt x", "not-supported", 6),
        ("birthdate co 2000", "not-supported", 11),
        ("gender co fe", "not-supported", 8),
        ("birthdate eq tomorrow", "value", 14),
        ("birthdate eq ge2000", "value", 14),
        ("birthdate eq gt2000-01-01", "value", 14),
        ("name pr maybe", "value", 9),
        ('name eq "..."', "value", 9),
        ("identifier eq a|b|c", "value", 15),
        ("gender eq a\\b", "value", 11),
        ("identifier in http://x.org/vs", "not-supported", 15),
        ("identifier ni http://x.org/vs", "not-supported", 15),
        ("identifier ss a|b", "not-supported", 15),
        ("identifier sb a|b", "not-supported", 15),
        ("_id in http://x.org/vs", "not-supported", 5),
        ("name.family eq x", "invalid", 1),
        ("organization.colour eq x", "invalid", 14),
        ("organization[colour eq x].name eq y", "invalid", 14),
        ("organization[name eq x].colour eq y", "invalid", 25),
        ("general-practitioner.family re Patient/1", "not-supported", 29),
        ("organization.partof.partof.partof.partof.name eq x", "too-costly", 35),
        ("link eq #a", "value", 9),
    ],
)
def test_refusals_name_the_character_and_no_value(text: str, code: str, place: int) -> None:
    for rules in (RULES, LENIENT):
        refused = refusal(text, rules)
        (issue,) = refused.issues
        assert (refused.status, issue.code, issue.expression) == (400, code, "_filter")
        assert issue.text.endswith(f"(character {place})")
        assert not {"red", "tomorrow", "maybe", "2000"} & set(issue.text.split())


@pytest.mark.parametrize(
    ("text", "modifier", "negated"),
    [
        ("code in http://x.org/vs|1", "in", False),
        ("code ni http://x.org/vs|1", "in", True),
        ("code ss urn:s|1", "below", False),
        ("code sb urn:s|1", "above", False),
    ],
)
def test_terminology_is_asked(text: str, modifier: str, negated: bool) -> None:  # noqa: FBT001
    found = parse_query(REGISTRY, "Basic", [("_filter", text)], RULES)
    (condition,) = found.conditions
    assert isinstance(condition, Not) is negated
    (asked,) = coded(found)
    assert (asked.modifier, asked.values) == (modifier, (text.split()[2],))


def test_an_empty_filter_is_never_passed_over() -> None:
    for rules in (RULES, LENIENT):
        assert refusal("", rules).issues[0].expression == "_filter"


def test_the_parts_of_all_filters_are_counted_together() -> None:
    rules = Rules(RULES.search, Limits(filter_nodes=3))
    two = ("_filter", "name eq x or name eq y")
    assert parse_query(REGISTRY, "Patient", [two, ("_filter", "name eq z")], rules)
    with pytest.raises(BadRequest, match="too many parts"):
        parse_query(REGISTRY, "Patient", [two, two], rules)


def test_as_many_parts_as_are_allowed_are_compiled() -> None:
    mixed = " and ".join(["name eq x or not(birthdate pr true)"] * 33)
    assert parse_query(REGISTRY, "Patient", [("_filter", mixed)], RULES)


PATIENT: Json = {
    "resourceType": "Patient",
    "id": "p1",
    "meta": {"lastUpdated": "2024-05-01T10:00:00Z"},
    "active": True,
    "gender": "female",
    "birthDate": "1980-06-15",
    "name": [{"family": "van der Berg", "given": ["Élise", "Ann Marie"]}],
    "identifier": [{"system": "urn:s", "value": "AB-1,2|3$4\\5"}],
    "link": [{"other": {"reference": "Patient/p2"}, "type": "seealso"}],
}
OBSERVATION: Json = {
    "resourceType": "Observation",
    "id": "o1",
    "status": "final",
    "code": {"coding": [{"system": "http://loinc.org", "code": "1-2"}, {"code": "local"}]},
    "effectivePeriod": {"start": "2020-01-10", "end": "2020-01-20"},
    "valueQuantity": {
        "value": 5.4,
        "unit": "mg/dL",
        "system": "http://unitsofmeasure.org",
        "code": "mg/dL",
    },
}
VALUE_SET: Json = {
    "resourceType": "ValueSet",
    "id": "v1",
    "status": "active",
    "url": "http://x.org/vs/Some",
}
RISK: Json = {
    "resourceType": "RiskAssessment",
    "id": "r1",
    "status": "final",
    "subject": {"reference": "Patient/p1"},
    "prediction": [{"probabilityDecimal": 0.25}],
}


@pytest.mark.parametrize(
    ("resource", "text", "expected"),
    [
        (PATIENT, "given eq elise", True),
        (PATIENT, "given eq ÉLISE", True),
        (PATIENT, "given eq elis", False),
        (PATIENT, 'given eq "ann marie"', True),
        (PATIENT, "given eq marie", False),
        (PATIENT, "given ne elise", False),
        (PATIENT, "given ne elis", True),
        (PATIENT, "address ne x", False),
        (PATIENT, "given sw elis", True),
        (PATIENT, "given sw lise", False),
        (PATIENT, "given co lis", True),
        (PATIENT, "given co xx", False),
        (PATIENT, "given ew marie", True),
        (PATIENT, "given ew mari", False),
        (PATIENT, "family eq berg", True),
        (PATIENT, 'family eq "van der Berg"', True),
        (PATIENT, "gender eq female", True),
        (PATIENT, "gender eq male", False),
        (PATIENT, "gender ne male", True),
        (PATIENT, "gender ne female", False),
        (PATIENT, "telecom ne x", False),
        (PATIENT, "active eq true", True),
        (PATIENT, "birthdate eq 1980", True),
        (PATIENT, "birthdate ne 1980", False),
        (PATIENT, "birthdate ne 1980-06", False),
        (PATIENT, "birthdate ne 1981", True),
        (PATIENT, "birthdate gt 1980-06-14", True),
        (PATIENT, "birthdate gt 1980-06-15", False),
        (PATIENT, "birthdate ge 1980-06-15", True),
        (PATIENT, "birthdate lt 1980-06-16", True),
        (PATIENT, "birthdate le 1980-06-14", False),
        (PATIENT, "birthdate sa 1980-05", True),
        (PATIENT, "birthdate eb 1980-07", True),
        (PATIENT, "birthdate eb 1980-06", False),
        (PATIENT, "birthdate po 1980-06", True),
        (PATIENT, "birthdate po 1980-07", False),
        (PATIENT, "birthdate pr true", True),
        (PATIENT, "birthdate pr false", False),
        (PATIENT, "death-date pr true", False),
        (PATIENT, "death-date pr false", True),
        (PATIENT, "identifier pr true", True),
        (PATIENT, "link pr true", True),
        (PATIENT, "organization pr false", True),
        (PATIENT, "_id eq p1", True),
        (PATIENT, "_id ne p1", False),
        (PATIENT, "_id ne p2", True),
        (PATIENT, "_id pr true", True),
        (PATIENT, "_id pr false", False),
        (PATIENT, "_lastUpdated gt 2024-04", True),
        (PATIENT, "_lastUpdated po 2024-04", False),
        (PATIENT, "_lastUpdated po 2024-05", True),
        (PATIENT, r"identifier eq urn:s|AB-1\,2\|3\$4\\5", True),
        (PATIENT, r'identifier eq "urn:s|AB-1\\,2\\|3\\$4\\\\5"', True),
        (PATIENT, "identifier eq urn:s|AB-1,2", False),
        (PATIENT, "link re Patient/p2", True),
        (PATIENT, "link eq Patient/p2", True),
        (PATIENT, "link re Patient/p3", False),
        (PATIENT, "link ne Patient/p3", True),
        (PATIENT, "link ne Patient/p2", False),
        (PATIENT, "not(gender eq male)", True),
        (PATIENT, "not(death-date gt 2000)", True),
        (PATIENT, "gender eq male or gender eq female and active eq false", False),
        (PATIENT, "gender eq female or (gender eq male and active eq false)", True),
        (PATIENT, "gender eq female and given eq elise", True),
        (PATIENT, "gender eq female and given eq bob", False),
        (OBSERVATION, "code eq http://loinc.org|1-2", True),
        (OBSERVATION, "code eq |1-2", False),
        (OBSERVATION, "code ne 1-2", False),
        (OBSERVATION, "date eq 2020-01", True),
        (OBSERVATION, "date eq 2020-01-15", False),
        (OBSERVATION, "date po 2020-01-15", True),
        (OBSERVATION, "date po 2020-01-21", False),
        (OBSERVATION, "value-quantity eq 5.4", True),
        (OBSERVATION, "value-quantity gt 5.3|http://unitsofmeasure.org|mg/dL", True),
        (OBSERVATION, "value-quantity lt 5.3||mg/dL", False),
        (OBSERVATION, "value-quantity eq 54|http://unitsofmeasure.org|mg/L", True),
        (OBSERVATION, "value-quantity ap 5.5", True),
        (OBSERVATION, "value-quantity pr true", True),
        (OBSERVATION, "code-value-quantity eq 1-2$gt5", True),
        (OBSERVATION, "code-value-quantity eq 1-2$gt6", False),
        (RISK, "probability eq 0.25", True),
        (RISK, "probability ge 0.26", False),
        (RISK, "probability pr true", True),
        (VALUE_SET, "url eq http://x.org/vs/Some", True),
        (VALUE_SET, "url eq http://x.org/vs/some", False),
        (VALUE_SET, "url ne http://x.org/vs/some", True),
        (VALUE_SET, "url sw http://x.org/", True),
        (VALUE_SET, "url co /vs/", True),
        (VALUE_SET, "url ew /Some", True),
        (VALUE_SET, "url ew /some", False),
        (VALUE_SET, "url ew %", False),
        (VALUE_SET, "url sw http_//", False),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_finding(resource: Json, text: str, expected: bool) -> None:  # noqa: FBT001
    assert filter_finds(text, resource) is expected


def filter_finds(text: str, resource: Json) -> bool:
    found = parse_query(REGISTRY, resource["resourceType"], [("_filter", text)], RULES)
    rows = extract(REGISTRY, resource["resourceType"], resource)
    return all(holds(one, rows, resource) for one in found.conditions)


@pytest.mark.parametrize(
    ("operator", "kept", "expected"),
    [("eq", 201, True), ("eq", 200, False), ("sw", 200, True), ("co", 200, True)],
)
def test_long_values_are_compared_whole(operator: str, kept: int, expected: bool) -> None:  # noqa: FBT001
    long = "x" * 200 + "y"
    patient = {"resourceType": "Patient", "id": "p", "name": [{"given": [long]}]}
    assert filter_finds(f"given {operator} {long[:kept]}", patient) is expected


def test_a_long_value_ends_where_it_ends() -> None:
    patient = {"resourceType": "Patient", "id": "p", "name": [{"given": ["x" * 200 + "y"]}]}
    assert filter_finds("given ew xy", patient)
    assert not filter_finds("given ew xx", patient)
