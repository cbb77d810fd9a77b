from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from fhir_server.errors import BadRequest, SangamError, Unprocessable
from fhir_server.fhirpath.engine import compile_expression, node
from fhir_server.fhirpath.evaluation import Callbacks
from fhir_server.fhirpath.values import Node, plain
from fhir_server.r4.definitions import load

DEFINITIONS = load()
SECRET = "Ramanujan"
ORGANIZATION = {"resourceType": "Organization", "id": "o", "name": "A"}
PATIENT: dict[str, Any] = {
    "resourceType": "Patient",
    "id": "p",
    "contained": [ORGANIZATION],
    "name": [{"family": SECRET, "given": ["Srinivasa", None], "_given": [None, {"id": "g"}]}],
    "birthDate": "1887-12-22",
    "_birthDate": {"extension": [{"url": "http://x", "valueDecimal": Decimal("1.40")}]},
    "deceasedDateTime": "1920-04-26",
    "managingOrganization": {"reference": "#o"},
    "generalPractitioner": [{"reference": "Practitioner/1"}, {"reference": "Practitioner/2"}],
}


def run(expression: str, resource: dict[str, Any] = PATIENT, **callbacks: Any) -> list[Any]:
    compiled = compile_expression(DEFINITIONS, expression)
    found = compiled.run(node(resource), callbacks=Callbacks(**callbacks))
    return [plain(item) for item in found]


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("name.family", [SECRET]),
        ("Patient.name.given.count()", [2]),
        ("name.given.where(hasValue())", ["Srinivasa"]),
        ("name.given.id", ["g"]),
        ("deceased is dateTime", [True]),
        ("deceased.ofType(boolean)", []),
        ("birthDate.extension('http://x').value", [Decimal("1.40")]),
        ("birthDate.extension('http://x').value.precision()", [2]),
        ("deceased > birthDate", [True]),
        ("birthDate + 1 year > @1888-12", []),
        ("birthDate + 1 year > @1888-11", [True]),
        ("managingOrganization.resolve().name", ["A"]),
        ("managingOrganization.resolve() is Organization", [True]),
        ("contained.id", ["o"]),
        ("%resource.id = %context.id", [True]),
        ("generalPractitioner.reference.select($index)", [0, 1]),
        ("generalPractitioner.resolve()", []),
        ("children().count() > 5 and descendants().count() > children().count()", [True]),
        ("iif(gender.exists(), 1, 'none')", ["none"]),
        ("(1 | 2 | 3).aggregate($this + $total, 0)", [6]),
        ("%`vs-x` & %sct", ["http://hl7.org/fhir/ValueSet/xhttp://snomed.info/sct"]),
        ("1 'mg' < 2 'mg'", [True]),
        ("1 'kg' = 1 'kg'", [True]),
        ("name.suffix = 'x'", []),
        ("{} and false", [False]),
        ("'a\\u0041\\n' = 'aA\n'", [True]),
        ("now() = now()", [True]),
        ("today()", [str]),
    ],
)
def test_an_expression_gives(expression: str, expected: list[Any]) -> None:
    now = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    found = run(expression, now=lambda: now)
    if expected == [str]:
        assert [str(item) for item in found] == ["2026-01-02"]
    else:
        assert found == expected


def test_the_server_answers_what_an_expression_asks_of_it() -> None:
    practitioner = {"resourceType": "Practitioner", "id": "1"}
    stored = {"Practitioner/1": practitioner}
    assert run("generalPractitioner.resolve().id", resolve=stored.get) == ["1"]
    asked: list[tuple[str, str]] = []

    def member_of(item: Node, value_set: str) -> bool:
        asked.append((item.type, value_set))
        return True

    assert run("name.family.memberOf('http://vs')", member_of=member_of) == [True]
    assert asked == [("string", "http://vs")]
    assert run("conformsTo('http://p')", conforms_to=lambda *_: False) == [False]


