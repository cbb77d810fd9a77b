"""Index rows of a resource."""

from collections.abc import Collection, Iterator, Mapping
from typing import Any, TypeAlias

import msgspec

from fhir_server.search import content, kept
from fhir_server.search.context import Context
from fhir_server.search.delta import SORT_TABLE
from fhir_server.search.expression import Write
from fhir_server.search.parameter import parameter_id
from fhir_server.search.registry import Registry
from fhir_server.search.rows import CONTAINER, Contained, Edge, IndexRows, Rows
from fhir_server.search.terms import term
from fhir_server.search.words import EVERYTHING, TABLE, Vector, stemmer, under

__all__ = ["Contained", "Edge", "IndexRows", "extract", "written"]

Words: TypeAlias = list[tuple[Any, ...]]
"""Rows of words: (parameter, vector)."""


def extract(registry: Registry, type_name: str, resource: dict[str, Any]) -> IndexRows:
    """Return all index rows of a valid resource: sorted, without doubles, deterministic."""
    context = registry.context
    rows = Rows(context, resource.get("version"))
    plan = registry.plan(type_name)
    texts = kept.write(registry.definitions, type_name, plan.write, resource, rows)
    if type_name == "DocumentReference":
        rows.terms.add(document_term(context, type_name, resource.get("docStatus", UNSAID)))
    customs = {one.parameter.id for one in registry.custom.get(type_name, ())}
    vector = Vector()
    if context.full_text:
        content.write(vector, texts, stemmer(context.text_language))
    words = [*_all_texts(vector, rows.texts, customs), *_each_text(rows.texts, customs)]
    inner: tuple[Contained, ...] = ()
    if rows.inner and context.contained:
        links = {name: params - customs for name, params in rows.inner.items()}
        inner = tuple(_contained(registry, resource, links))
    return _sorted(rows, words, inner)


UNSAID = "unsaid"
"""A `docStatus` that is not said."""


def document_term(context: Context, type_name: str, code: str) -> int:
    """Return the term of `docStatus`, of which R4 has no parameter: patients see no drafts."""
    return term(context.secret, parameter_id(type_name, "status"), "document", code)


def written(context: Context, write: Write, resource: dict[str, Any]) -> IndexRows:
    """Return the index rows that one function, of parameters of a site, writes of a resource."""
    rows = Rows(context, resource.get("version"))
    write(resource, rows)
    return _sorted(rows, list(_each_text(rows.texts, rows.texts)))


def _sorted(rows: Rows, words: Words, inner: tuple[Contained, ...] = ()) -> IndexRows:
    ranges: dict[str, list[tuple[Any, ...]]] = {
        table: sorted(found) for table, found in sorted(rows.ranges.items())
    }
    if rows.codes:
        ranges[SORT_TABLE] = [_sort_values(rows.codes)]
    if words:
        ranges[TABLE] = words
    edges = tuple(sorted(rows.edges, key=_order))
    codings = rows.codings.union(*(one.rows.codings for one in inner))
    return IndexRows(tuple(sorted(rows.terms)), edges, ranges, inner, tuple(sorted(codings)))


def _all_texts(
    vector: Vector, texts: Mapping[int, list[str]], besides: Collection[int]
) -> Iterator[tuple[int, str]]:
    """Yield one row, rarely more, with the words so far and those of the parameters' texts."""
    for param, found in sorted(texts.items()):
        if param not in besides:
            for text in dict.fromkeys(found):
                if vector.full:
                    yield EVERYTHING, vector.literal()
                    vector = Vector()
                vector.add(under(param, text))
    if not vector.empty:
        yield EVERYTHING, vector.literal()


def _each_text(
    texts: Mapping[int, list[str]], params: Collection[int]
) -> Iterator[tuple[int, str]]:
    """Yield the rows of these parameters, which come and go one by one."""
    for param in sorted(set(texts) & set(params)):
        for _, literal in _all_texts(Vector(), {param: texts[param]}, ()):
            yield param, literal


def _contained(
    registry: Registry, resource: dict[str, Any], links: Mapping[str, set[int]]
) -> list[Contained]:
    """Return the contained resources that are referred to, also by one another."""
    known = {one.get("id"): one for one in resource.get("contained", ())}
    places: dict[str, int] = {}
    rows: list[Rows] = []
    pending = [(CONTAINER, links)]
    found: list[list[tuple[int, int]]] = []
    for source, referred in pending:
        for name, params in sorted(referred.items()):
            if name not in known:
                continue
            if name not in places:
                places[name] = len(rows)
                rows.append(_inside(registry, resource, known[name]))
                found.append([])
                pending.append((places[name], rows[-1].inner))
            found[places[name]] += [(source, param) for param in sorted(params)]
    type_ids = registry.context.type_ids
    return [
        Contained(
            type_ids[known[name]["resourceType"]],
            _sorted(rows[place], list(_all_texts(Vector(), rows[place].texts, ()))),
            tuple(found[place]),
        )
        for name, place in places.items()
    ]


def _inside(registry: Registry, container: dict[str, Any], resource: dict[str, Any]) -> Rows:
    """Return the rows of a contained resource, whose references lead to the others of its kind."""
    rows = Rows(registry.context, resource.get("version"))
    seen = {**resource, "contained": container["contained"]}
    registry.official.plan(resource["resourceType"]).write(seen, rows)
    return rows


def _order(edge: Edge) -> tuple[int, int, str, int]:
    param, target_type, target_id, version = edge
    return param, target_type, target_id, version or 0


def _sort_values(codes: dict[int, list[str]]) -> tuple[str, str]:
    """Return {"param": value} as JSON text of the least values, and of the greatest ones.

    The greatest stands only where it is another than the least.
    """
    least, greatest = {}, {}
    for param, found in sorted(codes.items()):
        name, low, high = str(param), min(found), max(found)
        least[name] = low
        if high != low:
            greatest[name] = high
    return msgspec.json.encode(least).decode(), msgspec.json.encode(greatest).decode()
