from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.errors import BadRequest
from fhir_server.patch.path import Index, Member, Moment, OfType, Where, parse

USE = (Member("use"),)


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        ("Patient", (Member("Patient"),)),
        (" Patient . name [ 1 ] ", (Member("Patient"), Member("name"), Index(1))),
        ("name[0].given[2]", (Member("name"), Index(0), Member("given"), Index(2))),
        ("text.`div`", (Member("text"), Member("div"))),
        ("name.first().given.last()", (Member("name"), Index(0), Member("given"), Index(-1))),
        ("a.ofType(Quantity)", (Member("a"), OfType("Quantity"))),
        ("a.ofType(FHIR.Quantity)", (Member("a"), OfType("Quantity"))),
        ("name.where(use = 'x')", (Member("name"), Where(((USE, "x"),)))),
        (
            "a.where(b.c='x' and d=true and e=false)",
            (
                Member("a"),
                Where(
                    (
                        ((Member("b"), Member("c")), "x"),
                        ((Member("d"),), True),
                        ((Member("e"),), False),
                    )
                ),
            ),
        ),
        ("a.where($this = -1.50)", (Member("a"), Where((((), Decimal("-1.50")),)))),
        ("a.where(b = @2000-01)", (Member("a"), Where((((Member("b"),), Moment("2000-01")),)))),
        ("a.where($this.use = 'x')", (Member("a"), Where(((USE, "x"),)))),
        (
            "a.extension('u')",
            (Member("a"), Member("extension"), Where((((Member("url"),), "u"),))),
        ),
        (
            r"a.where(use = 'a\'b\\c\n\u00e9\"\`\/')",
            (Member("a"), Where(((USE, "a'b\\c\n\u00e9\"`/"),))),
        ),
        ("a.where(use = '\u0905 . [0] and')", (Member("a"), Where(((USE, "\u0905 . [0] and"),)))),
        (
            "a.where(b.where(use = 'x').c = 'y')",
            (
                Member("a"),
                Where((((Member("b"), Where(((USE, "x"),)), Member("c")), "y"),)),
            ),
        ),
    ],
)
def test_paths(text: str, steps: tuple[object, ...]) -> None:
    assert parse(text) == steps


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "a.",
        ".a",
        "a..b",
        "a b",
        "a[",
        "a[]",
        "a[-1]",
        "a[1.0]",
        "a['x']",
        "[0]",
        "'x'",
        "a = 1",
        "a | b",
        "a or b",
        "(a).b",
        "a.exists()",
        "a.where(b)",
        "a.where(b > 1)",
        "a.where(b ~ 'x')",
        "a.where(b = c)",
        "a.where(b = 'x' or c = 'y')",
        "a.where(b = 'x'",
        "a.where()",
        "a.where('x' = b)",
        "a.where(b = 'x\\q')",
        'a.where(b = "x")',
        "a.first(1)",
        "a.ofType('x')",
        "a.ofType(System.String)",
        "a.extension(u)",
        "a.resolve()",
        "a.children()",
        "a.as(Quantity)",
        "iif(true, a, b)",
        "%resource.a",
        "a.where(b = 'x').c = 'y'",
        "a" + ".a" * 5_000,
        "a.where(" * 9 + "b = 'x'" + ".c = 'x')" * 9,
        "a.where(" * 1_000,
    ],
)
def test_other_fhirpath_is_refused(text: str) -> None:
    with pytest.raises(BadRequest):
        parse(text)


@given(
    st.lists(
        st.sampled_from(
            [*"ab.()[]='`@1-$ ", "$this", "where(", "first()", "and", "\\", "'x'", "ofType("]
        ),
        max_size=12,
    ).map("".join)
)
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        steps = parse(text)
    except BadRequest:
        steps = (Member("refused"),)
    assert steps
