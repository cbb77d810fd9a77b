"""Conditions on a resource: the small algebra between query strings and SQL.

A condition is a value: it can be compared, negated and combined, and it is
compiled by `compile.py`. Shape (which nodes, which columns and comparisons)
and values are kept apart there, so that the SQL text is cached by shape.
"""

from dataclasses import dataclass
from typing import Literal, TypeAlias

from fhir_server.search.withholding import Aged, Withheld

Comparison: TypeAlias = Literal["=", "<", "<=", ">", ">=", "like", "is"]
Scalar: TypeAlias = int | str


@dataclass(frozen=True, slots=True)
class Terms:
    """The resource has at least one of these terms.

    `few` is whether few resources can have one: references and identifiers.
    """

    alternatives: tuple[int, ...]
    few: bool = False


@dataclass(frozen=True, slots=True)
class Among:
    """The resource has one of very many terms, `array` as PostgreSQL writes it.

    So many that each stands for a resource, and matches are met soon by walking.
    """

    array: str


@dataclass(frozen=True, slots=True)
class Test:
    """A comparison of a column of a range row with a value."""

    column: str
    comparison: Comparison
    value: Scalar


@dataclass(frozen=True, slots=True)
class Row:
    """One row of `table` under `param` passes every group: at least one test of it."""

    table: str
    param: int
    groups: tuple[tuple[Test, ...], ...]


@dataclass(frozen=True, slots=True)
class Named:
    """A reference to `id` whose type was not said: (type id, term) for each that may be."""

    name: str
    id: str
    candidates: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Coded:
    """A coding under `param` is of some meaning, which the terminology service knows.

    `modifier` is `in` (the values are canonicals of value sets), `above` or `below` (the
    values are `system|code`); `implied` are the codes by system that a code element can have.
    `name` is the parameter as it was written, for error texts.
    """

    param: int
    name: str
    modifier: str
    values: tuple[str, ...]
    implied: tuple[tuple[str, tuple[str, ...]], ...] = ()


@dataclass(frozen=True, slots=True)
class Ids:
    """The resource is of one of these types, and its own id one of these."""

    ids: tuple[str, ...]
    types: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Updated:
    """`last_updated`, in microseconds since 1970, passes every group as in `Row`."""

    groups: tuple[tuple[Test, ...], ...]


@dataclass(frozen=True, slots=True)
class Either:
    """At least one condition holds; none of none."""

    conditions: "tuple[Condition, ...]"


@dataclass(frozen=True, slots=True)
class Both:
    """Every condition holds."""

    conditions: "tuple[Condition, ...]"


@dataclass(frozen=True, slots=True)
class Not:
    """The condition does not hold."""

    condition: "Condition"


@dataclass(frozen=True, slots=True)
class Typed:
    """The resource is of one of these types."""

    types: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Refers:
    """The resource refers to something of this server by `param`, be it there or not."""

    param: int


@dataclass(frozen=True, slots=True)
class Linked:
    """The resource refers, by one of `params`, to a `target` for which the condition holds.

    `wall` is what the target must meet to be there for who asks; a contained resource is
    there with its container. None: nobody has said (fhir_server/access).
    """

    params: tuple[int, ...]
    target: int
    condition: "Condition"
    wall: "Condition | None" = None


@dataclass(frozen=True, slots=True)
class Referred:
    """A `source` for which the condition holds refers, by one of `params`, to the resource.

    `wall` is what the source must meet to be there for who asks, as in `Linked`.
    """

    params: tuple[int, ...]
    source: int
    condition: "Condition"
    wall: "Condition | None" = None


@dataclass(frozen=True, slots=True)
class Keys:
    """The resource is one of these, by its key."""

    keys: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Words:
    """Some row of words passes `query`, a `tsquery`; `param`: it asks for a parameter's texts."""

    query: str
    param: int = 0


