"""Searches by meaning: which codings in use the modifiers `in`, `above` and `below` ask for.

https://hl7.org/fhir/R4/search.html#token
"""

import asyncio
from dataclasses import dataclass, replace
from typing import Any

from fhir_server.access import openers, restriction
from fhir_server.caller import Caller
from fhir_server.codings import Basis, Kept
from fhir_server.database import Connection
from fhir_server.errors import BadRequest, Unavailable
from fhir_server.r4 import json
from fhir_server.rights import EVERYTHING
from fhir_server.search import terminology
from fhir_server.search.condition import Coded
from fhir_server.search.query import Query
from fhir_server.search.terminology import Meant
from fhir_server.search.token import implied_term
from fhir_server.server import Server
from fhir_server.store import read
from terminology.choosing import Choices, Coding, Used
from terminology.issues import Refusal
from terminology.library import Layers, Library, Shelf

Json = dict[str, Any]


async def answered(server: Server, connection: Connection, caller: Caller, query: Query) -> Query:
    """Return the query with the terms of the codings that are meant.

    BadRequest for a value set, system or code that is unknown, and for what cannot be told
    in time: it is never no match.
    """
    asked = terminology.coded(query)
    if not asked:
        return query
    library = await server.vocabulary.present()
    found = {one: await _terms(server, connection, caller, library, one) for one in asked}
    return terminology.answered(query, found)


async def answer_rights(server: Server, connection: Connection, caller: Caller) -> None:
    """Have the terminology say what is meant by codings in the caller's rights.

    Unavailable where it cannot: there is no partial answer.
    """
    if not caller.rights.walls:
        return
    if restriction.may_open(server, caller.rights):
        await openers.learn(server, connection)
    asked = restriction.unanswered(server, caller.rights)
    if not asked:
        return
    library = await server.vocabulary.present()
    trusted = replace(caller, rights=EVERYTHING)  # a rule sees all that is stored
    try:
        found = {one: await _terms(server, connection, trusted, library, one) for one in asked}
    except BadRequest:
        text = "What your rights mean cannot be told by the terminology"
        raise Unavailable(text, headers={"Retry-After": "5"}) from None
    restriction.answer(server, caller.rights, found)


async def _terms(
    server: Server, connection: Connection, caller: Caller, library: Library, asked: Coded
) -> Meant:
    used = await server.codings.used(connection, asked.param)
    placed = await _placed(server, connection, caller, asked) if asked.modifier == "in" else []
    try:
        library = Layers(Shelf(placed, server.readings), library) if placed else library
        ask = _Ask(server.choices, library, asked.modifier, asked.values)
        async with asyncio.timeout(server.settings.terminology.seconds):
            chosen = await ask.among(asked.param, used.terms)
            implied = dict(asked.implied)
            fixed = await ask.among(asked.implied, implied) if implied else []
    except Refusal as refused:
        raise _refusal(asked, refused) from refused
    except TimeoutError as error:
        text = "It takes too long to tell which codes are meant."
        raise BadRequest(text, code="too-costly", expression=asked.name) from error
    basis = [(one, len(one)) for one in (*chosen, *fixed)]
    known = server.codings.meant.get(asked)
    if known is not None and _same(known.basis, basis):
        return known.condition
    terms = {used.terms[system][code] for found in chosen for system, code in found}
    context = server.registry.context
    terms |= {implied_term(context, asked.param, code) for found in fixed for _, code in found}
    return server.codings.keep(asked, Kept(basis, terminology.meant(terms)))


def _same(one: Basis, other: Basis) -> bool:
    """Return whether answers rest on the same sets, to which nothing was added."""
    return len(one) == len(other) and all(
        a is b and n == m for (a, n), (b, m) in zip(one, other, strict=True)
    )


@dataclass(frozen=True, slots=True)
class _Ask:
    """One modifier with its values: canonicals or places of value sets, or `system|code`."""

    choices: Choices
    library: Library
    modifier: str
    values: tuple[str, ...]

    async def among(self, of: object, codings: Used) -> list[set[Coding]]:
        """Return those of the codings that each value means; `of` says whose they are."""
        return [await self._meant(of, value, codings) for value in self.values]

    async def _meant(self, of: object, value: str, codings: Used) -> set[Coding]:
        if self.modifier == "in":
            return await self.choices.members(self.library, of, value, codings)
        system, _, code = value.partition("|")
        return await self.choices.related(self.library, of, self.modifier, (system, code), codings)


async def _placed(
    server: Server, connection: Connection, caller: Caller, asked: Coded
) -> list[Json]:
    """Return the value sets that are asked for by their place, with it as their url.

    Their own url may be missing, or also that of another.
    """
    found = []
    for place in asked.values:
        type_name, _, id_ = place.partition("/")
        if type_name == "ValueSet":
            type_id = server.definitions.type_ids[type_name]
            wall = restriction.restriction(server, caller.rights, type_name, "r")
            stored = await read.current(connection, type_id, id_, wall)
            if stored is None or stored.deleted:
                raise BadRequest(_UNKNOWN["in"], code="not-found", expression=asked.name)
            found.append({**json.decode(stored.body), "url": place})
    return found


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
