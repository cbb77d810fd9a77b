"""The measurement groups of a Measurement Report, TID 1500.

https://dicom.nema.org/medical/dicom/current/output/html/part16.html#sect_TID_1500
"""

from adapters.dicom.dataset.codes import DCM
from adapters.dicom.documents.draft import Draft, Made
from adapters.dicom.documents.observations import (
    FINDING,
    MEASUREMENT_GROUP,
    coded,
    give_value,
    in_context,
    observation,
    observe,
    observe_apart,
    qualify,
)
from adapters.dicom.documents.tree import Item
from adapters.dicom.documents.values import concept, shown

ROOT = "DCM:126000"

_GROUP = "DCM:125007"
_CATEGORY = "SCT:276214006"
# Template "Qualitative Evaluations" of later editions; its concept is of UMLS.
_QUALITATIVE = "UMLS:C0034375"
_VALUED = frozenset(("CODE", "TEXT"))
# Names whose items say something of the group, and are no evaluation of their own.
_OF_GROUP = frozenset(
    (
        *("DCM:112039", "DCM:112040", "SCT:363698007", "SCT:370129005", "DCM:111001"),
        *("DCM:111002", "DCM:111003", "DCM:111030", "DCM:121191", _CATEGORY, FINDING),
    )
)


def groups(draft: Draft) -> list[Made]:
    """Return the Observation of each measurement group; its members are in the draft."""
    found = [
        one
        for one in draft.root.walk()
        if one.name == _GROUP and one.value_type == "CONTAINER" and not draft.is_used(one)
    ]
    made = [_group(draft, one) for one in found]
    return made + _evaluations(draft)


def _group(draft: Draft, group: Item) -> Made:
    category, finding = group.child(_CATEGORY), group.child(FINDING)
    if category is not None and category.value_type == "CODE" and shown(category):
        code = concept(category.code)
    elif finding is not None:
        code = coded(DCM, "121071", "Finding")
    else:
        code = MEASUREMENT_GROUP
    made = observation(draft, group, dict(code))
    draft.mark(group, made, "hasMember")
    if category is not None and shown(category):
        draft.mark(category, made, "code")
    if finding is not None and shown(finding):
        give_value(draft, made, finding)
        qualify(draft, made, finding)
    members = [_member(draft, one) for one in group.children if _is_member(one)]
    qualify(draft, made, group, besides=(_CATEGORY, FINDING, _GROUP))
    in_context(draft, made, group)
    if members:
        made.resource["hasMember"] = [one.reference for one in members]
        for one in members:
            _inherit(one, made)
    return made


def _is_member(item: Item) -> bool:
    if item.reference or not shown(item):
        return False
    evaluated = item.value_type in _VALUED and item.relationship == "CONTAINS"
    return item.value_type == "NUM" or (evaluated and item.name not in _OF_GROUP)


def _member(draft: Draft, item: Item) -> Made:
    return observe(draft, item)


def _inherit(member: Made, group: Made) -> None:
    """Give a measurement the site, method and device of its group, unless it has its own."""
    for name in ("bodySite", "method", "device"):
        if name in group.resource:
            member.resource.setdefault(name, group.resource[name])


def _evaluations(draft: Draft) -> list[Made]:
    """Return what is evaluated outside of groups, in a container of its own."""
    return [
        observe_apart(draft, one)
        for container in draft.root.walk()
        if container.name == _QUALITATIVE
        for one in container.children
        if one.value_type in _VALUED and shown(one) and not draft.is_used(one)
    ]
