from urllib.parse import parse_qsl

import pytest

from fhir_server.config import Limits, SearchSettings
from fhir_server.errors import BadRequest, SangamError
from fhir_server.search.parse import Rules, parse
from fhir_server.search.query import CREATION, CodeKey, ColumnKey, Include, RowKey

from .matching import REGISTRY, RULES, query

LENIENT = Rules(RULES.search, RULES.limits, lenient=True)


def pairs(text: str) -> list[tuple[str, str]]:
    return parse_qsl(text, keep_blank_values=True)


def test_an_unknown_parameter_is_named_with_the_valid_ones() -> None:
    with pytest.raises(BadRequest) as refused:
        query("Basic", "colour=red")
    (issue,) = refused.value.issues
    assert (issue.severity, issue.code, issue.expression) == ("error", "invalid", "colour")
    assert issue.text == (
        "Basic has no such search parameter. It has _id, _lastUpdated, _profile, _security, "
        "_source, _tag, author, code, created, identifier, patient, subject."
    )


def test_names_are_case_sensitive() -> None:
    with pytest.raises(BadRequest):
        query("Patient", "Gender=male")


@pytest.mark.parametrize(
    ("text", "code", "status"),
    [
        ("colour=red", "invalid", 400),
        ("colour:exact=red", "invalid", 400),
        ("name=", "invalid", 400),
        ("name:phonetic=x", "not-supported", 400),
        ("gender:exact=male", "not-supported", 400),
        ("_filter=name is x", "value", 400),
        ("_query=x", "not-supported", 400),
        ("_contained=true", "not-supported", 400),
        ("_count=ten", "value", 400),
        ("_count=-1", "value", 400),
        ("_count=1&_count=2", "invalid", 400),
        ("_count:x=1", "not-supported", 400),
        ("_total=all", "value", 400),
        ("_summary=some", "value", 400),
        ("_sort=colour", "invalid", 400),
        ("_sort=name:exact", "not-supported", 400),
        ("_include=Patient", "value", 400),
        ("_include=Patient:name", "value", 400),
        ("_include=Nothing:x", "value", 400),
        ("_include=Patient:organization:Nothing", "value", 400),
        ("_include=Patient:organization,Patient:link", "value", 400),
        ("_include:x=Patient:organization", "not-supported", 400),
        ("_summary=text&_include=Patient:organization", "invalid", 400),
        ("_elements=name&_summary=true", "invalid", 400),
        ("birthdate=xx2020", "not-supported", 400),
        ("birthdate=tomorrow", "value", 400),
    ],
)
def test_refusals(text: str, code: str, status: int) -> None:
    with pytest.raises(SangamError) as refused:
        query("Patient", text)
    (issue,) = refused.value.issues
    assert (issue.code, refused.value.status) == (code, status)
    assert issue.expression in text.replace("=", "&").split("&")


def test_lenient_handling_passes_over_unknown_and_empty_parameters_with_warnings() -> None:
    found = parse(REGISTRY, "Patient", pairs("colour=red&name=&gender=male"), LENIENT)
    assert found.applied == (("gender", "male"),)
    assert [(w.severity, w.expression) for w in found.warnings] == [
        ("warning", "colour"),
        ("warning", "name"),
    ]


@pytest.mark.parametrize("text", ["gender:exact=male", "birthdate=x", "_filter=x", "_sort=colour"])
def test_lenient_handling_relaxes_nothing_else(text: str) -> None:
    with pytest.raises(SangamError):
        parse(REGISTRY, "Patient", pairs(text), LENIENT)


def test_limits() -> None:
    limits = Limits(search_parameters=2, or_values=2)
    rules = Rules(SearchSettings(), limits)
    parse(REGISTRY, "Patient", pairs("name=a,b&name=c"), rules)
    for text in ("name=a&name=b&name=c", "name=a,b,c"):
        with pytest.raises(BadRequest) as refused:
            parse(REGISTRY, "Patient", pairs(text), rules)
        assert refused.value.issues[0].code == "too-costly"


def test_count_is_reduced_to_the_maximum_and_the_self_link_says_so() -> None:
    found = query("Patient", "_count=100000&name=x")
    assert found.count == 1000
    assert found.applied == (("_count", "1000"), ("name", "x"))


def test_summary_count_asks_for_no_page() -> None:
    assert query("Patient", "_summary=count").count == 0
    assert query("Patient", "").count == 50


def test_without_sort_the_newest_created_come_first() -> None:
    assert query("Patient", "").sort == (CREATION,)


def test_sort_keys() -> None:
    date, status, at, id_ = query("Observation", "_sort=-date,status,_lastUpdated,-_id").sort
    assert date == RowKey("idx_date", "low", date.params, single=True, descending=True)
    assert status == CodeKey(status.params, descending=False)
    assert at == ColumnKey("last_updated", descending=False)
    assert id_ == ColumnKey("id", descending=True)


def test_a_sort_by_a_repeating_element_is_not_single() -> None:
    (family,) = query("Patient", "_sort=family").sort
    assert isinstance(family, RowKey)
    assert not family.single


def test_includes() -> None:
    text = "_include=Observation:subject:Patient&_revinclude:iterate=Provenance:target&_include=*"
    forward, reverse, all_ = query("Observation", text).includes
    ids = REGISTRY.context.type_ids
    subject = REGISTRY.parameters("Observation")["subject"].id
    target = REGISTRY.parameters("Provenance")["target"].id
    types = (ids["Patient"],)
    assert forward == Include((subject,), *types, reverse=False, iterate=False, types=types)
    types = (ids["Provenance"],)
    assert reverse == Include((target,), None, reverse=True, iterate=True, types=types)
    assert (all_.params, all_.target, all_.reverse, all_.iterate) == (None, None, False, False)


def test_every_parameter_of_every_type_can_be_asked_whether_it_is_missing() -> None:
    asked = 0
    for type_name in REGISTRY.definitions.resource_types:
        for code, parameter in REGISTRY.parameters(type_name).items():
            if parameter.type != "composite" and code not in ("_id", "_lastUpdated"):
                assert query(type_name, f"{code}:missing=true").conditions
                asked += 1
    assert asked == 2218
