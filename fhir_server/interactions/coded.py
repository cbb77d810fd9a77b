"""Searches by meaning: which codings in use the modifiers `in`, `above` and `below` ask for.

https://hl7.org/fhir/R4/search.html#token
"""

import asyncio
from dataclasses import dataclass

from fhir_server.database import Connection
from fhir_server.errors import BadRequest
from fhir_server.r4 import json
from fhir_server.search import terminology
from fhir_server.search.condition import Coded, Terms
from fhir_server.search.query import Query
from fhir_server.search.token import implied_term
from fhir_server.server import Server
from fhir_server.store import read
from terminology.choosing import Choices, Used
from terminology.issues import Refusal
from terminology.library import Library
from terminology.versions import join

Coding = tuple[str, str]


async def answered(server: Server, connection: Connection, query: Query) -> Query:
    """Return the query with the terms of the codings that are meant.

    BadRequest for a value set, system or code that is unknown, and for what cannot be told
    in time: it is never no match.
    """
    asked = terminology.coded(query)
    if not asked:
        return query
    library = await server.vocabulary.present()
    found = {one: await _terms(server, connection, library, one) for one in asked}
    return terminology.answered(query, found)


async def _terms(server: Server, connection: Connection, library: Library, asked: Coded) -> Terms:
    used = await server.codings.used(connection, asked.param)
    values = asked.values
    if asked.modifier == "in":
        values = tuple([await _canonical(server, connection, asked, one) for one in values])
    ask = _Ask(server.choices, library, asked.modifier, values)
    try:
        async with asyncio.timeout(server.settings.terminology.seconds):
            chosen = await ask.among(asked.param, used.terms)
            implied = dict(asked.implied)
            fixed = await ask.among(asked.implied, implied) if implied else set()
    except Refusal as refused:
        raise _refusal(asked, refused) from refused
    except TimeoutError as error:
        text = "It takes too long to tell which codes are meant."
        raise BadRequest(text, code="too-costly", expression=asked.name) from error
    terms = {used.terms[system][code] for system, code in chosen}
    terms |= {implied_term(server.registry.context, asked.param, code) for _, code in fixed}
    return Terms(tuple(sorted(terms)))


@dataclass(frozen=True, slots=True)
class _Ask:
    """One modifier with its values: canonicals of value sets, or `system|code`."""

    choices: Choices
    library: Library
    modifier: str
    values: tuple[str, ...]

    async def among(self, of: object, codings: Used) -> set[Coding]:
        """Return those of the codings that some value means; `of` says whose they are."""
        found: set[Coding] = set()
        for value in self.values:
            if self.modifier == "in":
                found |= await self.choices.members(self.library, of, value, codings)
            else:
                system, _, code = value.partition("|")
                coding = system, code
                found |= await self.choices.related(
                    self.library, of, self.modifier, coding, codings
                )
        return found


async def _canonical(server: Server, connection: Connection, asked: Coded, value: str) -> str:
    """Return the canonical of a value set; of one by its place (`ValueSet/id`) what it says."""
    type_name, slash, id_ = value.partition("/")
    if type_name != "ValueSet" or not slash:
        return value
    found = await read.current(connection, server.definitions.type_ids[type_name], id_)
    said = json.decode(found.body) if found and not found.deleted else {}
    if not said.get("url"):
        raise BadRequest(_UNKNOWN["in"], code="not-found", expression=asked.name)
    return join(said["url"], said.get("version"))


_UNKNOWN = {
    "in": "The value set, or a code system that it needs, is not known here.",
    "below": "The code system, or the code in it, is not known here.",
    "above": "The code system, or the code in it, is not known here.",
}


def _refusal(asked: Coded, refused: Refusal) -> BadRequest:
    """Return the refusal by the name of the parameter; texts that quote codes stay behind."""
    code = refused.issues[0].code
    text = "The terminology service cannot tell which codes are meant."
    if code == "not-found":
        text = _UNKNOWN[asked.modifier]
    return BadRequest(text, code=code, expression=asked.name)
