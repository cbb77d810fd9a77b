"""Care relationships as SQL.

https://hl7.org/fhir/R4/compartmentdefinition-practitioner.html
"""

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    ColumnElement,
    Select,
    SmallInteger,
    Text,
    func,
    literal_column,
    not_,
    null,
    or_,
    select,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.sql.elements import Grouping

from fhir_server import tables
from fhir_server.search.lookup import is_there, of_source
from fhir_server.search.sphere import Take

_TIMES = (ARRAY(BigInteger), ARRAY(BigInteger))
_NOW: ColumnElement[Any] = literal_column(
    "(extract(epoch FROM now()) * 1000000)::bigint", BigInteger
)


def related(take: Take, *, own: bool) -> Select[Any]:
    """Return the keys of the resources of patients with whom an actor has a relationship now.

    Values: actors, the longest time after an end, times before a begin and after an end by
    kind, the type of patients and, unless it is the patients' `own` keys that are wanted, the
    parameters that refer to them. The longest time is what the index knows.
    """
    care = tables.idx_care.alias()
    actors = take(ARRAY(Text))
    longest, early, late = take(BigInteger()), take(ARRAY(BigInteger)), take(ARRAY(BigInteger))
    patient = take(SmallInteger())
    # The planner takes a comparison with what it cannot look up for true of a third of the rows.
    # Of two such it would expect hardly any row, and begin each search here.
    ended = care.c.high <= _NOW - _of_kind(late, care.c.kind)
    not_begun = care.c.low > _NOW + _of_kind(early, care.c.kind)
    now = [
        care.c.actor == func.any(actors),
        care.c.high > _NOW - longest,
        not_(or_(ended, not_begun)),
    ]
    if own:
        there = tables.resource.alias()
        itself = [there.c.type_id == patient, there.c.id == care.c.patient]
        return select(there.c.key).where(*now, *itself)
    edge = tables.edge.alias()
    leads = [
        edge.c.target_type == patient,
        edge.c.target_id == care.c.patient,
        edge.c.param == func.any(take(ARRAY(BigInteger))),
    ]
    return select(edge.c.source_key.label("key")).where(*now, *leads)


def is_related(take: Take, key: ColumnElement[int], *, own: bool) -> ColumnElement[bool]:
    """Return the same of the resource `key`, for a plan that is kept: by its patient.

    As one join it might begin with all whom an actor cares for.
    """
    care = tables.idx_care.alias()
    actors = take(ARRAY(Text))
    longest, early, late = take(BigInteger()), take(ARRAY(BigInteger)), take(ARRAY(BigInteger))
    patient = take(SmallInteger())
    nobody = literal_column("''", Text())
    now = [
        care.c.actor.concat(nobody) == func.any(actors),
        care.c.high > _NOW - longest,
        care.c.high > _NOW - _of_kind(late, care.c.kind),
        care.c.low <= _NOW + _of_kind(early, care.c.kind),
    ]
    if own:
        there = tables.resource.alias()
        cared = is_there(care.c.patient == there.c.id, *now)
        return is_there(there.c.key == key, there.c.type_id == patient, cared)
    edge = tables.edge.alias()
    cared = is_there(care.c.patient == edge.c.target_id, *now)
    params = edge.c.param == func.any(take(ARRAY(BigInteger)))
    return is_there(*of_source(edge, key, params, patient), cared)


def cared_for(take: Take, key: ColumnElement[int], *, own: bool) -> ColumnElement[bool]:
    """Return whether an actor has a relationship now with a patient of the resource `key`.

    The values are those of `related`. A function of the database (revision 0039), as it is
    asked of each resource that is about to be shown.
    """
    given = [take(kind) for kind in (ARRAY(Text), BigInteger(), *_TIMES, SmallInteger())]
    params = null() if own else take(ARRAY(BigInteger))
    found: ColumnElement[bool] = func.cared_for(key, *given, params, type_=Boolean())
    return found


def _of_kind(times: ColumnElement[Any], kind: ColumnElement[int]) -> ColumnElement[Any]:
    found: ColumnElement[Any] = Grouping(times)[kind]
    return found
