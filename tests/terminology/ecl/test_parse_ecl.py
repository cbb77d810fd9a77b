from decimal import Decimal

import pytest

from terminology.ecl.cursor import MOST_DEPTH, MOST_TERMS, CostlyEcl, InvalidEcl
from terminology.ecl.parse import parse
from terminology.ecl.syntax import (
    Alternate,
    Attribute,
    Combined,
    Compound,
    Condition,
    Dialect,
    Dotted,
    Expression,
    Filter,
    Group,
    History,
    MemberOf,
    Reference,
    Refined,
    Search,
    Sub,
    Time,
    Wildcard,
)

A, B, C = "404684003", "363698007", "39057004"


def concept(code: str, at: int, operator: str | None = None) -> Sub:
    return Sub(Reference(code, at), operator)


@pytest.mark.parametrize(
    ("brief", "long"),
    [
        ("<", "descendantOf"),
        ("<<", "DESCENDANTORSELFOF"),
        ("<!", "childOf"),
        ("<<!", "childOrSelfOf"),
        (">", "ancestorOf"),
        (">>", "ancestorOrSelfOf"),
        (">!", "parentOf"),
        (">>!", "parentOrSelfOf"),
        ("!!>", "top"),
        ("!!<", "bottom"),
    ],
)
def test_an_operator_is_a_sign_or_a_word(brief: str, long: str) -> None:
    assert parse(f"{brief}{A}") == concept(A, len(brief), brief)
    assert parse(f" {long} {A}") == concept(A, len(long) + 2, brief)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (A, concept(A, 0)),
        (f"  {A} | Clinical (finding) | ", concept(A, 2)),
        (f"/* one * two */<< /* x */{A}", concept(A, 25, "<<")),
        ("*", Sub(Wildcard())),
        ("<<any", Sub(Wildcard(), "<<")),
        ("LOINC#54486-6 |x|", Sub(Alternate("LOINC", "54486-6", 0))),
        ('"http-x#a b"', Sub(Alternate("http-x", "a b", 0))),
        (f"^{A}", Sub(Reference(A, 1), member=MemberOf())),
        (f"memberOf {A}", Sub(Reference(A, 9), member=MemberOf())),
        (f"<^[mapTarget, id] {A}", Sub(Reference(A, 18), "<", MemberOf(("mapTarget", "id")))),
        (f"^ [*] ({A})", Sub(concept(A, 7), member=MemberOf(("*",)))),
        (f"{A} and {B},{C}", Compound("and", (concept(A, 0), concept(B, 14), concept(C, 24)))),
        (f"{A} OR <{B}", Compound("or", (concept(A, 0), concept(B, 14, "<")))),
        (f"{A} MINUS {B}", Compound("minus", (concept(A, 0), concept(B, 16)))),
        (f"<{A}.{B}.*", Dotted(concept(A, 1, "<"), (concept(B, 11), Sub(Wildcard())))),
        (f"{A} {{{{+HISTORY}}}}", Sub(Reference(A, 0), history=History("MAX"))),
        (f"{A} {{{{ + history_min }}}}", Sub(Reference(A, 0), history=History("MIN"))),
        ("* {{+HISTORY(*)}}", Sub(Wildcard(), history=History(None, Sub(Wildcard())))),
    ],
)
def test_an_expression_is_read(text: str, expected: Expression) -> None:
    assert parse(text) == expected


NAME = concept(B, 2)


