"""Where the terminology operations are offered.

https://hl7.org/fhir/R4/terminology-service.html
"""

from fhir_server.operations.operation import Operation
from fhir_server.operations.terminology import cache_control, closure
from fhir_server.operations.terminology.ask import asks

R4 = "http://hl7.org/fhir/OperationDefinition/"
# Batches of validations are none of R4's.
OURS = "urn:sangam:operation:"
BOTH = ("GET", "POST")


def _operation(type_name: str, name: str, *, instances: bool = True) -> Operation:
    return _named(type_name, name, f"{R4}{type_name}-{name}", BOTH, instances=instances)


def _batch(type_name: str) -> Operation:
    name = "batch-validate-code"
    return _named(type_name, name, f"{OURS}{type_name}-{name}", ("POST",), instances=False)


def _named(
    type_name: str, name: str, definition: str, methods: tuple[str, ...], *, instances: bool
) -> Operation:
    types = frozenset((type_name,))
    return Operation(
        name=name,
        definition=definition,
        methods=dict.fromkeys(methods, asks(type_name, name)),
        types=types,
        instances=types if instances else frozenset(),
        takes_as_sent=True,
        batched=True,
    )


OPERATIONS: tuple[Operation, ...] = (
    _operation("CodeSystem", "lookup", instances=False),
    _operation("CodeSystem", "validate-code"),
    _batch("CodeSystem"),
    _operation("CodeSystem", "subsumes"),
    _operation("CodeSystem", "find-matches"),
    _operation("ValueSet", "expand"),
    _operation("ValueSet", "validate-code"),
    _batch("ValueSet"),
    _operation("ConceptMap", "translate"),
    closure.OPERATION,
    cache_control.OPERATION,
)
