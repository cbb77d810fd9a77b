"""Labels that are given on write, and labels that not everybody may take away.

https://hl7.org/fhir/R4/security-labels.html
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from fhir_server.access import labels
from fhir_server.access.label_codes import OURS, RELEASED
from fhir_server.caller import Caller
from fhir_server.consent_settings import LabelRule
from fhir_server.database import Connection
from fhir_server.errors import Forbidden, Unavailable
from fhir_server.r4 import json
from fhir_server.search.parameter import parameter_id
from fhir_server.search.token import token_term
from fhir_server.server import Server
from fhir_server.store.transact import Write
from terminology.memberships import Question

Json = Mapping[str, Any]

_TAGGED = """
SELECT key FROM unnest(%s::bigint[], %s::bigint[]) AS asked(key, term)
JOIN terms USING (key) WHERE asked.term = ANY(terms.terms)
"""


async def given(server: Server, type_name: str, data: Json) -> tuple[bytes, ...]:
    """Return the labels (Codings in JSON) that rules add to a resource, by the codes in it.

    Unavailable where it cannot be told whether a code is in the value set of a rule: what
    might have to be hidden is not stored without its label.
    """
    rules = server.settings.security.labels.rules
    found = [one for one in rules if not one.types or type_name in one.types]
    if not found:
        return ()
    present = labels.codings(data)
    codes = sorted(set(_codes(data)))
    wanted = [
        label for rule in found if await _applies(server, rule, codes) for label in rule.labels
    ]
    pairs = dict.fromkeys(tuple(one.rpartition("|")[::2]) for one in wanted)
    return tuple(
        json.encode({"system": system, "code": code})
        for system, code in pairs
        if (system, code) not in present
    )


async def _applies(server: Server, rule: LabelRule, codes: Sequence[labels.Coding]) -> bool:
    """Return whether one of the codes is in the value set of the rule."""
    memberships = server.memberships
    questions = [Question(rule.value_set, system, code) for system, code in codes]
    await memberships.find(questions)
    answers = {memberships.known(one) for one in questions}
    if (True, True) in answers:
        return True
    if answers - {(True, False)}:
        text = "It cannot be told whether the resource has to be labelled"
        raise Unavailable(text)
    return False


def _codes(value: object) -> Iterator[labels.Coding]:
    """Yield the codings anywhere in a resource, except for its own labels and tags."""
    ahead: list[Any] = [value]
    while ahead:
        one = ahead.pop()
        if isinstance(one, list):
            ahead += one
        elif isinstance(one, Mapping):
            system, code = one.get("system"), one.get("code")
            if isinstance(system, str) and isinstance(code, str):
                yield system, code
            ahead += (inner for name, inner in one.items() if name != "meta")


async def guard(
    server: Server, connection: Connection, caller: Caller, writes: Sequence[Write]
) -> None:
    """Refuse labels that go, and releases to patients, by who has not the right to either."""
    if labels.may_lower(caller.rights):
        return
    for one in writes:
        if one.previous is not None and one.previous.security and one.text is not None:
            before, after = labels.stored(one.previous.security), labels.stored(one.security)
            if labels.is_lowered(before, after):
                raise Forbidden("Security labels may be added here, not taken away")
    if not labels.may_release(caller.rights):
        await _refuse_releases(server, connection, writes)


async def _refuse_releases(server: Server, connection: Connection, writes: Sequence[Write]) -> None:
    tagged = {one.key: term for one in writes if (term := _release(server, one)) is not None}
    if not tagged:
        return
    cursor = await connection.execute(_TAGGED, (list(tagged), list(tagged.values())))
    if tagged.keys() - {key for (key,) in await cursor.fetchall()}:
        raise Forbidden("Only a clinician may release what is labelled to the patient")


def _release(server: Server, one: Write) -> int | None:
    """Return the term of the tag by which a resource is released, if it has it."""
    registry = server.registry
    scope = parameter_id(server.definitions.type_names[one.type_id], "_tag")
    term = token_term(registry.context, scope, OURS, RELEASED)
    return term if one.index is not None and term in one.index.terms else None