@pytest.mark.parametrize(
    ("refinement", "expected"),
    [
        (f"{B}=*", Attribute(NAME, "=", Sub(Wildcard()), at=2)),
        (f"{B} NOT = true", Attribute(NAME, "!=", value=True, at=2)),
        (f"{B}<>FALSE", Attribute(NAME, "!=", value=False, at=2)),
        (f"{B} >= #-1.50", Attribute(NAME, ">=", Decimal("-1.50"), at=2)),
        (f'{B} = "a b"', Attribute(NAME, "=", (Search("match", "a b"),), at=2)),
        (
            f'{B} = (wild:"a*\\"" match:"\\\\")',
            Attribute(NAME, "=", (Search("wild", 'a*\\"'), Search("match", "\\")), at=2),
        ),
        (
            f"[0..3] R {B} = *",
            Attribute(concept(B, 11), "=", Sub(Wildcard()), 0, 3, reverse=True, at=9),
        ),
        (
            f"[2 to many] reverseOf {B} = *",
            Attribute(concept(B, 24), "=", Sub(Wildcard()), 2, reverse=True, at=14),
        ),
        (f"[1..2]{{{B}=*}}", Group(Attribute(concept(B, 9), "=", Sub(Wildcard()), at=9), 1, 2)),
        (f"({B}) = *", Attribute(Sub(concept(B, 3)), "=", Sub(Wildcard()), at=2)),
        (f"({B} = *)", Attribute(concept(B, 3), "=", Sub(Wildcard()), at=3)),
        (
            f"{B}=* , ({B}=* or {B}=*)",
            Combined(
                "and",
                (
                    Attribute(NAME, "=", Sub(Wildcard()), at=2),
                    Combined(
                        "or",
                        (
                            Attribute(concept(B, 17), "=", Sub(Wildcard()), at=17),
                            Attribute(concept(B, 32), "=", Sub(Wildcard()), at=32),
                        ),
                    ),
                ),
            ),
        ),
    ],
)
def test_a_refinement_is_read(refinement: str, expected: Attribute | Group | Combined) -> None:
    assert parse(f"*:{refinement}") == Refined(Sub(Wildcard()), expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("C active = 0", ("C", "active", "=", False)),
        ('c active != "true"', ("C", "active", "!=", True)),
        ("M active = *", ("M", "active", "=", ("*",))),
        ("C definitionStatus = (primitive DEFINED)", ("C", "definitionstatus", "=", None)),
        ('C effectiveTime >= "20240229"', ("C", "effectivetime", ">=", (Time("20240229"),))),
        ('C effectiveTime = ("" "20210101")', ("C", "effectivetime", "=", None)),
        (f"C moduleId = ({A} {B})", ("C", "moduleid", "=", (Reference(A, 19), Reference(B, 29)))),
        (f"C moduleId = << {A}", ("C", "moduleid", "=", concept(A, 21, "<<"))),
        ('term = "heart"', ("D", "term", "=", (Search("match", "heart"),))),
        ('D TERM != wild:"h*t"', ("D", "term", "!=", (Search("wild", "h*t"),))),
        ("D language = (en de)", ("D", "language", "=", ("en", "de"))),
        ("type = (syn fsn def)", ("D", "type", "=", ("syn", "fsn", "def"))),
        (f"D typeId = {A}", ("D", "typeid", "=", concept(A, 16))),
        ("D id = 123456013", ("D", "id", "=", ("123456013",))),
        (
            "dialect = (en-gb (prefer) en-us) (accept)",
            (
                "D",
                "dialect",
                "=",
                (Dialect("en-gb", ("preferred",)), Dialect("en-us", ("acceptable",))),
            ),
        ),
        ("M mapGroup < #2", ("M", "mapGroup", "<", Decimal(2))),
        ('M mapTarget = "J45"', ("M", "mapTarget", "=", (Search("match", "J45"),))),
        (
            'M sourceEffectiveTime > "20210101"',
            ("M", "sourceEffectiveTime", ">", (Time("20210101"),)),
        ),
    ],
)
def test_a_filter_is_read(text: str, expected: tuple[str, str, str, object]) -> None:
    found = parse(f"^*{{{{ {text} }}}}")
    assert isinstance(found, Sub)
    ((one,),) = [found.filters]
    kind, name, operator, value = expected
    at = len("^*{{ ") + (0 if text[:2].lower() not in {"c ", "d ", "m "} else 2)
    (condition,) = one.conditions
    assert one.kind == kind
    assert (condition.name, condition.operator, condition.at) == (name, operator, at)
    if value is not None:
        assert condition.value == value


def test_filters_follow_one_another() -> None:
    found = parse('* {{ C active = 1, active = 1 }} {{ term = "x" }} {{ +HISTORY-MOD }}')
    assert found == Sub(
        Wildcard(),
        filters=(
            Filter(
                "C",
                (
                    Condition("active", "=", value=True, at=7),
                    Condition("active", "=", value=True, at=19),
                ),
            ),
            Filter("D", (Condition("term", "=", (Search("match", "x"),), 36),)),
        ),
        history=History("MOD"),
    )


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("", 0),
        ("   ", 3),
        ("<", 1),
        ("12345", 0),
        ("0123456", 0),
        ("1234567890123456789", 0),
        ("< 404684003 trailing", 12),
        ("404684003 |no end", 10),
        ("404684003 ||", 10),
        ("404684003 AND 404684003 OR 404684003", 24),
        ("404684003 MINUS 404684003 MINUS 404684003", 41),
        ("404684003 AND", 13),
        ("(404684003", 10),
        ("404684003)", 9),
        ("<: 363698007 = *", 1),
        ("*:", 2),
        ("*: 363698007", 12),
        ("*: 363698007 = ", 15),
        ("*: 363698007 < 39057004", 15),
        ("*: 363698007 = #", 15),
        ("*: 363698007 = #01", 15),
        ("*: 363698007 = #1.", 15),
        ('*: 363698007 = "a', 15),
        ('*: 363698007 = " "', 15),
        ("*: {363698007 = *", 17),
        ("*: {{363698007 = *}}", 4),
        ("*: [2..1] 363698007 = *", 3),
        ("*: [..1] 363698007 = *", 4),
        ("*: 363698007 = *, 363698007 = * OR 363698007 = *", 32),
        ("* {{ C colour = 1 }}", 7),
        ("* {{ C active = 2 }}", 16),
        ('* {{ C effectiveTime = "20210230" }}', 23),
        ("* {{ D type = nonsense }}", 14),
        ("* {{ D language < en }}", 18),
        ("* {{ + HISTORY-ALL }}", 15),
        ("* {{ + HISTORY }} {{ C active = 1 }}", 18),
        ("^ [", 3),
        ("* /* no end", 2),
        ("*\0", 1),
        ("ﬁnding", 0),
    ],
)
def test_what_is_no_expression_is_told_with_its_place(text: str, at: int) -> None:
    with pytest.raises(InvalidEcl) as caught:
        parse(text)
    assert caught.value.at == at


@pytest.mark.parametrize(
    "text",
    [
        " OR ".join([A] * (MOST_TERMS + 1)),
        " OR ".join([A] * 10_000),
        "(" * (MOST_DEPTH + 1) + A + ")" * (MOST_DEPTH + 1),
        "(" * 100_000,
        "*:" + "(" * 5_000 + f"{B}=*" + ")" * 5_000,
        "* {{ + HISTORY (" * 100 + "*" + ") }}" * 100,
        " " * 300_000,
    ],
    ids=["terms", "10000", "depth", "open", "refinements", "history", "length"],
)
def test_what_is_too_large_is_refused(text: str) -> None:
    with pytest.raises(CostlyEcl):
        parse(text)
