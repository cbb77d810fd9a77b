"""What becomes of a stored resource when a message speaks of it, early or late.

Section 4 of the project's HL7 specification: an update changes what the message says, a
late one fills what is empty, and no preliminary result takes the place of a final one.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Final, Literal

from adapters.hl7.mapping.code_tables import STATUS_RANK
from adapters.hl7.mapping.context import Json, Write
from adapters.hl7.mapping.happened import unfinished
from adapters.hl7.mapping.partial import united, without

_RANKED: Final = frozenset(("Observation", "DiagnosticReport"))
_FINAL: Final = STATUS_RANK["final"]
# Corrected, amended, withdrawn: of these the later receipt wins (section 4).
_HIGHEST: Final = STATUS_RANK["amended"]
_CLOSED: Final = frozenset(("completed", "revoked", "entered-in-error"))
# Lists to which each message adds: what one does not repeat is not gone.
_JOINED: Final = frozenset(("result", "hasMember", "derivedFrom", "supportingInfo", "relatesTo"))
_VALUE: Final = ("value", "_value", "component", "dataAbsentReason")
# What is said of a value is not true of another one.
_OF_VALUE: Final = ("interpretation", "referenceRange")
_CHOICES: Final = (
    *("abatement", "collected", "deceased", "effective", "multipleBirth"),
    *("occurrence", "onset", "performed", "serviced", "value"),
)
_KEPT_APART: Final = frozenset(("resourceType", "id", "contained"))
REGRESSION: Final = "A preliminary result came after the final one"


@dataclass(frozen=True, slots=True)
class Reconciled:
    """What the resource is to be; `stands` tells how far the message counted.

    "late": it told of an earlier time, and only what was empty is filled. "lesser": its
    result was less than what is stored.
    """

    resource: Json
    stands: Literal["applied", "late", "lesser"] = "applied"


def reconciled(
    stored: Json,
    write: Write,
    told: datetime | None,
    *,
    regression: bool = False,
    cleared: frozenset[str] = frozenset(),
) -> Reconciled:
    """Return what a write makes of a stored resource, whose present state is as of `told`.

    None where nothing told the time: what a message before the one that was due left as
    a placeholder, or what came by REST. `regression` lets a newer preliminary result
    replace a final one. `cleared` are the elements that messages deleted: a late one does
    not fill them. References in both are literal where the target is stored.
    """
    stands = _stands(stored, write, told, regression=regression)
    if stands != "applied":
        said = without(write.resource, cleared)
        return Reconciled(filled(stored, unfinished(stored, said)), stands)
    given = _with_own_people(stored, write.resource)
    merged = united(stored, given)
    for name in _JOINED & given.keys() & stored.keys():
        merged[name] = _joined(stored[name], given[name])
    if write.resource["resourceType"] == "Observation":
        _settle_value(stored, given, merged)
    merged = without(_with_people(merged, stored, given), write.cleared)
    if write.effect is not None:
        merged = write.effect(stored, merged)
    if told is None:
        _keep_closed(stored, merged)
    return Reconciled(merged)


def still_cleared(before: frozenset[str], write: Write) -> frozenset[str]:
    """Return the elements that stay deleted after a message: it deletes more, and says others."""
    unsaid = {path for path in before if without(write.resource, [path]) == write.resource}
    return write.cleared.union(unsaid)


def _stands(
    stored: Json, write: Write, told: datetime | None, *, regression: bool
) -> Literal["applied", "late", "lesser"]:
    when = write.event_time
    if when is not None and told is not None and when < told:
        return "late"
    if write.resource["resourceType"] not in _RANKED:
        return "applied"
    was, now = _rank(stored), _rank(write.resource)
    if now < _FINAL <= was and not regression:
        return "lesser"
    return "lesser" if when is not None and when == told and now < was else "applied"


def _rank(resource: Json) -> int:
    return min(_HIGHEST, STATUS_RANK.get(resource.get("status", ""), 0))


def _keep_closed(stored: Json, merged: Json) -> None:
    """What a result left as done is not opened by the order that comes after it."""
    if merged["resourceType"] != "ServiceRequest" or stored.get("status") not in _CLOSED:
        return
    if merged.get("status") not in _CLOSED:
        for name in ("status", "_status"):
            merged.pop(name, None)
            if name in stored:
                merged[name] = stored[name]


def _joined(before: Any, said: Any) -> Any:  # noqa: ANN401  (JSON)
    """Return both lists as one, in the message's order where it tells all of it."""
    if not isinstance(before, list) or not isinstance(said, list):
        return said
    if all(one in said for one in before):
        return said
    return before + [one for one in said if one not in before]


