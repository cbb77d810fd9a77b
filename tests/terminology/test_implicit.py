import pytest

from terminology.implicit import implicit_value_set

SCT = "http://snomed.info/sct"


@pytest.mark.parametrize(
    ("url", "system", "version", "filters"),
    [
        (f"{SCT}?fhir_vs", SCT, None, []),
        (f"{SCT}?fhir_vs=isa/73211009", SCT, None, [("concept", "is-a", "73211009")]),
        (f"{SCT}?fhir_vs=refset", SCT, None, [("constraint", "=", "^ [refsetId] *")]),
        (f"{SCT}?fhir_vs=refset/5", SCT, None, [("concept", "in", "5")]),
        (f"{SCT}?fhir_vs=ecl/%3C%2073211009", SCT, None, [("constraint", "=", "< 73211009")]),
        (f"{SCT}/11/version/20250101?fhir_vs", SCT, f"{SCT}/11/version/20250101", []),
        ("http://loinc.org/vs", "http://loinc.org", None, []),
        ("http://loinc.org/vs/LL715-4", "http://loinc.org", None, [("LIST", "=", "LL715-4")]),
        ("http://unitsofmeasure.org/vs", "http://unitsofmeasure.org", None, []),
        ("http://hl7.org/fhir/ValueSet/all-languages", "urn:ietf:bcp:47", None, []),
    ],
)
def test_the_url_says_which_codes_belong(
    url: str, system: str, version: str | None, filters: list[tuple[str, str, str]]
) -> None:
    found = implicit_value_set(url)
    assert found is not None
    (include,) = found.includes
    assert (include.system, include.version) == (system, version)
    assert [(one.property, one.op, one.value) for one in include.filters] == filters


@pytest.mark.parametrize(
    "url", [f"{SCT}?fhir_vs=none/1", f"{SCT}?fhir_vs=isa", f"{SCT}?fhir_cm=1", "http://a/vs"]
)
def test_other_urls_imply_nothing(url: str) -> None:
    assert implicit_value_set(url) is None
