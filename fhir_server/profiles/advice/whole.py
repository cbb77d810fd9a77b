"""All advice on one resource."""

from fhir_server.profiles.advice.bundle import advise_bundle
from fhir_server.profiles.advice.canonical import advise_canonical
from fhir_server.profiles.advice.elements import advise_elements
from fhir_server.profiles.advice.report import advise_report
from fhir_server.profiles.scope import Scope
from fhir_server.profiles.walk import Walk


def advise(walk: Walk, scope: Scope) -> None:
    """Note what R4 means for a resource and states in no rule."""
    kind = scope.resource.node.type
    if kind == "Bundle":
        advise_bundle(walk, scope)
    elif kind == "MeasureReport":
        advise_report(walk, scope)
    advise_canonical(walk, scope)
    advise_elements(walk, scope)
