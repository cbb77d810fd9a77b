"""The operations that this server offers.

https://hl7.org/fhir/R4/operationslist.html
"""

from fhir_server.operations import (
    access_report,
    break_glass,
    capability_statement,
    expunge,
    fhirpath,
    patient_match,
    reindex,
    role,
    validate,
)
from fhir_server.operations.operation import Level, Operation
from fhir_server.operations.terminology import offered as terminology

OPERATIONS: tuple[Operation, ...] = (
    reindex.OPERATION,
    capability_statement.SUBSET,
    capability_statement.VERSIONS,
    validate.OPERATION,
    fhirpath.OPERATION,
    expunge.OPERATION,
    break_glass.OPEN,
    break_glass.END,
    break_glass.SIGN,
    role.OPERATION,
    access_report.OPERATION,
    patient_match.OPERATION,
    *terminology.OPERATIONS,
)
"""All of them; two have one name where they are offered on different types."""


def operation(name: str, level: Level, type_name: str) -> Operation | None:
    """Return the operation of this name that is offered there, None where there is none."""
    named = (one for one in OPERATIONS if one.name == name)
    return next((one for one in named if one.offered(level, type_name)), None)
