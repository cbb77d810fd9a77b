"""An entry on its way through a transaction.

https://hl7.org/fhir/R4/http.html#trules
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from fhir_server.audit.record import AUDIT_EVENT
from fhir_server.errors import BadRequest, MethodNotAllowed, SangamError
from fhir_server.interactions import match
from fhir_server.interactions.draft import ID, NEVER_STORED
from fhir_server.interactions.entry import Entry, Target, placed, target
from fhir_server.interactions.match import Criteria, Match
from fhir_server.interactions.references import PlacedReference, literal_references
from fhir_server.server import Server
from fhir_server.store.transact import Current, Write

WRITES = frozenset(("POST", "PUT", "PATCH", "DELETE"))
READS = frozenset(("GET", "HEAD"))
NOWHERE = Target("", None, None, ())


@dataclass(slots=True)
class Step:
    """An entry, what it addresses, and what becomes of it.

    `bundle` is whether it came in a Bundle, where a refusal names its place. `found`
    is what met its criteria; `existing` says that a conditional create found a match
    and writes nothing, `fresh` that a conditional update found none and makes a
    resource. `others` are the further deletions of a deletion of several, `labels` those
    that rules add to the resource.
    """

    index: int
    entry: Entry
    bundle: bool
    target: Target = NOWHERE
    criteria: Criteria | None = None
    id: str | None = None
    found: Sequence[Match] = ()
    existing: bool = False
    fresh: bool = False
    others: "list[Step]" = field(default_factory=list)
    present: Current | None = None
    references: Sequence[PlacedReference] = ()
    labels: Sequence[bytes] = ()
    write: Write | None = None

    @property
    def method(self) -> str:
        """Return the HTTP method."""
        return self.entry.method

    @property
    def literal(self) -> str:
        """Return `Type/id`."""
        return f"{self.target.type}/{self.id}"

    @property
    def place(self) -> str | None:
        """Return the FHIRPath of the entry, None outside of a Bundle."""
        return f"Bundle.entry[{self.index}]" if self.bundle else None

    def refusals(self) -> "Refusals":
        """Return the context in which a refusal says which entry it is about."""
        return Refusals(self)


class Refusals:
    """The context of `Step.refusals`; a class, as each entry enters several."""

    __slots__ = ("_step",)

    def __init__(self, about: Step) -> None:
        self._step = about

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, SangamError) and self._step.bundle:
            placed(error, self._step.index)


def step(server: Server, index: int, entry: Entry, *, bundle: bool) -> Step:
    """Return the entry as a step; BadRequest, NotFound or MethodNotAllowed for no request."""
    made = Step(index, entry, bundle)
    with made.refusals():
        if entry.method not in WRITES | READS:
            raise BadRequest("request.method is not one of GET, HEAD, POST, PUT, PATCH, DELETE")
        made.target = target(server.definitions.type_ids, server.bases, entry)
        made.id = made.target.id
        if entry.method in WRITES:
            _refuse_shape(made)
            _refuse_body(made)
            made.criteria = _criteria(made)
            if entry.resource is not None and entry.method != "PATCH":
                made.references = literal_references(server, made.target.type, entry.resource)
    return made


def _refuse_shape(made: Step) -> None:
    """Refuse a write whose URL has no meaning for its method."""
    where, entry = made.target, made.entry
    if not where.type or where.rest:
        raise BadRequest("The URL does not name a resource type", code="value")
    refuse_change(where.type, entry.method)
    if entry.method == "POST" and (where.id or where.query):
        raise BadRequest("POST goes to a resource type", code="value")
    if entry.method != "POST" and where.id and where.query:
        raise BadRequest("The URL has an id, and criteria", code="value")
    if entry.method != "POST" and not (where.id or where.query):
        raise BadRequest("The URL needs an id, or criteria", code="required")
    if entry.method != "DELETE" and entry.resource is None:
        raise BadRequest("The entry has no resource", code="required")


def refuse_change(type_name: str, method: str) -> None:
    """Refuse to change or delete an AuditEvent, whoever asks."""
    if type_name == AUDIT_EVENT and method != "POST":
        allow = {"Allow": "GET, HEAD, OPTIONS"}
        raise MethodNotAllowed("An AuditEvent stays as it was written", headers=allow)


def _refuse_body(made: Step) -> None:
    """Refuse a resource that is not stored, or not of the URL's type, or has no FHIR id."""
    data, method = made.entry.resource, made.method
    if method in {"PATCH", "DELETE"} or data is None:
        return
    if made.target.type in NEVER_STORED:
        raise MethodNotAllowed(f"{made.target.type} is not stored")
    if data.get("resourceType") != made.target.type:
        raise BadRequest("The resource is not of the URL's type", code="structure")
    named = data.get("id")
    if method == "PUT" and named is not None and not (isinstance(named, str) and ID.match(named)):
        raise BadRequest("This is no FHIR id", code="value", expression=f"{made.target.type}.id")
    if method == "PUT" and made.target.id is not None and named != made.target.id:
        text = "The id in the body is not the one in the URL"
        raise BadRequest(text, code="value", expression=f"{made.target.type}.id")


def _criteria(made: Step) -> Criteria | None:
    query = made.entry.if_none_exist if made.method == "POST" else made.target.query
    return match.criteria(made.target.type, query.removeprefix("?")) if query is not None else None
