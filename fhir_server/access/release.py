"""What patients see of their records: results that are final and have waited, and no secrets.

Waiting is counted from `meta.lastUpdated`, which no client can set: a result that was issued
long ago and stored now waits, and so does a correction.
"""

from collections.abc import Iterable, Iterator

from fhir_server.access.label_codes import CONFIDENTIALITY, OURS, RELEASED
from fhir_server.access.labels import sensitive, terms, unlabelled
from fhir_server.rights import Released
from fhir_server.search.condition import ALWAYS, Both, Condition, Either, Not, Terms
from fhir_server.search.extract import UNSAID, document_term
from fhir_server.search.parameter import parameter_id
from fhir_server.search.terms import term
from fhir_server.search.token import implied_term, token_term
from fhir_server.search.withholding import Aged
from fhir_server.server import Server

STATUS = {
    "Composition": ("final", "amended"),
    "DiagnosticReport": ("final", "amended", "corrected"),
    "DocumentReference": ("current",),
    "ImagingStudy": ("available",),
    "Observation": ("final", "amended", "corrected"),
}
"""Types of results, and in which status they are seen."""

_CATEGORIES = {
    "Composition": ("category", "type"),
    "DiagnosticReport": ("category", "code"),
    "DocumentReference": ("category", "type"),
    "Observation": ("category",),
}
_CATEGORISED = frozenset(("DiagnosticReport", "Observation"))
_HOUR = 3_600_000_000  # microseconds
_OWN = "Patient"
_DOCUMENT, _SIGNED = "DocumentReference", ("final", "amended", UNSAID)


def compiled(server: Server, limit: Released, type_name: str) -> Condition:  # noqa: ARG001  (Compile)
    """Return the condition that the patient may see the resource by now."""
    found: list[Condition] = []
    if type_name != _OWN:
        found.append(_open(server, type_name))
    if type_name in STATUS:
        found += [_status(server, type_name), *_waited(server, type_name)]
    if type_name == _DOCUMENT:
        context = server.registry.context
        # What was indexed before there were these terms is hidden until it is indexed anew.
        signed = (document_term(context, type_name, code) for code in _SIGNED)
        found.append(Terms(tuple(signed)))
    return Both(tuple(found)) if found else ALWAYS


def _open(server: Server, type_name: str) -> Condition:
    """Return the condition that no label is in the way, or that a clinician released it."""
    secret = ((CONFIDENTIALITY, code) for code in "RV")
    hidden = [*terms(server, type_name, secret), *terms(server, type_name, sensitive(server))]
    context, scope = server.registry.context, parameter_id(type_name, "_tag")
    tagged = token_term(context, scope, OURS, RELEASED)
    open_ = Not(Terms(tuple(hidden)))
    return Either((unlabelled(server, type_name), open_, Terms((tagged,))))


def _status(server: Server, type_name: str) -> Condition:
    context, scope = server.registry.context, parameter_id(type_name, "status")
    return Terms(tuple(implied_term(context, scope, code) for code in STATUS[type_name]))


def _waited(server: Server, type_name: str) -> Iterator[Condition]:
    """Yield the conditions of having waited as long as the category has to."""
    settings = server.settings.security.release
    held = {kind: hours for kind, hours in settings.hold_hours.items() if hours}
    for kind, hours in held.items():
        aged = Aged(int(hours * _HOUR))
        if type_name in settings.kinds[kind]:
            yield aged
        elif found := tuple(_categories(server, type_name, settings.kinds[kind])):
            yield Either((Not(Terms(found)), aged))
    if held and type_name in _CATEGORISED:
        context, scope = server.registry.context, parameter_id(type_name, "category")
        longest = max(held.values())
        categorised = Terms((term(context.secret, scope, "present"),))
        yield Either((categorised, Aged(int(longest * _HOUR))))


def _categories(server: Server, type_name: str, tokens: Iterable[str]) -> Iterator[int]:
    context = server.registry.context
    for parameter in _CATEGORIES.get(type_name, ()):
        for token in tokens:
            system, bar, code = token.rpartition("|")
            if bar:
                yield token_term(context, parameter_id(type_name, parameter), system, code)
