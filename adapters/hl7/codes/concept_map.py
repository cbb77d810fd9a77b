"""The ConceptMap of a sender's field, with one more code in it.

https://hl7.org/fhir/R4/conceptmap.html
"""

from collections.abc import Sequence

from adapters.hl7.mapping.context import Json
from adapters.hl7.mapping.sender_rules import Translation


def new(url: str, sender: str, field: str) -> Json:
    """Return an empty map."""
    return {
        "resourceType": "ConceptMap",
        "url": url,
        "status": "active",
        "title": f"Codes of {sender} in {field}",
    }


def mapped(resource: Json, source: tuple[str, str, str], meant: Sequence[Translation]) -> Json:
    """Return the map in which a local (system, code, display) means these codings.

    What it said of that code before is gone. Meaning nothing, it is unmatched, so that
    nobody is asked again.
    """
    system, code, display = source
    groups = [one for group in resource.get("group", ()) if (one := _without(group, system, code))]
    element: Json = {"code": code, "display": display} if display else {"code": code}
    for target in dict.fromkeys(one.system for one in meant):
        targets = [_target(one) for one in meant if one.system == target]
        groups = _added(groups, system, target, {**element, "target": targets})
    if not meant:
        unmatched = {"equivalence": "unmatched", "comment": "No code means this."}
        groups = _added(groups, system, "", {**element, "target": [unmatched]})
    return {**resource, "group": groups}


def _without(group: Json, system: str, code: str) -> Json | None:
    if group.get("source") != system:
        return group
    left = [one for one in group.get("element", ()) if one.get("code") != code]
    return {**group, "element": left} if left else None


def _added(groups: Sequence[Json], source: str, target: str, element: Json) -> list[Json]:
    found = list(groups)
    for n, group in enumerate(found):
        if group.get("source") == source and group.get("target", "") == target:
            found[n] = {**group, "element": [*group["element"], element]}
            return found
    group = {"source": source, "target": target} if target else {"source": source}
    return [*found, {**group, "element": [element]}]


def _target(meant: Translation) -> Json:
    target: Json = {"code": meant.code}
    if meant.display:
        target["display"] = meant.display
    return {**target, "equivalence": "equivalent"}
