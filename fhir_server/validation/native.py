"""Invariants in Python: those that the engine would take long for.

https://hl7.org/fhir/R4/conformance-rules.html#constraints
"""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from fhir_server.fhirpath import temporal
from fhir_server.fhirpath.refusal import Misuse

# Told: the object, the resource it is in, that resource's container or itself.
# Returns whether the invariant is broken.
Broken = Callable[[dict[str, Any], dict[str, Any], dict[str, Any]], bool]

_REQUESTED: Final = frozenset(("batch", "transaction", "history"))
_RESPONDED: Final = frozenset(("batch-response", "transaction-response", "history"))
_NAME: Final = re.compile(r"[A-Z][A-Za-z0-9_]{0,254}", re.ASCII)


def _listed(value: Any) -> list[Any]:  # noqa: ANN401  (JSON)
    if value is None:
        return []
    return value if type(value) is list else [value]


def _ref_1(data: dict[str, Any], _: dict[str, Any], root: dict[str, Any]) -> bool:
    reference = data["reference"]
    if type(reference) is not str or not reference.startswith("#") or reference == "#":
        return False
    return all(one.get("id") != reference[1:] for one in _listed(root.get("contained")))


def _per_1(data: dict[str, Any], _: dict[str, Any], __: dict[str, Any]) -> bool:
    start, end = data.get("start"), data.get("end")
    if type(start) is not str or type(end) is not str:
        return False
    try:
        order = temporal.compare(
            temporal.temporal("DateTime", start), temporal.temporal("DateTime", end)
        )
    except Misuse:
        return False
    return order is not None and order > 0


def _bdl_3(data: dict[str, Any], _: dict[str, Any], __: dict[str, Any]) -> bool:
    wanted = data.get("type") in _REQUESTED
    return any(("request" in entry) != wanted for entry in data["entry"])


def _bdl_4(data: dict[str, Any], _: dict[str, Any], __: dict[str, Any]) -> bool:
    wanted = data.get("type") in _RESPONDED
    return any(("response" in entry) != wanted for entry in data["entry"])


def _version(resource: dict[str, Any]) -> str | None:
    """Its own structure is judged apart, so that nothing is sure here."""
    meta = resource.get("meta")
    version = meta.get("versionId") if type(meta) is dict else None
    return version if type(version) is str else None


def _bdl_7(data: dict[str, Any], _: dict[str, Any], __: dict[str, Any]) -> bool:
    if data.get("type") == "history":
        return False
    known = [
        (entry["fullUrl"], _version(entry.get("resource", {})))
        for entry in data["entry"]
        if "fullUrl" in entry
    ]
    return len(set(known)) < len(known)


def _bdl_8(data: dict[str, Any], _: dict[str, Any], __: dict[str, Any]) -> bool:
    return "/_history/" in data.get("fullUrl", "")


def _codes(concepts: Any) -> Iterator[str]:  # noqa: ANN401  (JSON)
    ahead = [*_listed(concepts)]
    while ahead:
        concept = ahead.pop()
        if type(concept.get("code")) is str:
            yield concept["code"]
        ahead += _listed(concept.get("concept"))


def _csd_1(data: dict[str, Any], _: dict[str, Any], __: dict[str, Any]) -> bool:
    codes = list(_codes(data["concept"]))
    return len(set(codes)) < len(codes)


def _que_2(data: dict[str, Any], _: dict[str, Any], __: dict[str, Any]) -> bool:
    links: list[str] = []
    ahead = [*_listed(data["item"])]
    while ahead:
        item = ahead.pop()
        if type(item.get("linkId")) is str:
            links.append(item["linkId"])
        ahead += _listed(item.get("item"))
    return len(set(links)) < len(links)


def _paths(data: dict[str, Any]) -> list[str]:
    return [str(element.get("path", "")) for element in data["element"]]


def _sdf_8(data: dict[str, Any], resource: dict[str, Any], _: dict[str, Any]) -> bool:
    """As written it looks for the first path again at each element."""
    first, *rest = _paths(data)
    if resource.get("kind") != "logical" and first != resource.get("type"):
        return True
    return not all(path.startswith(f"{first}.") for path in rest)


def _sdf_8a(data: dict[str, Any], resource: dict[str, Any], _: dict[str, Any]) -> bool:
    first, *rest = _paths(data)
    if resource.get("kind") != "logical" and not first.startswith(str(resource.get("type"))):
        return True
    root = first.partition(".")[0]
    return not all(path.startswith(f"{root}.") for path in rest)


def _que_7(data: dict[str, Any], _: dict[str, Any], __: dict[str, Any]) -> bool:
    """As written (`answer is Boolean`) it would refuse R4's own boolean."""
    if data.get("operator") != "exists" or "answerBoolean" in data or "_answerBoolean" in data:
        return False
    return any(name.startswith(("answer", "_answer")) for name in data)


def _name(data: dict[str, Any], _: dict[str, Any], __: dict[str, Any]) -> bool:
    name = data.get("name")
    return type(name) is str and _NAME.search(name) is None


# Key to the member that must be there, and the test.
NATIVE: Final[Mapping[str, tuple[str, Broken]]] = {
    "ref-1": ("reference", _ref_1),
    "per-1": ("end", _per_1),
    "bdl-3": ("entry", _bdl_3),
    "bdl-4": ("entry", _bdl_4),
    "bdl-7": ("entry", _bdl_7),
    "bdl-8": ("fullUrl", _bdl_8),
    "csd-1": ("concept", _csd_1),
    "que-2": ("item", _que_2),
    "que-7": ("operator", _que_7),
    "sdf-8": ("element", _sdf_8),
    "sdf-8a": ("element", _sdf_8a),
}
NAMES: Final = "name.matches('[A-Z]([A-Za-z0-9_]){0,254}')"
NAMED: Final[tuple[str, Broken]] = ("name", _name)
# Judged elsewhere: by the schema (nothing is empty), or by the walker.
ELSEWHERE: Final = frozenset(
    ("ele-1", "ext-1", "dom-2", "dom-3", "dom-4", "dom-5", "txt-1", "txt-2")
)
