import pytest

from fhir_server.errors import BadRequest
from fhir_server.search.uri import ancestors

from .matching import Json, finds, query


def value_set(url: str) -> Json:
    return {"resourceType": "ValueSet", "url": url}


VERSIONED = value_set("http://example.org/v") | {"version": "1.2"}
SYSTEM = {"resourceType": "CodeSystem", "url": "http://example.org/c", "version": "3"}
A = value_set("http://example.org/fhir/ValueSet/a")
PROFILED = {"resourceType": "Patient", "meta": {"profile": ["http://example.org/p|1.2"]}}


@pytest.mark.parametrize(
    ("text", "stored", "expected"),
    [
        ("url=http://example.org/fhir/ValueSet/a", A, True),
        ("url=http://example.org/fhir/ValueSet/A", A, False),
        ("url=http://example.org/fhir/ValueSet", A, False),
        ("url=http://example.org/fhir/ValueSet/a/", A, False),
        ("url:below=http://example.org/fhir", A, True),
        ("url:below=http://example.org/fhir/", A, True),
        ("url:below=http://example.org/fh", A, False),
        ("url:below=http://example.org/fhir/ValueSet/a", A, True),
        ("url:below=http://example.org/fhir/ValueSet/a/b", A, False),
        ("url:above=http://example.org/fhir/ValueSet/a/b/c", A, True),
        ("url:above=http://example.org/fhir/ValueSet/a", A, True),
        ("url:above=http://example.org/fhir/ValueSet/ab", A, False),
        ("url:above=http://example.org/fhir", A, False),
        ("url:missing=true", A, False),
        ("url:missing=true", {"resourceType": "ValueSet"}, True),
        ("url=urn:oid:1.2", value_set("urn:oid:1.2"), True),
        ("_profile=http://example.org/p", PROFILED, True),
        ("_profile=http://example.org/p|1.2", PROFILED, True),
        ("_profile=http://example.org/p|1", PROFILED, False),
        ("_profile=http://example.org/q", PROFILED, False),
        ("_profile:below=http://example.org/p", PROFILED, True),
        ("_profile:below=http://example.org", PROFILED, True),
        ("_profile:below=http://example.org/p|1", PROFILED, True),
        ("_profile:below=http://example.org/p|1.2", PROFILED, True),
        ("_profile:below=http://example.org/p|1.20", PROFILED, False),
        ("_profile:below=http://example.org/p|2", PROFILED, False),
        ("_profile:above=http://example.org/p/x", PROFILED, True),
        ("url=http://example.org/v", VERSIONED, True),
        ("url=http://example.org/v|1.2", VERSIONED, True),
        ("url=http://example.org/v|1", VERSIONED, False),
        ("url=http://example.org/v|2", VERSIONED, False),
        ("url=http://example.org/x|1.2", VERSIONED, False),
        ("url=http://example.org/fhir/ValueSet/a|1", A, False),
        ("url=http://example.org/c|3", SYSTEM, True),
        ("url=http://example.org/c|4", SYSTEM, False),
        ("url:below=http://example.org/fhir//", A, False),
        (r"url=http://example.org/a\,b", value_set("http://example.org/a,b"), True),
        ("url=http://example.org/a,http://example.org/v", VERSIONED, True),
        ("_source=urn:x", {"resourceType": "Patient", "meta": {"source": "urn:x"}}, True),
    ],
)
def test_uris(text: str, stored: Json, *, expected: bool) -> None:
    assert finds(text, stored) is expected


@pytest.mark.parametrize("modifier", ["above", "below"])
def test_a_urn_has_no_hierarchy(modifier: str) -> None:
    with pytest.raises(BadRequest):
        query("ValueSet", f"url:{modifier}=urn:oid:1.2")


def test_ancestors_are_cut_at_slashes_of_the_path() -> None:
    assert ancestors("http://a.org/b/c") == [
        "http://a.org/b/c",
        "http://a.org",
        "http://a.org/b",
        "http://a.org/",
        "http://a.org/b/",
    ]
