"""An operation: where it is offered, and what calls it.

https://hl7.org/fhir/R4/operations.html
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from fhir_server.caller import Caller
from fhir_server.errors import BadRequest
from fhir_server.interactions.capabilities import Routed
from fhir_server.server import Server

Level: TypeAlias = Literal["system", "type", "instance"]


@dataclass(frozen=True, slots=True)
class Call:
    """One call: where, by which method, and the parameters in their order.

    A parameter's value is that of its `value[x]`, its `resource`, or its `part` list;
    from a URL it is a text. `routed` is what the API offers. `sent` is the resource in
    the body, as it came, of an operation that takes it so; `headers` are those of the
    request, their names in lower case.
    """

    level: Level
    type: str
    id: str
    method: str
    parameters: Sequence[tuple[str, Any]]
    routed: Routed
    sent: Mapping[str, Any] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    def texts(self, name: str) -> list[str]:
        """Return the values of a parameter that is a code, uri or string."""
        found = [value for given, value in self.parameters if given == name]
        if not all(isinstance(value, str) for value in found):
            raise BadRequest("The parameter is a text", code="value", expression=name)
        return found

    def refuse_others(self, known: Sequence[str]) -> None:
        """Refuse a parameter that is not among the known ones."""
        for name, _ in self.parameters:
            if name not in known:
                text = f"The operation takes {', '.join(known) or 'no parameter'}"
                raise BadRequest(text, expression=name)


@dataclass(frozen=True, slots=True)
class Result:
    """What an operation answers: a status, a resource as text, further headers."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


Run: TypeAlias = Callable[[Server, Caller, Call], Awaitable[Result]]


@dataclass(frozen=True, slots=True)
class Operation:
    """An operation by its name without `$`; what each method does, where it is offered.

    `types` and `instances` are the resource types on which, and on whose instances, it
    is offered; `system` whether on the whole. One that `takes_as_sent` gets the resource
    in the body unvalidated, in `Call.sent`, and judges it itself. Entries of a batch may
    call what is `batched`: it changes nothing.
    """

    name: str
    definition: str
    methods: Mapping[str, Run]
    system: bool = False
    types: frozenset[str] = frozenset()
    instances: frozenset[str] = frozenset()
    takes_as_sent: bool = False
    batched: bool = False

    def offered(self, level: Level, type_name: str) -> bool:
        """Return whether it is offered there."""
        if level == "system":
            return self.system
        return type_name in (self.types if level == "type" else self.instances)
