"""The table of links whose target is not there yet."""

from collections.abc import Iterable, Sequence
from typing import Final

from adapters.hl7.inbox.links import Waiting
from adapters.hl7.inbox.snapshot import Named
from fhir_server.database import Connection
from fhir_server.r4 import json

_ADD: Final = """
INSERT INTO hl7_pending_link (source, element, type, tokens, inverse)
SELECT source, element, type, ARRAY(SELECT jsonb_array_elements_text(tokens::jsonb)), inverse
FROM unnest(%s::text[], %s::text[], %s::text[], %s::text[], %s::boolean[])
    AS g(source, element, type, tokens, inverse)
ON CONFLICT (source, element, tokens) DO NOTHING
"""
_FOUND: Final = """
DELETE FROM hl7_pending_link WHERE tokens && %s::text[]
RETURNING id, source, element, type, tokens, inverse
"""
_SEPARATOR: Final = "?"


def _texts(one: Waiting) -> list[str]:
    return [f"{one.type}{_SEPARATOR}{token}" for token in one.identity]


async def add(connection: Connection, some: Sequence[Waiting]) -> None:
    """Keep links until their targets come; one that is kept already is kept once."""
    if not some:
        return
    values = (
        [one.source for one in some],
        [one.element for one in some],
        [one.type for one in some],
        [_array(_texts(one)) for one in some],
        [one.inverse for one in some],
    )
    await connection.execute(_ADD, values)


def _array(texts: Sequence[str]) -> str:
    return json.encode(list(texts)).decode()


async def take(connection: Connection, fresh: Iterable[Named]) -> list[Waiting]:
    """Take out the links that wait for what has one of these identifiers."""
    texts = [f"{kind}{_SEPARATOR}{token}" for kind, token in fresh]
    if not texts:
        return []
    cursor = await connection.execute(_FOUND, (texts,))
    return [
        Waiting(
            source,
            element,
            kind,
            tuple(text.partition(_SEPARATOR)[2] for text in tokens),
            inverse,
            number,
        )
        for number, source, element, kind, tokens, inverse in await cursor.fetchall()
    ]
