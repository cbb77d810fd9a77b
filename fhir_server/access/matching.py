"""Limits by search parameters, as granular scopes and roles write them.

https://hl7.org/fhir/smart-app-launch/scopes-and-launch-context.html#finer-grained-resource-constraints-using-search-parameters
"""

from fhir_server.access.unanswerable import UnanswerableError
from fhir_server.errors import SangamError
from fhir_server.rights import Matching
from fhir_server.search.ask import Scene, condition
from fhir_server.search.condition import Both, Condition
from fhir_server.search.control import CONTROLS
from fhir_server.search.fulltext import PARAMETERS as WORDS
from fhir_server.search.query import Rules
from fhir_server.search.settle import is_named
from fhir_server.server import Server

MODIFIERS = frozenset({"", "in", "not", "not-in", "below", "above", "exact", "identifier"})
"""Of what else a search takes, whether a resource keeps it may depend on others."""


def compiled(server: Server, limit: Matching, type_name: str) -> Condition:
    """Return the condition of matching every parameter; UnanswerableError where one is no such."""
    return Both(tuple(_condition(server, type_name, *pair) for pair in limit.pairs))


def _condition(server: Server, type_name: str, name: str, value: str) -> Condition:
    code, _, modifier = name.partition(":")
    if "." in name or code.startswith("_has") or code in CONTROLS or code in WORDS:
        raise UnanswerableError
    if modifier not in MODIFIERS or not value:
        raise UnanswerableError
    rules = Rules(server.settings.search, server.settings.limits)
    try:
        found = condition(Scene(server.registry, rules, name), (type_name,), name, value)
    except SangamError:
        raise UnanswerableError from None
    # Of which type a bare id is depends on what is stored.
    if is_named(found):
        raise UnanswerableError
    return found
