"""Lists as criteria: the resources that a List names, and the current lists of a patient.

https://hl7.org/fhir/R4/search.html#list
"""

import re
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from fhir_server.errors import BadRequest, NotSupported
from fhir_server.search.ask import Scene, condition
from fhir_server.search.condition import Both, Condition, Ids, either
from fhir_server.search.context import Context
from fhir_server.search.reference import literal

NAME = "_list"

_ID = re.compile(r"[A-Za-z0-9\-.]{1,64}")

# What was refuted or entered by mistake is no problem of the patient, and what is known to be
# over is not current. A status that is not said hides nothing.
_CLINICAL = (
    ("clinical-status:not", "inactive,remission,resolved"),
    ("verification-status:not", "refuted,entered-in-error"),
)
_ACTIVE = (("status", "active"),)

Criteria = tuple[tuple[str, str], ...]

FUNCTIONAL: Mapping[str, Mapping[str, Sequence[Criteria]]] = {
    "$current-problems": {"Condition": [_CLINICAL]},
    "$current-medications": {"MedicationRequest": [_ACTIVE], "MedicationStatement": [_ACTIVE]},
    "$current-allergies": {"AllergyIntolerance": [_CLINICAL]},
    # An allergy whose category nobody wrote down may be one to a drug.
    "$current-drug-allergies": {
        "AllergyIntolerance": [
            (*_CLINICAL, ("category", "medication")),
            (*_CLINICAL, ("category:missing", "true")),
        ]
    },
}
"""The current lists: for each type that they hold, alternative criteria."""


def current(scene: Scene, types: tuple[str, ...], name: str) -> Condition:
    """Return the condition of being on a current list; refused for types that it does not hold."""
    known = FUNCTIONAL.get(name)
    if known is None:
        text = f"The current lists are {', '.join(FUNCTIONAL)}."
        raise NotSupported(text, expression=NAME)
    if not set(types) <= set(known):
        text = f"This list holds {', '.join(known)}."
        raise BadRequest(text, code="value", expression=NAME)
    return either(
        [
            Both(tuple(condition(scene, (one,), code, value) for code, value in criteria))
            for one in types
            for criteria in known[one]
        ]
    )


def ids(context: Context, value: str) -> tuple[str, ...]:
    """Return the ids of the Lists that a value of `_list` names, alternatives joined by commas."""
    return tuple(_id(context, one) for one in value.split(","))


def _id(context: Context, text: str) -> str:
    found = literal(text, context)
    if found is not None and (found.base, found.type, found.version) == (None, "List", None):
        return found.id
    if not _ID.fullmatch(text):
        text = "_list takes the id of a List, or one of the current lists alone."
        raise BadRequest(text, code="value", expression=NAME)
    return text


def members(context: Context, lists: Iterable[bytes], type_ids: Sequence[int]) -> Condition:
    """Return the condition of being an item, not a deleted one, of a List with one of these texts.

    `type_ids` are the types searched; none means all.
    """
    found: dict[int, set[str]] = {}
    for text in lists:
        for entry in msgspec.json.decode(text, type=_List).entry:
            place = None if entry.deleted else literal(entry.item.reference, context)
            if place is not None and place.base is None:
                found.setdefault(context.type_ids[place.type], set()).add(place.id)
    return either(
        [
            Ids(tuple(sorted(found[one])), (one,))
            for one in sorted(found)
            if not type_ids or one in type_ids
        ]
    )


class _Item(msgspec.Struct):
    reference: str = ""


class _Entry(msgspec.Struct):
    item: _Item = msgspec.field(default_factory=_Item)
    deleted: bool = False


class _List(msgspec.Struct):
    entry: list[_Entry] = msgspec.field(default_factory=list)
