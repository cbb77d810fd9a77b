"""A QuestionnaireResponse judged by its Questionnaire.

https://hl7.org/fhir/R4/questionnaireresponse.html
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from fhir_server.profiles.answer import judge_answer
from fhir_server.profiles.enabling import answers_of, is_enabled, items_in
from fhir_server.profiles.scope import Scope
from fhir_server.profiles.walk import Walk

Json = Mapping[str, Any]
_MIN: Final = "http://hl7.org/fhir/StructureDefinition/questionnaire-minOccurs"
_MAX: Final = "http://hl7.org/fhir/StructureDefinition/questionnaire-maxOccurs"
_NO_ANSWERS: Final = frozenset(("group", "display", "question"))


class _Given(NamedTuple):
    """An item of the response, and its place."""

    item: Json
    place: str


def extension_value(holder: Json, url: str) -> Any:  # noqa: ANN401  (JSON)
    """Return the value of an extension of this URL."""
    found = holder.get("extension")
    for one in found if type(found) is list else ():
        if type(one) is dict and one.get("url") == url:
            return next((one[name] for name in one if name.startswith("value")), None)
    return None


def judge_response(walk: Walk, scope: Scope) -> None:
    """Judge a response by the Questionnaire that it names, if that is known."""
    response, place = scope.resource.node.value, scope.resource.place
    canonical = response.get("questionnaire")
    if type(canonical) is not str:
        return
    found = _questionnaire(walk, scope, canonical)
    if found is None:
        text = "The Questionnaire is not known, so the answers were not judged"
        walk.note("information", "not-found", text, f"{place}.questionnaire")
    elif found.get("resourceType") != "Questionnaire":
        text = "The canonical leads to no Questionnaire"
        walk.note("error", "invalid", text, f"{place}.questionnaire")
    else:
        _Response(walk, scope, found).level(items_in(found), response, place)


def _questionnaire(walk: Walk, scope: Scope, canonical: str) -> Json | None:
    if canonical.startswith("#"):
        contained = scope.root.node.value.get("contained", ())
        return next((one for one in contained if one.get("id") == canonical[1:]), None)
    return walk.targets.resource(canonical)


class _Response:
    def __init__(self, walk: Walk, scope: Scope, questionnaire: Json) -> None:
        self.walk = walk
        self.scope = scope
        self.response = scope.resource.node.value
        self.questionnaire = questionnaire
        self.known = _link_ids(questionnaire)
        self.final = self.response.get("status") in {"completed", "amended"}

    def error(self, code: str, text: str, place: str) -> None:
        self.walk.note("error", code, text, place)

    def level(self, asked: Sequence[Json], holder: Json, place: str) -> None:
        """Judge the items directly in the response, an item or an answer."""
        self.walk.budget.spend(1 + len(asked))
        given: dict[object, list[_Given]] = {}
        order = {one.get("linkId"): number for number, one in enumerate(asked)}
        latest = -1
        for index, item in enumerate(items_in(holder)):
            one = _Given(item, f"{place}.item[{index}]")
            link_id = item.get("linkId")
            if link_id not in order:
                self.misplaced(link_id, one.place)
                continue
            if order[link_id] < latest:
                self.error(
                    "structure", "The items are not in the order of the questions", one.place
                )
            latest = max(latest, order[link_id])
            given.setdefault(link_id, []).append(one)
        for question in asked:
            self.question(question, given.get(question.get("linkId"), []), place)

    def misplaced(self, link_id: object, place: str) -> None:
        if link_id in self.known:
            self.error("structure", "The question stands elsewhere in the Questionnaire", place)
        else:
            self.error("not-found", "The Questionnaire has no such linkId", place)

    def question(self, question: Json, given: Sequence[_Given], place: str) -> None:
        """Judge what is given for one item of the Questionnaire."""
        if not is_enabled(question, self.response, self.walk.units):
            for one in given:
                if answers_of(one.item) or items_in(one.item):
                    self.error("invalid", "There is an answer to what is not enabled", one.place)
            return
        kind = question.get("type")
        if kind == "group":
            self.group(question, given, place)
        elif kind in _NO_ANSWERS:
            for one in given:
                if answers_of(one.item):
                    self.error("structure", "Such an item has no answers", one.place)
        else:
            self.answered(question, given, place)

    def group(self, question: Json, given: Sequence[_Given], place: str) -> None:
        if question.get("required") and self.final:
            if not given:
                self.error("required", "A required group is missing", place)
            for one in given:
                if not items_in(one.item):
                    self.error("required", "A required group is empty", one.place)
        if len(given) > 1 and not question.get("repeats"):
            self.error("structure", "The group may be given once only", given[1].place)
        for one in given:
            if answers_of(one.item):
                self.error("structure", "A group has no answers", one.place)
            self.level(items_in(question), one.item, one.place)

    def answered(self, question: Json, given: Sequence[_Given], place: str) -> None:
        if len(given) > 1:
            self.error("structure", "A question stands once in its level", given[1].place)
        answers = [
            _Given(answer, f"{one.place}.answer[{index}]")
            for one in given
            for index, answer in enumerate(answers_of(one.item))
        ]
        self.counted(question, len(answers), given[0].place if given else place)
        for one in given:
            if items_in(one.item):
                self.error("structure", "The items of a question stand in its answer", one.place)
        for answer in answers:
            judge_answer(self.walk, question, answer.item, answer.place, self.scope)
            self.level(items_in(question), answer.item, answer.place)

    def counted(self, question: Json, count: int, place: str) -> None:
        least, most = extension_value(question, _MIN), extension_value(question, _MAX)
        if question.get("required") and not count and self.final:
            self.error("required", "A required answer is missing", place)
        if type(least) is int and count < least and self.final:
            self.error("required", f"At least {least} answers are needed", place)
        if not question.get("repeats") and count > 1:
            self.error("structure", "The question has one answer only", place)
        if type(most) is int and count > most:
            self.error("structure", f"At most {most} answers are allowed", place)


def _link_ids(questionnaire: Json) -> set[object]:
    found: set[object] = set()
    ahead = items_in(questionnaire)
    while ahead:
        item = ahead.pop()
        found.add(item.get("linkId"))
        ahead += items_in(item)
    return found