@dataclass(frozen=True, slots=True)
class Near:
    """A position under `param` lies within `meters` of a place (degrees of WGS84).

    It can only be between `south` and `north`, and in one of two ranges of longitude.
    """

    param: int
    latitude: float
    longitude: float
    meters: float
    south: float
    north: float
    ranges: tuple[tuple[float, float], tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Within:
    """The resource refers, by `param`, into a hierarchy of resources of one type.

    To one of `ids`, or to one that lies below (or `above`) one of them; `parent` is the
    parameter by which such a resource refers to the one above it. `wall` is what each
    that is gone through must meet to be there for who asks, as in `Linked`.
    """

    param: int
    type_id: int
    parent: int
    ids: tuple[str, ...]
    above: bool
    wall: "Condition | None" = None


@dataclass(frozen=True, slots=True)
class Caring:
    """The resource is of a patient with whom one of `actors` (references) has a relationship now.

    `params` are those by which it refers to the patient, none where it is the patient itself;
    `patient` is the id of that type. A relationship counts for `early` microseconds before it
    begins and `late` after it has ended, by its kind (search/care.py).
    """

    actors: tuple[str, ...]
    patient: int
    params: tuple[int, ...]
    early: tuple[int, ...]
    late: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Sharing:
    """The resource is of a patient of whom there is also another for which the condition holds.

    By one of `params` it refers to the patient (`patient` is the id of that type), as by one
    of `sources` the other does.
    """

    params: tuple[int, ...]
    patient: int
    sources: tuple[int, ...]
    condition: "Condition"


Leaf: TypeAlias = (
    Terms
    | Among
    | Row
    | Named
    | Coded
    | Ids
    | Updated
    | Keys
    | Words
    | Near
    | Within
    | Typed
    | Refers
    | Caring
    | Aged
    | Withheld
)


@dataclass(frozen=True, slots=True)
class Each:
    """The condition holds, which is looked at for each resource that meets the others.

    It is one that an index answers: `Caring`, `Linked` or `Referred`; or `Withheld`.
    """

    condition: "Condition"


@dataclass(frozen=True, slots=True)
class Looked:
    """The condition holds, of which the planner is told nothing.

    It is looked at for each resource that meets the others, in the order of its parts.
    """

    condition: "Condition"


Condition: TypeAlias = Leaf | Either | Both | Not | Linked | Referred | Sharing | Each | Looked

NEVER = Either(())
ALWAYS = Both(())


def either(conditions: "list[Condition]") -> Condition:
    """Return the union, with unions in it dissolved and all plain terms in one node."""
    if len(conditions) == 1:
        return conditions[0]
    conditions = [inner for one in conditions for inner in _alternatives(one)]
    if conditions and all(isinstance(c, Ids) for c in conditions):
        return _ids([c for c in conditions if isinstance(c, Ids)])
    terms = tuple(t for c in conditions if isinstance(c, Terms) for t in c.alternatives)
    others = [c for c in conditions if not isinstance(c, Terms)]
    if not terms:
        return Either(tuple(others))
    few = all(c.few for c in conditions if isinstance(c, Terms))
    gathered = Terms(tuple(dict.fromkeys(terms)), few)
    return Either((gathered, *others)) if others else gathered


def _alternatives(condition: Condition) -> tuple[Condition, ...]:
    return condition.conditions if isinstance(condition, Either) else (condition,)


def _ids(conditions: list[Ids]) -> Condition:
    """Return one node where the same ids are looked for in several types."""
    found = {one.ids for one in conditions}
    if len(found) > 1:
        return Either(tuple(conditions))
    return Ids(found.pop(), tuple(t for one in conditions for t in one.types))


def implies_type(condition: Condition) -> bool:
    """Return whether only resources of the types searched can meet the condition.

    Terms, rows and references belong to the parameters of one type. A test of the
    type besides would only mislead the planner, which takes it for independent.
    """
    match condition:
        case (
            Terms()
            | Among()
            | Row()
            | Named()
            | Coded()
            | Ids()
            | Linked()
            | Keys()
            | Near()
            | Within()
            | Typed()
            | Caring()
            | Sharing()
        ):
            return True
        case Words(param=param):
            return param != 0
        case Each(inner) | Looked(inner):
            return implies_type(inner)
        case Either(parts):
            return all(implies_type(part) for part in parts)
        case Both(parts):
            return any(implies_type(part) for part in parts)
        case _:
            return False


def is_met_by_few(condition: Condition) -> bool:
    """Return whether so few resources meet the condition that they can all be sorted."""
    match condition:
        case Terms(few=few):
            return few
        case Named() | Ids() | Keys():
            return True
        case Either(parts):
            return all(is_met_by_few(part) for part in parts)
        case Both(parts):
            return any(is_met_by_few(part) for part in parts)
        case _:
            return False
