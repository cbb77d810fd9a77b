"""What a module of a search type offers, and which module serves which type."""

from collections.abc import Mapping
from typing import Protocol

from fhir_server.search import date, near, number, quantity, reference, string, token, uri
from fhir_server.search.clause import Clause
from fhir_server.search.condition import Condition
from fhir_server.search.context import Context
from fhir_server.search.parameter import Parameter
from fhir_server.search.rows import Writer


class SearchType(Protocol):
    """One kind of search parameter: its index values and its condition.

    `WRITERS` add the rows of one element, by element type; an element type that
    is not in it is not indexed. `MODIFIERS` are those beside `missing`.
    """

    @property
    def MODIFIERS(self) -> frozenset[str]:  # noqa: N802  (a module's constant)
        """Return the modifiers offered."""

    @property
    def WRITERS(self) -> Mapping[str, Writer]:  # noqa: N802  (a module's constant)
        """Return the writer for each element type."""

    def present(self, context: Context, parameter: Parameter) -> Condition:
        """Return the condition that the parameter has a value."""

    def condition(self, context: Context, clause: Clause) -> Condition:
        """Return the condition of a clause; BadRequest for a value that cannot be read."""


SEARCH_TYPES: Mapping[str, SearchType] = {
    "date": date,
    "number": number,
    "quantity": quantity,
    "reference": reference,
    "special": near,
    "string": string,
    "token": token,
    "uri": uri,
}
