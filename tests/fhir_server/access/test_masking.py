"""What is left of a resource that is shown in part."""

from types import SimpleNamespace
from typing import Any

import pytest

from fhir_server.access.masking import hidden, masked, parts
from fhir_server.rights import ANY, Grant, Rights
from fhir_server.search.parameter import Parameter, parameter_id

URL = "http://example.org/remark"
OUT = ["note", "text", URL]
TAG = {
    "system": "http://terminology.hl7.org/CodeSystem/v3-ObservationValue",
    "code": "SUBSETTED",
}
DAR = "http://hl7.org/fhir/StructureDefinition/data-absent-reason"


def whole(**more: Any) -> dict[str, Any]:
    return {"resourceType": "Condition", "id": "c", **more}


def cut(**more: Any) -> dict[str, Any]:
    return {"resourceType": "Condition", "id": "c", "meta": {"tag": [TAG]}, **more}


CASES = {
    "note": (whole(note=[{"text": "secret"}], code={"text": "Flu"}), cut(code={"text": "Flu"})),
    "narrative": (whole(text={"status": "generated", "div": "secret"}), cut()),
    "note-inside": (
        whole(stage=[{"note": [{"text": "secret"}], "type": {"text": "T"}}]),
        cut(stage=[{"type": {"text": "T"}}]),
    ),
    "named-extension": (
        whole(extension=[{"url": URL, "valueCode": "x"}, {"url": "u:a", "valueCode": "y"}]),
        cut(extension=[{"url": "u:a", "valueCode": "y"}]),
    ),
    "free-text-in-an-extension": (
        whole(extension=[{"url": "u:a", "valueString": "secret"}]),
        cut(),
    ),
    "free-text-in-an-extension-of-an-extension": (
        whole(extension=[{"url": "u:a", "extension": [{"url": "u:b", "valueMarkdown": "secret"}]}]),
        cut(),
    ),
    "modifier-extension-is-known-of": (
        whole(modifierExtension=[{"url": "u:m", "valueString": "secret"}]),
        cut(
            modifierExtension=[
                {"url": "u:m", "extension": [{"url": DAR, "valueCode": "masked"}]},
            ]
        ),
    ),
    "extension-of-a-primitive": (
        whole(
            recordedDate="2024",
            _recordedDate={"extension": [{"url": "u:a", "valueString": "secret"}]},
        ),
        cut(recordedDate="2024"),
    ),
    "extensions-of-a-list-of-primitives": (
        whole(
            instantiatesUri=["u:1", "u:2"],
            _instantiatesUri=[
                {"extension": [{"url": URL, "valueCode": "secret"}]},
                {"extension": [{"url": "u:a", "valueCode": "y"}]},
            ],
        ),
        cut(
            instantiatesUri=["u:1", "u:2"],
            _instantiatesUri=[None, {"extension": [{"url": "u:a", "valueCode": "y"}]}],
        ),
    ),
    "contained-that-only-a-note-led-to": (
        whole(
            contained=[
                {"resourceType": "Practitioner", "id": "a"},
                {"resourceType": "Practitioner", "id": "b"},
            ],
            note=[{"authorReference": {"reference": "#a"}, "text": "secret"}],
            asserter={"reference": "#b"},
        ),
        cut(
            contained=[{"resourceType": "Practitioner", "id": "b"}],
            asserter={"reference": "#b"},
        ),
    ),
    "contained-in-part-too": (
        whole(
            contained=[{"resourceType": "Observation", "id": "o", "note": [{"text": "secret"}]}],
            evidence=[{"detail": [{"reference": "#o"}]}],
        ),
        cut(
            contained=[{"resourceType": "Observation", "id": "o"}],
            evidence=[{"detail": [{"reference": "#o"}]}],
        ),
    ),
    "tag-once": (
        whole(meta={"versionId": "1", "tag": [TAG]}),
        cut(meta={"versionId": "1", "tag": [TAG]}),
    ),
}


@pytest.mark.parametrize(("given", "expected"), CASES.values(), ids=CASES)
def test_named_elements_and_free_text_are_left_out(
    given: dict[str, Any], expected: dict[str, Any]
) -> None:
    assert masked(given, OUT) == expected
    assert list(masked(given, OUT))[:3] == ["resourceType", "id", "meta"]


def test_rights_to_whole_resources_have_no_parts() -> None:
    assert parts(Rights(((Grant(ANY, "rs"),),))) is None


def test_what_several_grants_leave_out_adds_up() -> None:
    walls = (
        (Grant("Condition", "rs", (), ("note",)), Grant("Patient", "rs")),
        (Grant(ANY, "r", (), ("text",)),),
    )
    found = parts(Rights(walls))
    assert found is not None
    assert found.of("Condition") == {"note", "text"}
    assert found.of("Patient") == {"text"}
    assert found.whole.walls == ((Grant("Patient", "rs"),), ())


@pytest.mark.parametrize(
    ("expression", "looks"),
    [
        ("Condition.note.text", True),
        ("Condition.note.author.as(Reference)", True),
        ("Condition.text.div", True),
        ("DomainResource.text", True),
        ("Condition.extension('urn:a').value", True),
        ("Condition.contained.where(", True),
        ("Condition.code.text", False),
        ("Procedure.note.text", False),
        ("Condition.code", False),
    ],
)
def test_parameter_that_looks_at_what_is_left_out_is_known(expression: str, *, looks: bool) -> None:
    code = "own"
    own = Parameter(parameter_id("Condition", code), "Condition", code, "token", "u", expression)
    server: Any = SimpleNamespace(
        registry=SimpleNamespace(parameters={"Condition": {code: own}}.get)
    )
    found = parts(Rights(((Grant("Condition", "rs", (), ("note", "text")),),)))
    assert found is not None
    expected = {"_text", "_content", code} if looks else {"_text", "_content"}
    assert hidden(server, found, ["Condition", "Patient"]) == expected
