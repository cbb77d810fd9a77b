"""What only operators may do, by the names of their scopes (`scopes.OPERATORS`)."""

from fhir_server.errors import Forbidden
from fhir_server.rights import ANY, Rights

EXPLAIN = "explain"
REINDEX = "reindex"


def require(rights: Rights, name: str, *, expression: str | None = None) -> None:
    """Refuse who has not been granted the operator scope; `expression` is what asked for it."""
    if rights.operator.isdisjoint((name, ANY)):
        raise Forbidden(f"This needs the rights of an operator: {name}", expression=expression)
