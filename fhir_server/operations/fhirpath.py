"""`$fhirpath`: an expression evaluated on a resource, with what its `trace`s saw.

https://hl7.org/fhirpath/
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, Final

from fhir_server.caller import Caller
from fhir_server.errors import BadRequest, Unprocessable
from fhir_server.fhirpath.engine import Expression, compile_expression, node
from fhir_server.fhirpath.evaluation import MAX_SECONDS, Callbacks
from fhir_server.fhirpath.values import Items, Node, plain
from fhir_server.operations.fhirpath_answer import parts, value_types
from fhir_server.operations.operation import Call, Operation, Result
from fhir_server.r4 import json
from fhir_server.server import Server
from fhir_server.validation.bindings import pairs
from terminology.memberships import Memberships, Question
from terminology.ucum.unit import unit

Json = dict[str, Any]

_MAX_CONTEXTS: Final = 1_000
_MAX_RESULTS: Final = 10_000
_ROUNDS: Final = 5
_EVALUATOR: Final = "Sangam (R4)"
_NAMES: Final = ("expression", "context", "resource", "variables", "validate", "terminologyserver")


@dataclass(frozen=True, slots=True)
class _Asked:
    """What is to be evaluated; `context` is an expression that gives the inputs."""

    expression: str
    context: str | None
    resource: Json
    variables: Mapping[str, Items]
    strict: bool
    told: list[Json]


@dataclass(slots=True)
class _Found:
    """What one input gave: its place, the items, and what was traced."""

    place: str
    items: Items
    traced: list[tuple[str, Items]] = field(default_factory=list)


async def _fhirpath(server: Server, _: Caller, call: Call) -> Result:
    given = [*_by_url(call), *_in_body(call)]
    asked = _asked(given)
    found = await _evaluated(server, asked)
    if sum(len(one.items) for one in found) > _MAX_RESULTS:
        raise Unprocessable(f"There are over {_MAX_RESULTS} results", code="too-costly")
    return Result(200, json.encode(_answer(asked, found)))


def _by_url(call: Call) -> list[tuple[str, Json]]:
    return [(name, {"name": name, "valueString": value}) for name, value in call.parameters]


def _in_body(call: Call) -> list[tuple[str, Json]]:
    body = call.sent
    if body is None:
        return []
    if body.get("resourceType") != "Parameters":
        return [("resource", {"name": "resource", "resource": dict(body)})]
    listed = body.get("parameter")
    if not isinstance(listed, list) or not all(isinstance(one, dict) for one in listed):
        raise BadRequest("The Parameters have no parameters", code="structure")
    return [(str(one.get("name")), one) for one in listed]


def _asked(given: Sequence[tuple[str, Json]]) -> _Asked:
    by_name: dict[str, Json] = {}
    for name, parameter in given:
        if name not in _NAMES:
            raise BadRequest(f"The operation takes {', '.join(_NAMES)}", expression=name)
        if name in by_name:
            raise BadRequest("A parameter is given once", code="structure", expression=name)
        by_name[name] = parameter
    expression = by_name.get("expression", {}).get("valueString")
    if not isinstance(expression, str) or not expression:
        raise BadRequest("Give an expression", code="required", expression="expression")
    context = by_name.get("context", {}).get("valueString")
    resource = _resource(by_name.get("resource", {}))
    if not isinstance(resource, dict) or not isinstance(resource.get("resourceType"), str):
        raise BadRequest("Give a resource", code="required", expression="resource")
    return _Asked(
        expression=expression,
        context=context if isinstance(context, str) and context else None,
        resource=resource,
        variables=_variables(by_name.get("variables", {}).get("part", [])),
        strict=by_name.get("validate", {}).get("valueBoolean") is True,
        told=[by_name[name] for name in _NAMES if name in by_name and name != "resource"],
    )


def _resource(parameter: Json) -> Any:  # noqa: ANN401  (JSON)
    """Return the resource of a parameter, where it may come as a text too."""
    text = parameter.get("valueString")
    return json.decode(text.encode()) if isinstance(text, str) else parameter.get("resource")


def _variables(given: Any) -> dict[str, Items]:  # noqa: ANN401  (JSON)
    found: dict[str, Items] = {}
    for one in given if isinstance(given, list) else ():
        name = one.get("name") if isinstance(one, dict) else None
        if not isinstance(name, str):
            raise BadRequest("A variable has a name", code="required", expression="variables")
        found[name] = _items(one)
    return found


def _items(variable: Json) -> Items:
    inside = variable.get("resource")
    if isinstance(inside, dict):
        return [node(inside)]
    for member, value in variable.items():
        if member in value_types():
            return [plain(Node(value_types()[member], value, variable.get(f"_{member}")))]
    return []


async def _evaluated(server: Server, asked: _Asked) -> list[_Found]:
    """Return what each input gave, once all codes that it asks for are known."""
    expression = compile_expression(server.definitions, asked.expression, strict=asked.strict)
    context = asked.context and compile_expression(server.definitions, asked.context)
    for _ in range(_ROUNDS):
        codes: dict[Question, None] = {}
        found = await asyncio.to_thread(
            _run, expression, context or None, asked, _MemberOf(server.memberships, codes)
        )
        if not codes:
            break
        await server.memberships.find(codes)
    return found


@dataclass(frozen=True, slots=True)
class _MemberOf:
    """Answers `memberOf` with what is known; what is not is noted in `codes`."""

    memberships: Memberships
    codes: dict[Question, None]

    def __call__(self, item: Node, value_set: str) -> bool | None:
        questions = [Question(value_set, system, code) for system, code in pairs(item.value)]
        answers = []
        for question in questions:
            known, answer = self.memberships.known(question)
            if not known:
                self.codes[question] = None
            answers.append(answer)
        return True if True in answers else None if None in answers else False


def _run(
    expression: Expression, context: Expression | None, asked: _Asked, member_of: _MemberOf
) -> list[_Found]:
    """Evaluate on each input; Unprocessable (`too-costly`) when all together take too long."""
    traced: list[tuple[str, Items]] = []
    callbacks = Callbacks(
        resolve=_inside(asked.resource),
        member_of=member_of,
        units=unit,
        trace=lambda name, items: traced.append((name, items)),
    )
    root, until = node(asked.resource), monotonic() + MAX_SECONDS
    inputs = [root]
    if context is not None:
        inputs = context.run(root, callbacks=callbacks, variables=asked.variables)
    if len(inputs) > _MAX_CONTEXTS:
        raise Unprocessable(f"The context has over {_MAX_CONTEXTS} items", code="too-costly")
    found = []
    for index, one in enumerate(inputs):
        if monotonic() > until:
            raise Unprocessable("The expression takes too long", code="too-costly")
        traced.clear()
        items = expression.run(
            one if type(one) is Node else Node("string", one),
            callbacks=callbacks,
            resource=root,
            variables=asked.variables,
        )
        place = f"{asked.context}[{index}]" if asked.context else ""
        found.append(_Found(place, items, list(traced)))
    return found


def _inside(resource: Json) -> Any:  # noqa: ANN401  (a callback)
    """Return what finds the resources of a Bundle by fullUrl, absolute or relative."""
    entries = resource.get("entry")
    urls = {
        one["fullUrl"]: one.get("resource")
        for one in (entries if isinstance(entries, list) else ())
        if isinstance(one, dict) and isinstance(one.get("fullUrl"), str)
    }

    def resolve(reference: str) -> Json | None:
        ending = f"/{reference}"
        found = urls.get(reference) or next(
            (one for url, one in urls.items() if url.endswith(ending)), None
        )
        return found if isinstance(found, dict) else None

    return resolve


def _answer(asked: _Asked, found: Sequence[_Found]) -> Json:
    told = [{"name": "evaluator", "valueString": _EVALUATOR}, *asked.told]
    told.append({"name": "resource", "resource": asked.resource})
    results = [_result(one) for one in found]
    return {
        "resourceType": "Parameters",
        "id": "fhirpath",
        "parameter": [{"name": "parameters", "part": told}, *results],
    }


def _result(found: _Found) -> Json:
    traces = [
        {"name": "trace", "valueString": name or "trace", **_parts(parts(items))}
        for name, items in found.traced
    ]
    place = {"valueString": found.place} if found.place else {}
    return {"name": "result", **place, **_parts([*parts(found.items), *traces])}


def _parts(listed: list[Json]) -> Json:
    return {"part": listed} if listed else {}


OPERATION = Operation(
    name="fhirpath",
    definition="urn:sangam:operation:fhirpath",
    methods={"GET": _fhirpath, "POST": _fhirpath},
    system=True,
    takes_as_sent=True,
    batched=True,
)
