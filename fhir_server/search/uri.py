"""URI parameters.

https://hl7.org/fhir/R4/search.html#uri
"""

from collections.abc import Mapping

from fhir_server.search.clause import Clause
from fhir_server.search.condition import Condition, Row, Terms, either
from fhir_server.search.context import Context
from fhir_server.search.parameter import Parameter
from fhir_server.search.rows import Rows, Writer
from fhir_server.search.string import row, starting
from fhir_server.search.terms import term

TABLE = "idx_string"
MODIFIERS: frozenset[str] = frozenset({"above", "below"})


def write(rows: Rows, parameter: Parameter, value: str) -> None:
    """Index a URI as given; a canonical also without its version, a resource's own with it."""
    rows.add(parameter, "uri", value)
    if rows.version is not None and f"{parameter.base}.url" in parameter.expression:
        rows.add(parameter, "uri", f"{value}|{rows.version}")
    url, bar, _ = value.partition("|")
    if bar:
        rows.add(parameter, "uri", url)
    rows.ranges[TABLE].add(row(parameter.id, value))


WRITERS: Mapping[str, Writer] = dict.fromkeys(("uri", "url", "canonical", "oid", "uuid"), write)


def present(context: Context, parameter: Parameter) -> Condition:  # noqa: ARG001  (SearchType)
    """Return the condition that the parameter has a value."""
    return Row(TABLE, parameter.id, ())


def condition(context: Context, clause: Clause) -> Condition:
    """Return the condition of the clause's alternatives."""
    values = [clause.unescape(value) for value in clause.values]
    if not clause.modifier:
        return Terms(tuple(_term(context, clause, value) for value in values))
    if any(value.startswith("urn:") for value in values):
        raise clause.refuse("A urn: URI has no path to search above or below.")
    if clause.modifier == "above":
        prefixes = [prefix for value in values for prefix in ancestors(value)]
        return Terms(tuple(_term(context, clause, prefix) for prefix in prefixes))
    return either([_below(context, clause, value) for value in values])


def _term(context: Context, clause: Clause, value: str) -> int:
    return term(context.secret, clause.parameter.id, "uri", value)


def _below(context: Context, clause: Clause, value: str) -> Condition:
    """Return the condition of a value and what lies under it; of a version and its parts."""
    itself = Terms((_term(context, clause, value),))
    versioned = "|" in value and "canonical" in clause.types
    inside = f"{value}." if versioned else f"{value.removesuffix('/')}/"
    return either([itself, Row(TABLE, clause.parameter.id, starting(inside))])


def ancestors(value: str) -> list[str]:
    """Return `value` and each URI above it, cut at a `/` of its path, with and without the `/`."""
    scheme, mark, rest = value.partition("://")
    head = f"{scheme}{mark}" if mark else ""
    parts = (rest if mark else value).split("/")
    paths = [head + "/".join(parts[:count]) for count in range(1, len(parts))]
    return [value, *paths, *(f"{path}/" for path in paths if f"{path}/" != value)]
