r"""Filters by pattern, evaluated by RE2 over what the database sends in chunks.

PostgreSQL's own patterns differ in meaning (`\b` is a backspace there) and in what they may
cost.

https://hl7.org/fhir/R4/valueset-definitions.html#ValueSet.compose.include.filter (regex)
"""

from collections.abc import AsyncIterator, Callable

from terminology.code_system import PropertyDefinition
from terminology.concepts import Concept
from terminology.filters import Filter, UnsupportedFilter, regex
from terminology.issues import UNPROCESSABLE, Issue, Refusal
from terminology.memory import written
from terminology.postgres.conditions import Condition
from terminology.postgres.filters import CODE, one_of
from terminology.postgres.releases import Release
from terminology.postgres.rows import Connections, rows

CHUNK = 5_000
MOST_VALUES = 100_000
"""Different values of a property that a pattern is tried on."""

_TEXTS = """
SELECT cid, {column} FROM tx.concept_{id} WHERE cid > %s ORDER BY cid LIMIT %s
"""
_VALUES = """
SELECT DISTINCT coalesce(v.code, p.value_code, p.value_text, p.value_num::text,
                         p.value_bool::text, p.value_date)
FROM tx.property_{id} p LEFT JOIN tx.concept_{id} v ON v.cid = p.value_cid
WHERE p.prop_id = %s LIMIT %s
"""


def texts_of(release: Release, asked: Filter) -> Callable[[Concept], tuple[str, ...]]:
    """What of a concept a pattern is tried on; UnsupportedFilter."""
    if asked.property in CODE:
        return lambda concept: (concept.code,)
    if asked.property == "display":
        return lambda concept: (concept.display,) if concept.display else ()
    name = _defined(release, asked).code
    return lambda concept: tuple(written(p.value) for p in concept.properties if p.code == name)


def _defined(release: Release, asked: Filter) -> PropertyDefinition:
    defined = release.head.defined(asked.property)
    if defined is None or defined.role in {"parent", "child", "inactive", "notSelectable"}:
        raise UnsupportedFilter(asked, "the property has no text to match")
    return defined


async def matching(connections: Connections, release: Release, asked: Filter) -> Condition:
    """The concepts of which a value is matched whole; UnsupportedFilter, Refusal `too-costly`."""
    if asked.property in CODE:
        return await _by_text(connections, release, asked, "code")
    if asked.property == "display":
        return await _by_text(connections, release, asked, "display")
    defined = _defined(release, asked)
    matched = regex(asked)
    if defined.role == "status":
        sql = f"SELECT DISTINCT status FROM tx.concept_{release.id}"
        found = await rows(connections, sql)
    else:
        place = release.head.properties.index(defined)
        sql = _VALUES.format(id=release.id)
        found = await rows(connections, sql, (place, MOST_VALUES + 1), prepare=False)
    if len(found) > MOST_VALUES:
        words = f"a pattern is tried on at most {MOST_VALUES} values of a property"
        raise Refusal(UNPROCESSABLE, Issue("error", "too-costly", None, words))
    wanted = [value for (value,) in found if value is not None and matched(value)]
    return one_of(release, asked, wanted, await _numbers(connections, release, wanted))


async def _by_text(
    connections: Connections, release: Release, asked: Filter, column: str
) -> Condition:
    matched = regex(asked)
    kept: list[int] = []
    async for chunk in _chunks(connections, _TEXTS.format(id=release.id, column=column)):
        kept += [number for number, text in chunk if text and matched(text)]
    return Condition("c.cid = ANY(%s::int[])", (kept,))


async def _chunks(connections: Connections, sql: str) -> AsyncIterator[list[tuple[int, str]]]:
    last = 0
    while True:
        chunk = await rows(connections, sql, (last, CHUNK))
        if not chunk:
            return
        yield [(row[0], row[1]) for row in chunk]
        last = chunk[-1][0]


async def _numbers(connections: Connections, release: Release, codes: list[str]) -> dict[str, int]:
    sql = f"SELECT code, cid FROM tx.concept_{release.id} WHERE code = ANY(%s::text[])"
    return dict(await rows(connections, sql, [codes])) if codes else {}
