"""Small resources for the tests of the library."""

from collections.abc import Sequence
from typing import Any

from terminology.library import Shelf
from terminology.operations import Answer, Call, answer
from terminology.scope import Limits

Json = dict[str, Any]

ANIMALS = "http://example.org/animals"


def animals(version: str | None = "1.0.0", **members: Any) -> Json:
    """A code system: animal (not selectable) > dog > poodle, animal > cat; dodo is retired."""
    return {
        "resourceType": "CodeSystem",
        "url": ANIMALS,
        **({"version": version} if version else {}),
        "name": "Animals",
        "status": "active",
        "content": "complete",
        "caseSensitive": True,
        "language": "en",
        "valueSet": "http://example.org/all-animals",
        "property": [
            {"code": "legs", "type": "integer"},
            {
                "code": "status",
                "type": "code",
                "uri": "http://hl7.org/fhir/concept-properties#status",
            },
            {
                "code": "hidden",
                "type": "boolean",
                "uri": "http://hl7.org/fhir/concept-properties#notSelectable",
            },
        ],
        "concept": [
            {
                "code": "animal",
                "display": "Animal",
                "property": [{"code": "hidden", "valueBoolean": True}],
                "concept": [
                    {
                        "code": "dog",
                        "display": "Dog",
                        "designation": [{"language": "de", "value": "Hund"}],
                        "property": [{"code": "legs", "valueInteger": 4}],
                        "concept": [{"code": "poodle", "display": "Poodle"}],
                    },
                    {
                        "code": "cat",
                        "display": "Cat",
                        "property": [{"code": "legs", "valueInteger": 4}],
                    },
                ],
            },
            {
                "code": "dodo",
                "display": "Dodo",
                "property": [
                    {"code": "legs", "valueInteger": 2},
                    {"code": "status", "valueCode": "retired"},
                ],
            },
        ],
        **members,
    }


def value_set(*include: Json, url: str = "http://example.org/vs", **compose: Any) -> Json:
    """A value set of includes, with other members of its compose."""
    return {
        "resourceType": "ValueSet",
        "url": url,
        "status": "active",
        "compose": {"include": list(include), **compose},
    }


def where(name: str, op: str, value: str | None, **include: Any) -> Json:
    """An include of the animals for which a filter holds."""
    given = {"property": name, "op": op, **({} if value is None else {"value": value})}
    return {"system": ANIMALS, "filter": [given], **include}


def listed(*codes: str, **include: Any) -> Json:
    """An include that lists animals."""
    return {"system": ANIMALS, "concept": [{"code": code} for code in codes], **include}


def flat_system(count: int, url: str = "http://example.org/numbers") -> Json:
    """A code system of numbers."""
    return {
        "resourceType": "CodeSystem",
        "url": url,
        "status": "active",
        "content": "complete",
        "concept": [{"code": str(n), "display": f"Number {n}"} for n in range(count)],
    }


def parameters(**values: Any) -> Json:
    """Parameters of values, resources, whole parameters or lists of them; `_` stands for `-`."""
    out = [
        _parameter(name.replace("_", "-"), one)
        for name, value in values.items()
        for one in (value if isinstance(value, list) else [value])
    ]
    return {"resourceType": "Parameters", "parameter": out}


def _parameter(name: str, value: Any) -> Json:
    if isinstance(value, dict) and "part" in value:
        return value
    if isinstance(value, dict) and "resourceType" in value:
        return {"name": name, "resource": value}
    kind = {bool: "Boolean", int: "Integer", dict: "Coding"}.get(type(value), "String")
    if isinstance(value, dict) and "coding" in value:
        kind = "CodeableConcept"
    return {"name": name, f"value{kind}": value}


async def ask(
    resources: Sequence[Json],
    operation: str,
    limits: Limits | None = None,
    accept_language: str | None = None,
    **values: Any,
) -> Answer:
    """The answer of an operation, such as `ValueSet/expand`, over resources."""
    type_name, _, name = operation.partition("/")
    call = Call(
        type_name,
        name,
        parameters(**values),
        accept_language=accept_language,
        limits=limits or Limits(),
    )
    return await answer(Shelf(resources), call)


def codes(resource: Json) -> list[str]:
    """The codes of an expansion, from the top down."""
    found: list[str] = []
    todo = list(resource["expansion"].get("contains", ()))
    while todo:
        one = todo.pop(0)
        found.append(one["code"])
        todo = list(one.get("contains", ())) + todo
    return found


def values(resource: Json) -> Json:
    """The first value of each parameter by name."""
    found: Json = {}
    for one in resource["parameter"]:
        value = next((v for k, v in one.items() if k.startswith("value")), one.get("resource"))
        found.setdefault(one["name"], value)
    return found


def message_ids(resource: Json) -> list[str]:
    """The message ids of an OperationOutcome."""
    return [e["valueString"] for one in resource["issue"] for e in one.get("extension", [])]
