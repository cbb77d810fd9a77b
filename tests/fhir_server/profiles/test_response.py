"""Answers judged by their questions."""

from typing import Any

import pytest

from tests.fhir_server.profiles.conftest import Judge, World

Json = dict[str, Any]
URL = "http://example.org/Questionnaire/q"
EXTENSION = "http://hl7.org/fhir/StructureDefinition/"


def question(kind: str = "string", **more: Any) -> Json:
    return {"linkId": "1", "type": kind, **more}


def item(*answers: Json, link_id: str = "1") -> Json:
    return {"linkId": link_id, **({"answer": list(answers)} if answers else {})}


PLACE = "QuestionnaireResponse.item[0]"
STRING = {"valueString": "x"}
OPTION = [{"valueCoding": {"system": "http://s", "code": "a"}}]


@pytest.mark.parametrize(
    ("asked", "given", "found"),
    [
        pytest.param([question()], [item(STRING)], [], id="answered"),
        pytest.param(
            [question(required=True)],
            [],
            [("required", "QuestionnaireResponse")],
            id="required",
        ),
        pytest.param(
            [question()],
            [item(STRING, link_id="2")],
            [("not-found", PLACE)],
            id="unknown linkId",
        ),
        pytest.param(
            [question()],
            [item(STRING, STRING)],
            [("structure", PLACE)],
            id="several answers to what does not repeat",
        ),
        pytest.param(
            [question(), {"linkId": "2", "type": "string"}],
            [item(STRING, link_id="2"), item(STRING)],
            [("structure", "QuestionnaireResponse.item[1]")],
            id="out of order",
        ),
        pytest.param(
            [question("integer")],
            [item(STRING)],
            [("structure", f"{PLACE}.answer[0].value.ofType(string)")],
            id="type",
        ),
        pytest.param(
            [question("choice", answerOption=OPTION)],
            [item({"valueCoding": {"system": "http://s", "code": "b"}})],
            [("code-invalid", f"{PLACE}.answer[0].value.ofType(Coding)")],
            id="none of the options",
        ),
        pytest.param(
            [question("open-choice", answerOption=OPTION)], [item(STRING)], [], id="open choice"
        ),
        pytest.param(
            [question(extension=[{"url": f"{EXTENSION}regex", "valueString": "[0-9]+"}])],
            [item(STRING)],
            [("value", f"{PLACE}.answer[0].value.ofType(string)")],
            id="form",
        ),
        pytest.param(
            [
                question("boolean"),
                {
                    "linkId": "2",
                    "type": "string",
                    "enableWhen": [{"question": "1", "operator": "=", "answerBoolean": True}],
                },
            ],
            [item({"valueBoolean": False}), item(STRING, link_id="2")],
            [("invalid", "QuestionnaireResponse.item[1]")],
            id="not enabled",
        ),
        pytest.param(
            [{"linkId": "g", "type": "group", "item": [question()]}],
            [{"linkId": "g", "item": [item(STRING)]}, {"linkId": "g", "item": [item(STRING)]}],
            [("structure", "QuestionnaireResponse.item[1]")],
            id="group that does not repeat",
        ),
    ],
)
def test_answers(
    world: World,
    errors: Judge,
    asked: list[Json],
    given: list[Json],
    found: list[tuple[str, str]],
) -> None:
    world.resources[URL] = {"resourceType": "Questionnaire", "url": URL, "item": asked}
    response = {"resourceType": "QuestionnaireResponse", "questionnaire": URL}
    assert errors(response | {"status": "completed", "item": given}) == found


def test_required_answers_may_come_later(world: World, errors: Judge) -> None:
    asked = [question(required=True)]
    world.resources[URL] = {"resourceType": "Questionnaire", "url": URL, "item": asked}
    response = {"resourceType": "QuestionnaireResponse", "questionnaire": URL}
    assert errors(response | {"status": "in-progress"}) == []