def _settle_value(stored: Json, given: Json, merged: Json) -> None:
    """An Observation has one value, or the reason why it has none (obs-6)."""
    said, before = _value(given), _value(stored)
    if "dataAbsentReason" in said and len(said) == 1 and before.keys() - {"dataAbsentReason"}:
        # An empty OBX-5 says nothing, so the value that is stored stays.
        merged.pop("dataAbsentReason", None)
        return
    if not said or same(said, before):
        return
    for name in before.keys() - said.keys():
        merged.pop(name, None)
    for name in _OF_VALUE:
        if name not in given:
            merged.pop(name, None)


def _value(resource: Json) -> Json:
    return {name: said for name, said in resource.items() if name.startswith(_VALUE)}


def filled(stored: Json, given: Json) -> Json:
    """Return what is stored with what it has not, and whom that refers to inside of it."""
    given = _with_own_people(stored, given)
    return _with_people(_filled(stored, given), stored, given)


def _filled(stored: Json, given: Json) -> Json:
    """Return what is stored with what it has not, identifiers and members added."""
    merged = dict(stored)
    other_value = not same(_value(stored), _value(given)) and bool(_value(stored))
    for name, said in given.items():
        if name in _KEPT_APART or (other_value and name.startswith((*_VALUE, *_OF_VALUE))):
            continue
        before = stored.get(name)
        if name in _ADDED and isinstance(before, list):
            known = [_ADDED[name](one) for one in before]
            merged[name] = before + [one for one in said if _ADDED[name](one) not in known]
        elif isinstance(before, dict) and name in {"period", "hospitalization", "collection"}:
            merged[name] = _filled(before, said)
        elif not _is_taken(stored, name):
            merged[name] = said
    return merged


_ADDED: Final[Mapping[str, Callable[[Json], Any]]] = {
    "identifier": lambda one: (one.get("system"), one.get("value")),
    "extension": lambda one: one.get("url"),
    **dict.fromkeys(_JOINED, lambda one: one),
}


def _is_taken(stored: Json, name: str) -> bool:
    """Whether the element has a value, of whichever type, or the reason why it has none."""
    bare = name.removeprefix("_")
    if bare in stored or f"_{bare}" in stored:
        return True
    stem = next((c for c in _CHOICES if bare.startswith(c) and bare[len(c) :][:1].isupper()), "")
    return bool(stem) and any(one.removeprefix("_").startswith(stem) for one in stored)


def _with_own_people(stored: Json, given: Json) -> Json:
    """Return what is given, its contained resources under ids that mean the same in both."""
    taken = {one["id"]: one for one in stored.get("contained", ())}
    ids = {}
    for one in given.get("contained", ()):
        alike = [
            id_ for id_, there in taken.items() if same({**there, "id": ""}, {**one, "id": ""})
        ]
        ids[one["id"]] = alike[0] if alike else _free(one["id"], taken)
        taken.setdefault(ids[one["id"]], one)
    changed = {f"#{old}": f"#{new}" for old, new in ids.items() if old != new}
    if not changed:
        return given
    found: Json = literal(given, changed)
    found["contained"] = [{**one, "id": ids[one["id"]]} for one in found["contained"]]
    return found


def _free(id_: str, taken: Mapping[str, Json]) -> str:
    number = 2
    name = id_
    while name in taken:
        name, number = f"{id_}-{number}", number + 1
    return name


def _with_people(merged: Json, stored: Json, given: Json) -> Json:
    """Return the resource with those contained resources that it refers to."""
    people = {one["id"]: one for one in stored.get("contained", ())}
    people |= {one["id"]: one for one in given.get("contained", ())}
    if not people:
        return merged
    rest = {name: said for name, said in merged.items() if name != "contained"}
    used = set(references(rest))
    kept = [one for id_, one in people.items() if f"#{id_}" in used]
    return {**rest, "contained": kept} if kept else rest


def references(node: Any) -> list[str]:  # noqa: ANN401  (JSON)
    """Return the texts of all References inside a node."""
    if isinstance(node, list):
        return [text for one in node for text in references(one)]
    if not isinstance(node, dict):
        return []
    own = [node["reference"]] if isinstance(node.get("reference"), str) else []
    return own + [text for one in node.values() for text in references(one)]


def literal(node: Any, known: Mapping[str, str]) -> Any:  # noqa: ANN401  (JSON)
    """Return a copy in which References that are known have their literal text."""
    if isinstance(node, list):
        return [literal(one, known) for one in node]
    if not isinstance(node, dict):
        return node
    return {
        name: known.get(said, said)
        if name == "reference" and isinstance(said, str)
        else literal(said, known)
        for name, said in node.items()
    }


def same(one: Any, other: Any) -> bool:  # noqa: ANN401  (JSON)
    """Whether two nodes are equal, a number with other digits being another one."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[name], other[name]) for name in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, Decimal) or isinstance(other, Decimal):
        return str(one) == str(other)
    return bool(one == other) and isinstance(one, bool) == isinstance(other, bool)
