"""The public suites of JSON Patch and FHIRPath Patch."""

from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from fhir_server.config import Limits
from fhir_server.errors import BadRequest, SangamError
from fhir_server.patch import fhirpath_patch, json_patch
from fhir_server.r4 import json
from fhir_server.r4.definitions import load
from fhir_server.r4.xml import from_xml

SUITES = "data/fhir-test-cases/r4/patch"
JSON_CASES = 16
FHIRPATH_CASES = 33
DEFINITIONS = load()


def resource(element: ET.Element) -> dict[str, object]:
    return from_xml(DEFINITIONS, ET.tostring(element[0]), Limits())


def test_json_patch_suite(shared: Path) -> None:
    cases = json.decode((shared / SUITES / "json-patch-tests.json").read_bytes())
    for case in cases:
        before = json.encode(case["doc"])
        if "error" in case:
            with pytest.raises(SangamError):
                json_patch.apply(case["doc"], case["patch"])
        else:
            assert json_patch.apply(case["doc"], case["patch"]) == case["expected"], case["comment"]
        assert json.encode(case["doc"]) == before
    print(f"\nJSON Patch: {len(cases)} of {len(cases)} cases")  # noqa: T201  (the count that ran)
    assert len(cases) >= JSON_CASES


def test_fhirpath_patch_suite(shared: Path) -> None:
    cases = ET.parse(shared / SUITES / "fhir-patch-tests.xml").getroot()
    count = 0
    for case in cases.iter("case"):
        document = resource(case.find("input"))
        parameters = resource(case.find("diff"))
        before = json.encode(document)
        if case.find("error") is not None:
            with pytest.raises(BadRequest):
                fhirpath_patch.apply(DEFINITIONS, "Patient", document, parameters)
        else:
            expected = resource(case.find("output"))
            patched = fhirpath_patch.apply(DEFINITIONS, "Patient", document, parameters)
            assert patched == expected, case.get("name")
        assert json.encode(document) == before
        count += 1
    print(f"\nFHIRPath Patch: {count} of {count} cases")  # noqa: T201  (the count that ran)
    assert count >= FHIRPATH_CASES
