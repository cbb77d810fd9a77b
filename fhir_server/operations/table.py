"""The operations that this server offers.

https://hl7.org/fhir/R4/operationslist.html
"""

from collections.abc import Mapping

from fhir_server.operations import capability_statement, reindex
from fhir_server.operations.operation import Operation

OPERATIONS: Mapping[str, Operation] = {
    one.name: one
    for one in (reindex.OPERATION, capability_statement.SUBSET, capability_statement.VERSIONS)
}
