"""The terminology that comes with the server."""

import pytest

from fhir_server.vocabulary.artefact import Artefact
from fhir_server.vocabulary.build import PACKAGES
from fhir_server.vocabulary.builtin import Builtin
from fhir_server.vocabulary.reading import Readings
from terminology.library import Library
from terminology.operations import Call, answer
from terminology.scope import Scope, find_value_set

CLINICAL = "http://terminology.hl7.org/CodeSystem/condition-clinical"
SMALL = 2_000_000


@pytest.fixture(scope="module")
def artefact() -> Artefact:
    return Artefact()


@pytest.fixture(scope="module")
def library(artefact: Artefact) -> Library:
    return Builtin(artefact, Readings(SMALL))


def test_the_artefact_holds_both_packages_and_is_small(artefact: Artefact) -> None:
    assert artefact.index.packages == PACKAGES
    kinds = [one.type for one in artefact.index.entries]
    assert {kind: kinds.count(kind) for kind in set(kinds)} == {
        "CodeSystem": 1062 + 897 + 3,  # and currencies, countries, time zones
        "ValueSet": 1316 + 2498,
        "ConceptMap": 80,
    }
    assert sum(one.length for one in artefact.index.entries) < 3_000_000


def test_what_needs_a_licence_is_not_in_the_artefact(artefact: Artefact) -> None:
    urls = {one.url for one in artefact.index.entries}
    assert "http://terminology.hl7.org/ValueSet/snomed-intl-gps" not in urls
    systems = {one.url: one.content for one in artefact.index.entries if one.type == "CodeSystem"}
    assert systems["http://snomed.info/sct"] == "not-present"
    assert systems.keys().isdisjoint({"http://loinc.org", "http://unitsofmeasure.org"})


async def latest(library: Library, url: str) -> str | None:
    """The version of the code system that who names none gets."""
    asked = {"resourceType": "Parameters", "parameter": [{"name": "system", "valueUri": url}]}
    asked["parameter"] += [{"name": "code", "valueCode": "active"}]  # type: ignore[attr-defined]
    found = (await answer(library, Call("CodeSystem", "lookup", asked))).resource
    return next(one["valueString"] for one in found["parameter"] if one["name"] == "version")


async def test_who_names_no_version_gets_the_edition_of_hl7_terminology(library: Library) -> None:
    versions = {one.head.version: one.head for one in await library.code_systems(CLINICAL)}
    assert {version: head.superseded for version, head in versions.items()} == {
        "4.0.1": True,
        "3.0.0": False,
    }
    assert await latest(library, CLINICAL) == "3.0.0"


async def test_a_value_set_of_r4_means_the_edition_of_r4(library: Library) -> None:
    url = "http://hl7.org/fhir/ValueSet/condition-clinical"
    asked = {"resourceType": "Parameters", "parameter": [{"name": "url", "valueUri": url}]}
    found = (await answer(library, Call("ValueSet", "expand", asked))).resource
    used = [one for one in found["expansion"]["parameter"] if one["name"] == "used-codesystem"]
    assert [one["valueUri"] for one in used] == [f"{CLINICAL}|4.0.1"]


async def test_a_coding_of_the_later_edition_is_judged_by_it(library: Library) -> None:
    url = "http://hl7.org/fhir/ValueSet/condition-clinical"
    coding = {"system": CLINICAL, "version": "3.0.0", "code": "active"}
    asked = [{"name": "url", "valueUri": url}, {"name": "coding", "valueCoding": coding}]
    call = Call("ValueSet", "validate-code", {"resourceType": "Parameters", "parameter": asked})
    given = {one["name"]: one for one in (await answer(library, call)).resource["parameter"]}
    assert given["result"]["valueBoolean"] is True
    assert given["version"]["valueString"] == "3.0.0"


async def test_a_version_named_is_the_one_given(library: Library) -> None:
    url = "http://terminology.hl7.org/ValueSet/v3-ActCode"
    for asked, version in ((url, "3.0.0"), (f"{url}|2018-08-12", "2018-08-12")):
        found = await find_value_set(Scope(library), asked)
        assert found is not None
        assert (found.version or "").startswith(version[:4])


async def test_concept_maps_are_found_by_url_and_by_system(library: Library) -> None:
    url = "http://hl7.org/fhir/ConceptMap/cm-address-type-v3"
    (by_url,) = await library.concept_maps(url, None)
    system = "http://hl7.org/fhir/address-type"
    assert by_url in await library.concept_maps(None, system)
    assert await library.concept_maps("http://example.org/none", None) == []


async def test_what_is_read_stays_within_its_bound(artefact: Artefact) -> None:
    readings = Readings(100_000)
    library = Builtin(artefact, readings)
    entries = [one for one in artefact.index.entries if one.type == "CodeSystem"][:200]
    for entry in entries:
        await library.code_systems(entry.url)
        values = readings.kept.values
        assert values.size <= 100_000 or len(values) == 1
    assert sum(entry.size for entry in entries) > 200_000


async def test_the_systems_listed_have_content(library: Library) -> None:
    listed = await library.systems()
    assert sorted(listed[CLINICAL]) == ["3.0.0", "4.0.1"]
    assert "http://snomed.info/sct" not in listed


async def test_code_lists_that_r4_names_and_does_not_define_are_there(library: Library) -> None:
    for url, code, display in (
        ("urn:iso:std:iso:4217", "INR", "Indian rupee"),
        ("urn:iso:std:iso:3166", "IN", "India"),
        ("https://www.iana.org/time-zones", "Asia/Kolkata", "Asia/Kolkata"),
    ):
        (system,) = await library.code_systems(url)
        assert (await system.find([code]))[code].display == display
