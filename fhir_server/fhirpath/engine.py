"""The engine: expressions compiled once, run on decoded resources.

https://hl7.org/fhir/R4/fhirpath.html
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from fhir_server.fhirpath.collections import Closure
from fhir_server.fhirpath.compiler import compiled
from fhir_server.fhirpath.evaluation import Callbacks, Evaluation
from fhir_server.fhirpath.model import Model, model
from fhir_server.fhirpath.parser import parse
from fhir_server.fhirpath.values import Item, Items, Node
from fhir_server.r4.definitions import Definitions

_NOTHING: Mapping[str, Items] = {}


@dataclass(frozen=True, slots=True, eq=False)
class Expression:
    """A compiled expression; safe to run from several threads at once."""

    text: str
    model: Model
    closure: Closure = field(repr=False)
    strict: bool = False

    def run(
        self,
        context: Node,
        *,
        callbacks: Callbacks | None = None,
        resource: Node | None = None,
        root: Node | None = None,
        variables: Mapping[str, Items] = _NOTHING,
    ) -> Items:
        """Return the collection: system values and `Node`s.

        `resource` and `root` (`%resource`, `%rootResource`) default to the
        context. BadRequest where the expression cannot be evaluated, naming the
        place in it and no data; Unprocessable (`too-costly`) over a limit.
        """
        return self.on(
            [context],
            callbacks=callbacks,
            resource=resource or context,
            root=root or resource or context,
            variables=variables,
        )

    def on(
        self,
        items: Items,
        *,
        root: Node,
        callbacks: Callbacks | None = None,
        resource: Node | None = None,
        variables: Mapping[str, Items] = _NOTHING,
    ) -> Items:
        """Return what the expression gives on a collection, as `run` does on one item."""
        run = Evaluation(
            self.model,
            callbacks or Callbacks(),
            context=items,
            resource=resource or root,
            root=root,
            variables=variables,
            strict=self.strict,
        )
        return self.closure(run, items)


@lru_cache(maxsize=512)
def compile_expression(definitions: Definitions, text: str, *, strict: bool = False) -> Expression:
    """Return the compiled expression, kept for the next call.

    `strict` refuses members that a type has not. BadRequest names the place in
    the expression; Unprocessable (`too-costly`) where it is too long or deep.
    """
    known = model(definitions)
    return Expression(text, known, compiled(known, parse(text), strict=strict), strict)


def node(resource: dict[str, Item]) -> Node:
    """Return a decoded resource (`r4.json.decode`) as a context."""
    return Node(str(resource.get("resourceType", "Resource")), resource)
