"""A MeasureReport that does not answer its Measure.

https://hl7.org/fhir/R4/measurereport.html
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from fhir_server.profiles.scope import Scope
from fhir_server.profiles.walk import Walk

Json = Mapping[str, Any]
_PARTS: Final = ("population", "stratifier")


def advise_report(walk: Walk, scope: Scope) -> None:
    """Note groups, populations and stratifiers that the Measure has not, or lacks."""
    report, place = scope.resource.node.value, scope.resource.place
    canonical = report.get("measure")
    measure = walk.targets.resource(canonical) if type(canonical) is str else None
    if measure is None or measure.get("resourceType") != "Measure":
        return
    asked, given = _listed(measure, "group"), _listed(report, "group")
    alone = len(asked) == len(given) == 1
    for index, group in enumerate(given):
        here = f"{place}.group[{index}]"
        wanted = asked[0] if alone else _same(group, asked)
        if wanted is None:
            walk.advise("invalid", "The Measure has no such group", here)
            continue
        for name in _PARTS:
            _compare(walk, name, _listed(wanted, name), _listed(group, name), here)
        if "measureScore" in group and "cohort" in _codes(measure.get("scoring", {})):
            walk.advise("invalid", "A cohort has no score", f"{here}.measureScore")


def _compare(
    walk: Walk, name: str, asked: Sequence[Json], given: Sequence[Json], place: str
) -> None:
    for index, one in enumerate(given):
        if _same(one, asked) is None:
            walk.advise("invalid", f"The Measure has no such {name}", f"{place}.{name}[{index}]")
    if given and any(_same(one, given) is None for one in asked):
        walk.advise("required", f"A {name} of the Measure is missing", place)


def _listed(holder: Json, name: str) -> list[Json]:
    found = holder.get(name, ())
    return [one for one in found if type(one) is dict] if type(found) is list else []


def _same(one: Json, others: Sequence[Json]) -> Json | None:
    codes = _codes(_concept(one))
    return next((other for other in others if codes & _codes(_concept(other))), None)


def _concept(holder: Json) -> Any:  # noqa: ANN401  (JSON)
    code = holder.get("code", {})
    return code[0] if type(code) is list and code else code


def _codes(concept: Any) -> set[str]:  # noqa: ANN401  (JSON)
    if type(concept) is not dict:
        return set()
    codes = {str(one.get("code")) for one in concept.get("coding", ()) if type(one) is dict}
    return codes | ({concept["text"]} if "text" in concept else set())
