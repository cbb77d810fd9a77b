"""Resources that a consent keeps from who asks, as SQL over the rows of provisions.

A provision counts if each of its parts is met, those of the provisions around it too; the
deepest decides, and of several as deep a denial, as of several consents. How much that is
for a consent and a resource says the function `consent_weight` of the database (revision
0028): the depth, doubled, and one more for a denial.

https://hl7.org/fhir/R4/consent.html
"""

from enum import IntEnum
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    ColumnElement,
    Integer,
    SmallInteger,
    Text,
    case,
    cast,
    false,
    func,
    literal_column,
    not_,
    null,
    select,
    true,
)
from sqlalchemy.dialects.postgresql import ARRAY

from fhir_server import tables
from fhir_server.search.lookup import is_there, of_source
from fhir_server.search.shape import Shape
from fhir_server.search.sphere import Take

Clause = ColumnElement[bool]
Columns = Any

NOW = literal_column("(extract(epoch FROM now()) * 1000000)::bigint", BigInteger)
_BIGINTS, _SMALLS, _TEXTS = ARRAY(BigInteger), ARRAY(SmallInteger), ARRAY(Text)
# Actors: types and ids, `upward`, `membership`, `ended`; purposes and actions.
_ASKING = (_SMALLS, _TEXTS, _BIGINTS, _BIGINTS, _BIGINTS, _TEXTS, _TEXTS)
_DENIAL = literal_column("1", SmallInteger)


class Kind(IntEnum):
    """What a part of a provision is compared with (`consent_part.kind`)."""

    ACTOR = 1  # who asks, or what they belong to, is among `names`
    ACTION = 2
    PURPOSE = 3
    NOW = 4  # Consent.provision.period
    TERMS = 5  # the resource has one of these terms, or is of one of these types
    LACKS = 6  # it has none of these terms
    WITHIN = 7  # a clinical date (`terms` are the parameters) lies in the period
    TOUCHES = 8  # a clinical date overlaps with the period, or it has none
    DATA = 9  # it is named, or tied to what is: `related` refer to it, it to `dependents`


def withheld(
    shape: Shape, take: Take, key: ColumnElement[int], *, among_few: bool = False
) -> Clause:
    """Return the condition that a consent keeps the resource `key` from who asks.

    With `among_few` it is asked of few, and not first whether any consent denies anything.
    """
    _, direct, permitted, unread = shape
    here, patient, recorded = _record(take, key, direct=direct)
    consent = tables.consent.alias()
    asked = func.consent_weight(consent.c.key, here, *(take(kind) for kind in _ASKING))
    verdict = func.coalesce(consent.c.weight, asked)
    denied = verdict % literal_column("2") == _DENIAL
    counted = [
        consent.c.patient == patient,
        consent.c.low <= NOW,
        consent.c.high > NOW,
        *([] if unread else [consent.c.readable]),
    ]
    if permitted:
        if among_few:
            # By the patient, for a plan that is kept: as one join it might begin with all denials.
            kept_back = is_there(*counted, cast(consent.c.denies, Integer) == _DENIAL, denied)
            return is_there(*recorded, kept_back)
        found = is_there(*recorded, *counted, consent.c.denies, denied)
        denying = tables.consent.alias()
        # Asked once for the whole search.
        some = select(true()).where(denying.c.denies).limit(literal_column("1")).scalar_subquery()
        return case((func.coalesce(some, false()), found), else_=false())
    decided = select(func.coalesce(func.bool_and(not_(denied)), false())).where(*counted)
    return is_there(*recorded, not_(decided.scalar_subquery()))


def withholds(shape: Shape, take: Take, key: ColumnElement[int]) -> Clause:
    """Return the same as a function of the database (revision 0039).

    It is planned once by each session, and costs a little more for each resource.
    """
    _, direct, permitted, unread = shape
    patient = take(SmallInteger())
    params = null() if direct else take(_BIGINTS)
    facts = [true() if one else false() for one in (permitted, unread)]
    asked = (take(kind) for kind in _ASKING)
    found: Clause = func.consent_withholds(key, patient, params, *facts, *asked, type_=Boolean())
    return found


def _record(
    take: Take, key: ColumnElement[int], *, direct: bool
) -> tuple[Columns, ColumnElement[str], list[Clause]]:
    """Return the key anew, the id of a patient whose record the resource is, and why."""
    patient = take(SmallInteger())
    if direct:
        here = tables.resource.alias()
        return here.c.key, here.c.id, [here.c.key == key, here.c.type_id == patient]
    edge = tables.edge.alias()
    leads = edge.c.param == func.any(take(_BIGINTS))
    return edge.c.source_key, edge.c.target_id, [*of_source(edge, key, leads, patient)]
