import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.access import scopes
from fhir_server.access.scope_words import in_words
from fhir_server.access.scopes import Scope
from fhir_server.rights import LETTERS, Grant, Inside, Matching

LAB = "http://terminology.hl7.org/CodeSystem/observation-category|laboratory"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("patient/Observation.rs", Scope("patient", "Observation", "rs")),
        ("user/*.cruds", Scope("user", "*", "cruds")),
        ("system/Patient.u", Scope("system", "Patient", "u")),
        ("patient/Observation.read", Scope("patient", "Observation", "rs")),
        ("user/Observation.write", Scope("user", "Observation", "cud")),
        ("user/*.*", Scope("user", "*", "cruds")),
        (
            f"patient/Observation.rs?category={LAB}",
            Scope("patient", "Observation", "rs", (("category", LAB),)),
        ),
        (
            "user/Observation.s?code:in=http%3A%2F%2Fexample.org%2Fvs&status=final",
            Scope(
                "user",
                "Observation",
                "s",
                (("code:in", "http://example.org/vs"), ("status", "final")),
            ),
        ),
        ("user/Patient.r?_tag=a|b", Scope("user", "Patient", "r", (("_tag", "a|b"),))),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_scope_is_read_as_smart_writes_it(text: str, expected: Scope) -> None:
    assert scopes.parse(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "openid",
        "launch/patient",
        "patient/Observation",
        "patient/Observation.",
        "patient/Observation.sr",
        "patient/Observation.rr",
        "patient/Observation.x",
        "patient/Observation.Read",
        "patient/observation.rs",
        "Patient/Observation.rs",
        "person/Observation.rs",
        "patient/Observation.rs?",
        "patient/Observation.?category=a",
        "patient/Observation.read?category=a",
        "patient/Observation.*?category=a",
        "patient/Observation.rs?category",
        "patient/Observation.rs?category=",
        "patient/Observation.rs?patient.name=a",
        "patient/Observation.rs?_has:Group:member:_id=1",
        "patient/Observation.rs?_filter=code%20eq%20a",
        "patient/Observation.rs?category:not=a",
        "patient/Observation.rs?code:below=a",
        "patient/Observation.rs?_sort=date",
        "patient/Observation.rs?_include=Observation:subject",
        "patient/Observation.rs?_elements=id",
        "patient/Observation.rs?category=a&patient.name=b",
        "patient/Observation.rs?category=%ff",
        "patient/*.rs/",
    ],
    ids=repr,
)
def test_scope_that_does_not_parse_grants_nothing(text: str) -> None:
    assert scopes.wall(text, "1") == ()


def test_scopes_are_grants_of_their_own() -> None:
    text = f"user/Observation.rs?category={LAB}&status=final openid user/Patient.u nonsense"
    assert scopes.wall(text, None) == (
        Grant("Observation", "rs", (Matching((("category", LAB), ("status", "final"))),)),
        Grant("Patient", "u"),
    )


def test_patient_scopes_are_bound_to_the_patient_in_context() -> None:
    text = "patient/Observation.cruds patient/Practitioner.cruds patient/Organization.cud"
    assert scopes.wall(text, "p1") == (
        Grant("Observation", "cruds", (Inside("Patient", "p1"),)),
        Grant("Practitioner", "rs"),
    )


def test_patient_scopes_without_a_patient_grant_nothing() -> None:
    assert scopes.wall("patient/*.cruds user/Patient.r", None) == (Grant("Patient", "r"),)


def test_patient_scope_on_all_types_opens_only_what_lies_alongside() -> None:
    whole, *beside = scopes.wall("patient/*.cruds", "p1")
    assert whole == Grant("*", "cruds", (Inside("Patient", "p1"),))
    assert {one.letters for one in beside} == {"rs"}
    assert {one.limits for one in beside} == {()}
    assert "Task" not in {one.type for one in beside}
    assert "Medication" in {one.type for one in beside}


def test_a_space_and_a_plus_in_a_query_mean_a_blank() -> None:
    assert scopes.parse("user/Patient.r?name=a+b") == Scope(
        "user", "Patient", "r", (("name", "a b"),)
    )


@pytest.mark.parametrize(
    ("asked", "granted", "is_narrower"),
    [
        ("patient/Observation.r", "patient/Observation.rs", True),
        ("patient/Observation.rs", "patient/*.read", True),
        ("patient/Observation.rs?category=a", "patient/Observation.rs", True),
        ("patient/Observation.rs?category=a", "patient/Observation.rs?category=a,b", True),
        ("user/Patient.rs", "user/Patient.r user/Patient.s", True),
        ("openid user/Patient.r", "user/Patient.r openid", True),
        ("", "user/Patient.r", True),
        ("patient/Observation.rs", "patient/Observation.r", False),
        ("patient/*.rs", "patient/Observation.rs", False),
        ("user/Observation.rs", "patient/Observation.rs", False),
        ("patient/Observation.rs", "patient/Observation.rs?category=a", False),
        ("patient/Observation.rs?category=a,c", "patient/Observation.rs?category=a,b", False),
        ("patient/Observation.rs?status=a", "patient/Observation.rs?category=a", False),
        ("offline_access", "openid", False),
        ("nonsense", "user/*.cruds", False),
    ],
)
def test_refresh_gets_the_same_or_narrower_scopes(
    asked: str, granted: str, *, is_narrower: bool
) -> None:
    assert scopes.narrower(asked, granted) is is_narrower


def test_operator_scopes_are_those_of_the_table() -> None:
    text = "sangam/roles sangam/audit sangam/tenants system/Patient.r"
    assert scopes.operators(text) == {"roles", "audit"}


_values = st.text(min_size=1, max_size=12).filter(str.strip)


@given(
    st.sampled_from(("patient", "user", "system")),
    st.sampled_from(("Observation", "*")),
    st.sets(st.sampled_from(LETTERS), min_size=1),
    st.dictionaries(st.sampled_from(("category", "code:in", "_tag")), _values, max_size=3),
)
def test_written_scope_reads_as_itself(
    context: str, type_name: str, letters: set[str], pairs: dict[str, str]
) -> None:
    ordered = "".join(one for one in LETTERS if one in letters)
    scope = Scope(context, type_name, ordered, tuple(sorted(pairs.items())))
    assert scopes.parse(str(scope)) == scope


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            f"patient/Observation.rs?category={LAB}",
            (
                "Read and search measurements and laboratory results of this patient, only where "
                "category is laboratory"
            ),
        ),
        (
            "user/*.cruds",
            "Read, search, add, change and delete all records that you have access to",
        ),
        ("system/NutritionOrder.c", "Add nutrition order records of all patients"),
        ("launch/patient", "Ask you which patient it is about"),
        ("sangam/roles", "Operate the server: change what roles may do"),
        ("patient/Observation.sr", "Nothing: patient/Observation.sr is not known here"),
    ],
)
def test_scopes_are_said_in_words(text: str, words: str) -> None:
    assert in_words(text) == words