def test_variables_are_the_callers() -> None:
    compiled = compile_expression(DEFINITIONS, "%mine + 1")
    assert compiled.run(node(PATIENT), variables={"mine": [2]}) == [3]


@pytest.mark.parametrize(
    ("expression", "text", "at"),
    [
        ("", "a term is missing", 1),
        ("name..family", "a name is missing", 6),
        ("name.first(", "a term is missing", 12),
        ("name 5", "the expression should have ended", 6),
        ("name.famous()", "there is no such function", 6),
        ("name.first(1)", "the function takes another number of arguments", 6),
        ("name is Nome", "there is no such type", 6),
        ("'a\\q'", "no such escape in a string", 1),
        ("@2020-02-30", "there is no such date or time", 1),
        ("%unknown", "no such variable", 1),
        ("name.family + 1", "the two do not go together", 13),
        ("name.given.single()", "one item is needed and several are given", 12),
        ("name.family.matches('(')", "the regular expression cannot be used", 13),
        ("name.family.matches('(?=a)')", "the regular expression cannot be used", 13),
        ("-name.family", "a number is needed", 1),
        ("§", "no word of FHIRPath begins here", 1),
    ],
)  # fmt: skip
def test_a_refusal_names_the_place_and_no_data(expression: str, text: str, at: int) -> None:
    with pytest.raises(BadRequest) as refused:
        run(expression)
    assert refused.value.text == f"FHIRPath: {text}, at character {at}"


@pytest.mark.parametrize(
    "expression",
    [
        "a" * 10_001,
        "(" * 51 + "1" + ")" * 51,
        "-" * 60 + "1",
        "not(" * 60 + "true" + ")" * 60,
        "a" + ".b" * 151,
        "1" + "+1" * 151,
        "iif(" + ",".join(["(1|2|3|4|5)"] * 200) + ")",
    ],
    ids=["long", "nested", "signs", "calls", "path", "chain", "parts"],
)
def test_an_expression_has_limits(expression: str) -> None:
    with pytest.raises(Unprocessable) as refused:
        compile_expression(DEFINITIONS, expression)
    assert refused.value.issues[0].code == "too-costly"


MANY = "(1|2|3|4|5|6|7|8|9|10|11|12|13|14|15|16|17|18|19|20)"


@pytest.mark.parametrize(
    "expression",
    [
        f"{MANY}.select({MANY}.select({MANY}.select({MANY}.select({MANY}))))",
        f"{MANY}.aggregate($total.combine($total), {MANY})",
        f"{MANY}.aggregate($total & $total, '0123456789012345678901234567890123456789')",
        f"{MANY}.aggregate($total.replace('a', 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa'), 'a')",
        "id.repeat($this & '1')",
    ],
    ids=["nested", "items", "text", "replace", "repeat"],
)
def test_an_evaluation_has_limits(expression: str) -> None:
    with pytest.raises(SangamError) as refused:
        run(expression)
    assert refused.value.status == 422
    assert refused.value.issues[0].code == "too-costly"


@pytest.mark.parametrize(
    "expression",
    [
        f"{MANY}.aggregate($total * $total, 10)",
        "2.power(100000000)",
        "1000000.exp()",
        "10.power(100)",
        "@9999-12-31 + 1 day",
        "@0001-01-01 - 1 day",
    ],
)
def test_numbers_and_dates_stay_in_reason(expression: str) -> None:
    with pytest.raises(BadRequest):
        run(expression)


def test_a_regular_expression_takes_linear_time() -> None:
    text = {"resourceType": "Patient", "name": [{"family": "a" * 50_000}]}
    assert run("name.family.matches('^(a+)+b$')", text) == [False]


def test_odd_data_is_no_error() -> None:
    odd = {"resourceType": "Patient", "name": "x", "birthDate": 5, "contact": [None, 1, {}]}
    assert run("name.given | birthDate.extension | contact.name", odd) == []
    assert run("descendants().count()", odd) == [2]
